package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// image is a program of the wall: bubblewrap, or this binary as the helper. It is opened once and started by descriptor, so what was probed is what
// runs, whatever comes to lie at its path.
type image struct {
	name   string
	file   *os.File
	digest func() (string, error) // sha256:…; waits until it is known

	mu   sync.Mutex
	seen version
}

// version changes whenever somebody writes to a file, changes its attributes or its names. The time of change cannot be set by programs.
type version struct {
	size           int64
	written, noted unix.Timespec
}

func openImage(name, path string) (*image, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return newImage(name, f)
}

// newImage takes the file over. Its digest is made meanwhile: of a program of 70 MB it takes as long as the rest of the probe.
func newImage(name string, f *os.File) (*image, error) {
	m := &image{name: name, file: f}
	opened, err := m.version()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	m.seen = opened
	m.digest = sync.OnceValues(func() (string, error) {
		digest, err := digestOf(f)
		if now, e := m.version(); err == nil && (e != nil || now != opened) {
			err = errors.Join(fmt.Errorf("the file of %s was changed while it was probed", name), e)
		}
		return digest, err
	})
	go func() { _, _ = m.digest() }() // who needs it sees its error
	return m, nil
}

// ownImage is this program, from any mount namespace and for a user who cannot enter the folder it lies in: for such a one it is copied to memory and
// sealed.
func ownImage(root bool) (*image, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if root && st.Mode()&0o005 != 0o005 {
		sealed, err := seal(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		f = sealed
	}
	return newImage("this program", f)
}

// seal copies a program to memory where nobody can change it any more.
func seal(f io.Reader) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("nullius-sandbox", flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 every such file may be executed
		fd, err = unix.MemfdCreate("nullius-sandbox", flags)
	}
	if err != nil {
		return nil, err
	}
	m := os.NewFile(uintptr(fd), "nullius-sandbox")
	if _, err := io.Copy(m, f); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	_, err = unix.FcntlInt(m.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	// Executing needs a descriptor that nobody holds for writing.
	ro, e := os.Open("/proc/self/fd/" + strconv.Itoa(fd))
	return ro, errors.Join(err, e, m.Chmod(0o755), m.Close())
}

// unchanged fails once the file holds something else than what was probed. A new file at its path changes nothing, an upgrade in place does.
func (m *image) unchanged() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now, err := m.version()
	if err != nil {
		return fmt.Errorf("look at %s: %w", m.name, err)
	}
	if now == m.seen {
		return nil
	}
	probed, err := m.digest()
	digest, e := digestOf(m.file)
	if err := errors.Join(err, e); err != nil {
		return fmt.Errorf("read %s: %w", m.name, err)
	}
	if digest != probed {
		return fmt.Errorf("the file of %s was changed after the probe (%s, then %s)", m.name, probed, digest)
	}
	m.seen = now
	return nil
}

func (m *image) version() (version, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(m.file.Fd()), &st)
	return version{st.Size, st.Mtim, st.Ctim}, err
}

func (m *image) close() error {
	if m == nil {
		return nil
	}
	_, _ = m.digest() // it reads the file
	return m.file.Close()
}

func digestOf(f *os.File) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, 1<<40)); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}
