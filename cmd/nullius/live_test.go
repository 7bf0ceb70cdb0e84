package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"github.com/google/uuid"

	"nullius.dev/bench/foreign"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// onTerminal is a process on a pseudo-terminal of its own, with the screen that a person would see.
type onTerminal struct {
	t      *testing.T
	cmd    *exec.Cmd
	tty    *os.File
	mu     sync.Mutex
	screen *vt.Emulator
	raw    bytes.Buffer
	done   chan struct{} // closed when all output was read
}

func atTerminal(t *testing.T, cols, rows int, env []string, path string, args ...string) *onTerminal {
	t.Helper()
	p := &onTerminal{t: t, cmd: exec.Command(path, args...), screen: vt.NewEmulator(cols, rows), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), append([]string{"TERM=xterm-256color", "NO_COLOR=", "CLICOLOR_FORCE="}, env...)...)
	var err error
	if p.tty, err = pty.StartWithSize(p.cmd, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		buf := make([]byte, 32<<10)
		for {
			n, err := p.tty.Read(buf)
			p.mu.Lock()
			p.raw.Write(buf[:n])
			_, _ = p.screen.Write(buf[:n]) // an emulator in memory
			p.mu.Unlock()
			if err != nil { // EIO when the process has ended
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		_ = p.cmd.Wait()
		_ = p.tty.Close()
	})
	return p
}

// shows is the screen's text now.
func (p *onTerminal) shows() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return ansi.Strip(p.screen.String())
}

// all is the scrolled lines and the screen.
func (p *onTerminal) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for y := range p.screen.ScrollbackLen() {
		for x := range p.screen.Width() {
			if c := p.screen.ScrollbackCellAt(x, y); c != nil {
				b.WriteString(c.Content)
			}
		}
		b.WriteByte('\n')
	}
	return b.String() + ansi.Strip(p.screen.String())
}

// sees waits until the screen shows a text.
func (p *onTerminal) sees(limit time.Duration, texts ...string) {
	p.t.Helper()
	eventually(p.t, limit, func() error {
		s := p.shows()
		for _, text := range texts {
			if !strings.Contains(s, text) {
				return fmt.Errorf("the screen lacks %q:\n%s", text, s)
			}
		}
		return nil
	})
}

// ends waits for the process and gives its exit code.
func (p *onTerminal) ends(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(limit):
		p.t.Fatalf("it goes on after %s:\n%s", limit, p.all())
	}
	err := p.cmd.Wait()
	var e *exec.ExitError
	if err != nil && !errors.As(err, &e) {
		p.t.Fatal(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *onTerminal) ctrlC() {
	p.t.Helper()
	if _, err := io.WriteString(p.tty, "\x03"); err != nil {
		p.t.Fatal(err)
	}
}

// once checks that lines stand on the terminal exactly once, scrolled away or not.
func (p *onTerminal) once(texts ...string) {
	p.t.Helper()
	all := p.all()
	for _, text := range texts {
		if n := strings.Count(all, text); n != 1 {
			p.t.Errorf("%q stands %d times in\n%s", text, n, all)
		}
	}
}

// startStudy starts one of several studies on a server.
func startStudy(t *testing.T, address string, f *model, change func(*gatewayv1.StudySettings)) string {
	t.Helper()
	cl, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.conn.Close()
	dir, name, remove, err := templateFolder("bandit_lite")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = remove() }()
	if _, err := cl.uploadTemplate(t.Context(), dir, name); err != nil {
		t.Fatal(err)
	}
	settings := &gatewayv1.StudySettings{Model: f.name, Ideas: 1, Engine: "local", Size: "smoke", MaxRuns: 1}
	if change != nil {
		change(settings)
	}
	st, err := cl.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/" + name, Settings: settings, RequestId: uuid.NewString()})
	if err != nil {
		t.Fatal(err)
	}
	return st.GetStudy().GetName()
}

// TestTree shows studies on a pseudo-terminal with the binary that users get.
func TestTree(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(binaries(t), "nullius")
	f := newModel(t)
	f.Latency = 50 * time.Millisecond
	address, data := freePort(t), t.TempDir()
	serve := func(t *testing.T) *child {
		c := spawn(t, "nullius", nil, bin, "serve", "--data-dir", data, "--listen", address)
		c.listens(address)
		return c
	}
	server := serve(t)
	t.Cleanup(func() { server.kill() })
	watch := func(t *testing.T, cols, rows int, env []string, study string) *onTerminal {
		return atTerminal(t, cols, rows, env, bin, "watch", strings.TrimPrefix(study, "studies/"), "--address", address)
	}
	t.Run("a study from its start to its end", func(t *testing.T) {
		study := startStudy(t, address, f, nil)
		p := watch(t, 100, 30, nil, study)
		p.sees(30*time.Second, "RUNNING", "model openai-compatible/foreign", "idea-1", "experiments, stage 2 of 5, run 1 of 1")
		if _, err := io.WriteString(p.tty, "what is typed\n\n"); err != nil {
			t.Fatal(err)
		}
		if code := p.ends(60 * time.Second); code != exitDone {
			t.Errorf("exit %d", code)
		}
		p.once("idea-1  SUCCEEDED after", "1 idea: 1 succeeded", "  SUCCEEDED  ")
		if strings.Contains(p.all(), "what is typed") {
			t.Errorf("typing shows in the tree:\n%s", p.all())
		}
		if strings.Contains(p.all(), "● idea-1") {
			t.Errorf("an old frame stays behind:\n%s", p.all())
		}
		p.screen.Close()
		late := watch(t, 60, 24, nil, study) // in a second terminal, when all is over
		if code := late.ends(20 * time.Second); code != exitDone {
			t.Errorf("exit %d", code)
		}
		late.once("idea-1  SUCCEEDED after", "1 idea: 1 succeeded")
		if lines := strings.Split(strings.TrimRight(late.all(), "\n "), "\n"); !strings.Contains(lines[0], "idea-1  SUCCEEDED") {
			t.Errorf("the terminal was scrolled for nothing:\n%s", late.all())
		}
	})
	t.Run("what waits says so with the command that goes on", func(t *testing.T) {
		study := startStudy(t, address, f, func(s *gatewayv1.StudySettings) { s.Gates = []string{"experiments"} })
		p := watch(t, 60, 24, []string{"NO_COLOR=1"}, study)
		if code := p.ends(30 * time.Second); code != exitWaiting {
			t.Errorf("exit %d", code)
		}
		p.once("WAITING(APPROVAL)", "waits for your approval before experiments, since", "next: nullius approve")
		if colour := strings.Contains(p.raw.String(), "\x1b[36m") || strings.Contains(p.raw.String(), "\x1b[1m"); colour {
			t.Errorf("colours in spite of NO_COLOR: %q", p.raw.String())
		}
	})
	t.Run("Ctrl-C closes the view and nothing else", func(t *testing.T) {
		study := startStudy(t, address, f, func(s *gatewayv1.StudySettings) { s.Until = "experiments" })
		p := watch(t, 80, 24, nil, study)
		p.sees(20*time.Second, "RUNNING", "● idea-1")
		p.ctrlC()
		if code := p.ends(10 * time.Second); code != exitInterrupted {
			t.Errorf("exit %d", code)
		}
		if all := p.all(); !strings.Contains(all, "view closed") || !strings.Contains(all, "● idea-1") {
			t.Errorf("the last frame and what goes on should stay:\n%s", all)
		}
		if !strings.HasSuffix(p.raw.String(), "\n") || !strings.Contains(p.raw.String(), ansi.ShowCursor) {
			t.Error("the cursor is not given back")
		}
		finish(t, address, study, 60*time.Second)
	})
	t.Run("a dumb terminal gets lines", func(t *testing.T) {
		study := startStudy(t, address, f, func(s *gatewayv1.StudySettings) { s.Until = "novelty" })
		p := watch(t, 200, 60, []string{"TERM=dumb"}, study)
		if code := p.ends(30 * time.Second); code != exitDone {
			t.Errorf("exit %d", code)
		}
		if raw := p.raw.String(); strings.Contains(raw, "\x1b") || !strings.Contains(raw, "novelty/assess") {
			t.Errorf("%q", raw)
		}
	})
	t.Run("a failure tells its last output, what to type and the trace", func(t *testing.T) {
		bad := newModel(t)
		bad.Answer = func(all, last string) (string, string) {
			kind, text := foreign.Play(all, last)
			return kind, strings.ReplaceAll(text, "UCB_CONSTANT = 1.0  #", "UCB_CONSTANT = no_such_name  #")
		}
		study := startStudy(t, address, bad, func(s *gatewayv1.StudySettings) { s.MaxTries = 1 })
		p := watch(t, 100, 24, nil, study)
		if code := p.ends(30 * time.Second); code != exitUnwanted {
			t.Errorf("exit %d", code)
		}
		want := []string{"NO_SUCCESSFUL_RUN: no run succeeded", "last lines of experiments/run-1/execute-1", "| NameError: name 'no_such_name' is not defined", "next: nullius logs", "trace: "}
		p.once(append(want, "idea-1  FAILED after")...)
		var lines bytes.Buffer
		c := exec.Command(bin, "watch", strings.TrimPrefix(study, "studies/"), "--address", address)
		c.Stdout = &lines
		if err := c.Run(); c.ProcessState.ExitCode() != exitUnwanted {
			t.Errorf("exit code %d, %v", c.ProcessState.ExitCode(), err)
		}
		for _, text := range want {
			if !strings.Contains(lines.String(), text) {
				t.Errorf("a pipe lacks %q:\n%s", text, lines.String())
			}
		}
	})
	t.Run("a server that goes and comes back", func(t *testing.T) {
		study := startStudy(t, address, f, func(s *gatewayv1.StudySettings) { s.Until = "figures" })
		p := watch(t, 100, 30, nil, study)
		p.sees(30*time.Second, "experiments, stage 2 of 3")
		server.kill()
		p.sees(10*time.Second, "the server is gone, trying again since", "● idea-1")
		server = serve(t)
		if code := p.ends(90 * time.Second); code != exitDone {
			t.Errorf("exit %d", code)
		}
		p.once("idea-1  SUCCEEDED after", "1 idea: 1 succeeded")
		if strings.Contains(p.all(), "the server is gone") {
			t.Errorf("it is back:\n%s", p.all())
		}
	})
}

// TestTree_hosted: a study in the process of its view goes on after the first Ctrl-C and stops in order at the second.
func TestTree_hosted(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(binaries(t), "nullius")
	dir := t.TempDir()
	p := atTerminal(t, 100, 30, nil, bin, "demo", "--template", "bandit_lite", "--ideas", "1", "--results", filepath.Join(dir, "results"), "--data-dir", filepath.Join(dir, "data"), "--address", "127.0.0.1:0")
	p.sees(30*time.Second, "● idea-1", "RUNNING")
	p.ctrlC()
	p.sees(10*time.Second, "goes on in this process")
	if err := p.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatalf("the first Ctrl-C ended the process: %v", err)
	}
	p.ctrlC()
	if code := p.ends(20 * time.Second); code != exitInterrupted {
		t.Errorf("exit %d\n%s", code, p.all())
	}
}
