package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// seen of /etc: enough for BLAS and bibtex alternatives, the loader, fonts and
// matplotlib, and nothing that tells about the host.
var etc = []string{"/etc/alternatives", "/etc/ld.so.cache", "/etc/fonts", "/etc/matplotlibrc", "/etc/python3"}

var tex = []string{"/etc/texmf", "/var/lib/texmf"}

// network is what resolving names and checking certificates takes.
var network = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl", "/etc/pki", "/etc/ca-certificates"}

// BinDir is first on the PATH of every run and holds python and python3.
const BinDir = "/nullius/bin"

// arguments of bubblewrap for one run. Sources have been made reachable for
// the user that bubblewrap runs as.
func arguments(s Spec, binds []Bind, l Limits) []string {
	a := []string{
		"--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
		"--disable-userns", "--uid", "1000", "--gid", "1000", "--cap-drop", "ALL",
		"--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--hostname", "sandbox",
		// For the helper alone, which clears it again for the program.
		"--setenv", "GOMAXPROCS", "1", "--setenv", "GOGC", "off",
		"--ro-bind", "/usr", "/usr",
	}
	for _, dir := range []string{"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		st, err := os.Lstat(dir)
		if err != nil {
			continue
		}
		if st.Mode()&os.ModeSymlink == 0 {
			a = append(a, "--ro-bind", dir, dir)
		} else if to, err := os.Readlink(dir); err == nil {
			a = append(a, "--symlink", to, dir)
		}
	}
	a = append(a,
		"--proc", "/proc", "--dev", "/dev",
		"--perms", "1777", "--size", strconv.FormatUint(l.TmpBytes, 10), "--tmpfs", "/tmp",
		"--perms", "1777", "--size", strconv.FormatUint(l.ShmBytes, 10), "--tmpfs", "/dev/shm",
	)
	host := etc
	if s.TeX {
		host = append(append([]string{}, etc...), tex...)
	}
	if s.Network {
		host = append(append([]string{}, host...), network...)
	} else {
		a = append([]string{"--unshare-net"}, a...)
	}
	for _, p := range host {
		a = append(a, "--ro-bind-try", p, p)
	}
	for _, b := range binds {
		how := "--ro-bind"
		if b.Writable {
			how = "--bind"
		}
		a = append(a, how, b.Source, b.Target)
	}
	for _, d := range s.Devices {
		a = append(a, "--dev-bind-try", d, d)
	}
	if p := s.Python; p != nil {
		a = append(a, "--symlink", p.Path, BinDir+"/python", "--symlink", p.Path, BinDir+"/python3")
	}
	return append(a, "--remount-ro", "/dev", "--remount-ro", "/",
		"--json-status-fd", strconv.Itoa(fdStatus))
}

// joinArguments is the form that --args reads.
func joinArguments(a []string) ([]byte, error) {
	for _, s := range a {
		if strings.ContainsRune(s, 0) {
			return nil, fmt.Errorf("zero byte in %q", s)
		}
	}
	return []byte(strings.Join(a, "\x00") + "\x00"), nil
}
