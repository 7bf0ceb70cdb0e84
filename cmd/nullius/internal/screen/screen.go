// Package screen keeps a region at the bottom of a terminal that is redrawn in place, with lines above it that stay and scroll away. The terminal is left in
// its usual mode, so Ctrl-C and Ctrl-Z are signals as ever; only what is typed is not echoed into the region.
package screen

import (
	"errors"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/sys/unix"
)

// redraws a second, at most (interface.md section 3).
const redraws = 4

// room are lines of the terminal that the region never takes. As many lines at a time go above it, so that no part of the region is scrolled away with them.
const room = 4

// Usable tells whether a region can be kept on out: a terminal with a cursor that can be moved, of which this process has the foreground.
func Usable(out any) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// Colour tells whether colours are wanted: on a terminal unless NO_COLOR is set (no-color.org), elsewhere only with CLICOLOR_FORCE (bixense.com/clicolors).
func Colour(terminal bool) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	if f := os.Getenv("CLICOLOR_FORCE"); f != "" && f != "0" {
		return true
	}
	return terminal && os.Getenv("TERM") != "dumb" && os.Getenv("CLICOLOR") != "0"
}

// Screen is an open region.
type Screen struct {
	p    *tea.Program
	out  *terminal
	stop chan struct{} // closed when the region is
	wg   sync.WaitGroup
	err  error // of the program; read once wg is done
}

// terminal tells when the region was drawn for the first time: lines above a region that is not there yet would be put where the library supposes it.
type terminal struct {
	*os.File
	once  sync.Once
	drawn chan struct{}
}

func (t *terminal) Write(p []byte) (int, error) {
	n, err := t.File.Write(p)
	t.once.Do(func() { close(t.drawn) })
	return n, err
}

// Open opens the region on a terminal. frame gives its lines for a terminal of a width and for at most so many lines; it is called at most four times a second, from
// one goroutine at a time. Close is to be called.
func Open(out *os.File, colour bool, frame func(width, height int) []string) *Screen {
	profile := colorprofile.ASCII
	if colour {
		profile = colorprofile.ANSI
	}
	s := &Screen{out: &terminal{File: out, drawn: make(chan struct{})}, stop: make(chan struct{})}
	m := &model{frame: frame, width: 80, height: 24}
	if size, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		m.width, m.height = int(size.Col), int(size.Row)
	}
	m.draw()
	s.p = tea.NewProgram(m, tea.WithOutput(s.out), tea.WithInput(nil), tea.WithoutSignalHandler(), tea.WithFPS(redraws),
		tea.WithColorProfile(profile))
	stopped := make(chan os.Signal, 1)
	signal.Notify(stopped, syscall.SIGTSTP)
	restore := quiet(out)
	s.wg.Go(func() {
		_, s.err = s.p.Run()
		close(s.stop)
	})
	s.wg.Go(func() {
		defer signal.Stop(stopped)
		for {
			select {
			case <-stopped:
				err := s.p.ReleaseTerminal()
				restore()
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // goes on here after fg
				restore = quiet(out)
				if err == nil {
					_ = s.p.RestoreTerminal() // the next redraw shows what is wrong, if anything
				}
			case <-s.stop:
				restore()
				return
			}
		}
	})
	return s
}

// quiet switches off the echo of what is typed, and gives what puts the terminal back.
func quiet(out *os.File) (restore func()) {
	fd := int(out.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return func() {}
	}
	now := *was
	now.Lflag &^= unix.ECHO
	if unix.IoctlSetTermios(fd, unix.TCSETS, &now) != nil {
		return func() {}
	}
	return func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, was) } // a terminal that is gone needs nothing
}

// Above prints lines that stay, above the region. It blocks while the terminal is slow.
func (s *Screen) Above(lines []string) {
	select {
	case <-s.out.drawn:
	case <-s.stop:
	}
	for len(lines) > 0 {
		n := min(room, len(lines))
		text := strings.Join(lines[:n], "\n")
		if text == "" {
			text = " " // nothing at all is not printed
		}
		s.p.Send(tea.Println(text)())
		lines = lines[n:]
	}
}

// Write prints whole lines above the region, so that a logger can write there.
func (s *Screen) Write(p []byte) (int, error) {
	if text := strings.TrimRight(string(p), "\n"); text != "" {
		s.Above(strings.Split(text, "\n"))
	}
	return len(p), nil
}

// Close draws the region once more and leaves it there, with the cursor below.
func (s *Screen) Close() error {
	s.p.Send(redraw{})
	s.p.Quit()
	s.wg.Wait()
	if errors.Is(s.err, tea.ErrProgramKilled) {
		return nil
	}
	return s.err
}

// redraw asks for a new frame.
type redraw struct{}

// model is the region as bubbletea wants it.
type model struct {
	frame         func(width, height int) []string
	width, height int
	lines         string
}

func tick() tea.Cmd {
	return tea.Tick(time.Second/redraws, func(time.Time) tea.Msg { return redraw{} })
}

func (m *model) Init() tea.Cmd { return tick() }

func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.draw()
	case redraw:
		m.draw()
		return m, tick()
	}
	return m, nil
}

// draw leaves the last column free, where some terminals wrap.
func (m *model) draw() { m.lines = strings.Join(m.frame(m.width-1, max(3, m.height-room)), "\n") }

func (m *model) View() tea.View { return tea.NewView(m.lines) }
