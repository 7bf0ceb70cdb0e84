package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"nullius.dev/kit/fault"
)

// Probe is what the attacks at the start found.
type Probe struct {
	Level      string            `json:"level"`
	MemoryWall string            `json:"memory_wall"`
	Helper     string            `json:"helper"` // digest of the program that is process 1 of each run
	Bubblewrap string            `json:"bubblewrap,omitempty"`
	Attacks    map[string]string `json:"attacks"` // name: how it was held
	Digest     string            `json:"-"`       // sha256:… of the above
	Warnings   []string          `json:"-"`
	Took       time.Duration     `json:"-"`
}

// bait is what the attacks aim at.
type bait struct {
	Kind     string `json:"kind"`
	Secret   string `json:"secret,omitempty"`
	TCP      string `json:"tcp,omitempty"`
	UDP      string `json:"udp,omitempty"`
	Abstract string `json:"abstract,omitempty"`
	Template string `json:"template,omitempty"`
	Out      string `json:"out,omitempty"`
	Limit    int    `json:"limit,omitempty"`
	Victim   int    `json:"victim,omitempty"` // a process that must not be signalled
}

// findings of one attacker.
type findings struct {
	Held map[string]string `json:"held"`
	Open []string          `json:"open"`
}

// prove attacks the sandbox and refuses it if anything gets through.
func (s *Sandbox) prove(ctx context.Context) error {
	begin := time.Now()
	at, err := newFolder(s.users != nil) // only the sandbox keeps the attackers out
	if err != nil {
		return fault.Wrap(err, fault.Internal, ReasonBroken, "no room for the probe: %v", err)
	}
	defer func() { _ = at.remove() }()
	var walls, memory, forks findings
	group, gctx := errgroup.WithContext(ctx)
	if s.level == LevelLandlock && s.users == nil {
		group.SetLimit(1) // the limit of processes counts all of the user's
	}
	group.Go(func() (err error) { walls, err = s.attackWalls(gctx, at.path); return err })
	group.Go(func() (err error) { memory, err = s.attackMemory(gctx); return err })
	group.Go(func() (err error) { forks, err = s.attackProcesses(gctx); return err })
	if err := group.Wait(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		why := err.Error()
		if f, ok := fault.As(err); ok {
			why = f.Message
		}
		return fault.New(fault.Precondition, ReasonTooWeak, "no sandbox can be started on this host: %s", why).WithNext(remedy(why))
	}
	p := &s.probe
	p.Level, p.MemoryWall, p.Attacks = s.level, s.groups.wall(), map[string]string{}
	if err := s.digests(p); err != nil {
		return fault.Wrap(err, fault.Internal, ReasonBroken, "the sandbox's programs cannot be read: %v", err)
	}
	var open []string
	for _, f := range []findings{walls, memory, forks} {
		open = append(open, f.Open...)
		for name, how := range f.Held {
			p.Attacks[name] = how
		}
	}
	if len(open) > 0 {
		return fault.New(fault.Precondition, ReasonTooWeak, "the sandbox does not hold on this host: %s", strings.Join(open, "; ")).
			WithNext("run on a Linux host with user namespaces and cgroups, as root or with: systemd-run --user --scope -p Delegate=yes")
	}
	b, err := json.Marshal(p)
	if err != nil {
		return fault.Wrap(err, fault.Internal, ReasonBroken, "probe: %v", err)
	}
	sum := sha256.Sum256(b)
	p.Digest, p.Took = "sha256:"+hex.EncodeToString(sum[:]), time.Since(begin)
	return nil
}

// digests names the programs that were probed.
func (s *Sandbox) digests(p *Probe) (err error) {
	if p.Helper, err = s.self.digest(); err == nil && s.bwrap != nil {
		p.Bubblewrap, err = s.bwrap.digest()
	}
	return err
}

func (s *Sandbox) probeSpec(out *bytes.Buffer) Spec {
	return Spec{
		Argv: []string{"attack"}, Env: []string{"CANARY=1"}, Dir: "/tmp", Python: s.python, Stdout: out,
		Grace: time.Second,
		Limits: Limits{Wall: 20 * time.Second, MemoryBytes: 256 * mib, FileBytes: 64 * kib, TmpBytes: mib,
			ShmBytes: mib, Processes: 128, OpenFiles: 64}.or(s.cfg.Limits),
	}
}

func (s *Sandbox) attackWith(ctx context.Context, spec Spec, b bait, out *bytes.Buffer) (findings, Result, error) {
	order, err := json.Marshal(b)
	if err != nil {
		return findings{}, Result{}, err
	}
	var complaint headBuffer
	spec.Stderr = &complaint
	res, err := s.run(ctx, spec, string(order))
	if err != nil {
		return findings{}, res, err
	}
	var f findings
	if res.End == Exited {
		if err := json.Unmarshal(out.Bytes(), &f); err != nil {
			return findings{}, res, fmt.Errorf("attacker %s: exit code %d, signal %d, no answer: %s", b.Kind, res.ExitCode, res.Signal, clip(complaint.String(), 200))
		}
	}
	if f.Held == nil {
		f.Held = map[string]string{}
	}
	return f, res, nil
}

// attackWalls tries files, network, kernel interfaces and small limits.
func (s *Sandbox) attackWalls(ctx context.Context, dir string) (findings, error) {
	secret := filepath.Join(dir, "secret")
	template := filepath.Join(dir, "template")
	outDir := filepath.Join(dir, "out")
	for _, d := range []string{template, outDir} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return findings{}, err
		}
	}
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		return findings{}, err
	}
	if err := os.WriteFile(filepath.Join(template, "f"), []byte("x"), 0o666); err != nil {
		return findings{}, err
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return findings{}, err
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return findings{}, err
	}
	defer udp.Close()
	abstract := "@nullius-probe-" + filepath.Base(dir)
	un, err := net.Listen("unix", abstract)
	if err != nil {
		return findings{}, err
	}
	defer un.Close()
	var out bytes.Buffer
	spec := s.probeSpec(&out)
	spec.Binds = []Bind{
		{Source: template, Target: "/nullius/template"},
		{Source: outDir, Target: "/nullius/out", Writable: true},
	}
	victim := 0
	if s.level == LevelLandlock { // strict shows no process of the host
		victim = os.Getpid()
	}
	f, res, err := s.attackWith(ctx, spec, bait{
		Kind: "walls", Victim: victim, Secret: secret, TCP: tcp.Addr().String(), UDP: udp.LocalAddr().String(), Abstract: abstract,
		Template: "/nullius/template/f", Out: "/nullius/out/f",
	}, &out)
	if err != nil {
		return f, err
	}
	if res.End != Exited {
		return f, fmt.Errorf("attacker on the walls %s", res.End)
	}
	// The owner of what it wrote, as seen from outside: inside, every id is
	// translated.
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(outDir, "f"), &st); err != nil || st.Uid == 0 {
		f.Open = append(f.Open, "the program is real root on the host")
	} else {
		f.Held["real root"] = "another user"
	}
	// Datagrams on loopback are delivered before send returns.
	_ = udp.SetReadDeadline(time.Now().Add(time.Millisecond))
	if n, _, err := udp.ReadFrom(make([]byte, 16)); err == nil && n > 0 {
		f.Open = append(f.Open, "a datagram reached the host")
	} else {
		f.Held["udp"] = "never arrived"
	}
	return f, nil
}

func (s *Sandbox) attackMemory(ctx context.Context) (findings, error) {
	var out bytes.Buffer
	spec := s.probeSpec(&out)
	spec.Limits.MemoryBytes = 64 * mib
	f, res, err := s.attackWith(ctx, spec, bait{Kind: "memory", Limit: 256}, &out)
	if err != nil {
		return f, err
	}
	if res.End != OutOfMemory {
		f.Open = append(f.Open, fmt.Sprintf("256 MiB were used under a limit of 64 MiB (%s)", res.End))
	} else {
		f.Held["memory"] = s.groups.wall()
	}
	return f, nil
}

func (s *Sandbox) attackProcesses(ctx context.Context) (findings, error) {
	var out bytes.Buffer
	spec := s.probeSpec(&out)
	spec.Limits.Processes = 24
	f, res, err := s.attackWith(ctx, spec, bait{Kind: "processes", Limit: spec.Limits.Processes + ownProcesses}, &out)
	if err != nil {
		return f, err
	}
	if res.End != Exited {
		return f, fmt.Errorf("attacker on the process limit %s", res.End)
	}
	return f, nil
}
