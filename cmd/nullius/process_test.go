package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// binaries gives the folder of the command, the gateway and the services as users get them, without the race detector. They are compiled once, with the flags
// that make build has, so that one finds in the build cache what the other has left there.
func binaries(t *testing.T) (dir string) {
	t.Helper()
	dir, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

var built = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(testHome, "bin")
	args := []string{"build", "-trimpath", "-ldflags=-w", "-o", dir + string(filepath.Separator), ".", "nullius.dev/gateway/cmd/gateway"}
	for _, s := range []string{"ideation", "coder", "executor", "writer", "reviewer"} {
		args = append(args, "nullius.dev/services/"+s+"/cmd/"+s)
	}
	out, err := exec.Command("go", args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, err
})

// ports counts those that were given.
var ports atomic.Int64

// freePort gives a loopback address that nobody listens on, each one once: below the range from which Linux takes ports for connections and for port 0
// (32768, ip_local_port_range), so that neither another test nor an outgoing connection takes it meanwhile.
func freePort(t *testing.T) string {
	t.Helper()
	const low, count = 12000, 20000
	for range 100 {
		port := low + (int64(os.Getpid())*101+ports.Add(1))%count
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// child is a process under test.
type child struct {
	t    *testing.T
	name string
	cmd  *exec.Cmd
	log  string // file with its output
	done chan error
}

// spawn starts a process that ends with the test.
func spawn(t *testing.T, name string, env []string, path string, args ...string) *child {
	t.Helper()
	c := &child{t: t, name: name, log: filepath.Join(t.TempDir(), name+".log"), done: make(chan error, 1)}
	out, err := os.Create(c.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c.cmd = exec.Command(path, args...)
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = out, out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the kernel kills the child with the thread that made it; any other may end with a sandbox of this process
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.done <- c.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kill()
		if t.Failed() && strings.Contains(c.output(), "ERR") {
			t.Logf("%s said:\n%s", name, c.output())
		}
	})
	return c
}

// kill ends the process as kill -9 does.
func (c *child) kill() { c.end(syscall.SIGKILL) }

// end sends a signal and waits until the process has ended.
func (c *child) end(sig syscall.Signal) {
	_ = c.cmd.Process.Signal(sig) // it may have ended
	err := <-c.done
	c.done <- err
}

// stop ends the process in order.
func (c *child) stop() { c.stops(syscall.SIGTERM, exitDone) }

// stops sends a signal and waits until the process has ended with a code; -1: by the signal itself.
func (c *child) stops(sig syscall.Signal, code int) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		c.t.Errorf("stop %s: %v", c.name, err)
	}
	select {
	case err := <-c.done:
		c.done <- err
		if got := c.cmd.ProcessState; got.ExitCode() != code {
			c.t.Errorf("%s ended with %v after it was asked to stop\n%s", c.name, got, c.output())
		}
	case <-time.After(30 * time.Second):
		c.t.Errorf("%s does not stop\n%s", c.name, c.output())
	}
}

// says waits until the process has said something.
func (c *child) says(text string) {
	c.t.Helper()
	eventually(c.t, 20*time.Second, func() error {
		if said := c.output(); !strings.Contains(said, text) {
			return fmt.Errorf("%s does not say %q but\n%s", c.name, text, said)
		}
		return nil
	})
}

func (c *child) output() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	if len(b) > 8<<10 {
		b = b[len(b)-8<<10:]
	}
	return string(b)
}

// listens waits until the process serves an address.
func (c *child) listens(address string) {
	c.t.Helper()
	eventually(c.t, 20*time.Second, func() error {
		select {
		case err := <-c.done:
			c.done <- err
			c.t.Fatalf("%s ended: %v\n%s", c.name, err, c.output())
		default:
		}
		if !reachable(address) {
			return errors.New(c.name + " does not listen on " + address)
		}
		return nil
	})
}

// eventually waits until a condition holds.
func eventually(t *testing.T, limit time.Duration, cond func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := cond()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %s: %v", limit, err)
		}
	}
}

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }
