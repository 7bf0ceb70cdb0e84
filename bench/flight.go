package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"nullius.dev/bench/foreign"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

const (
	flightLimit = 30 * time.Minute
	readEvery   = 100 * time.Millisecond
	changeEvery = 500 * time.Millisecond
)

// flight is what a number of ideas at once cost.
type flight struct {
	ideas    int
	wall     time.Duration
	own      time.Duration // CPU of the server from the study's start to its end
	children time.Duration
	idle     int64 // resident bytes before the study
	peak     int64
	calls    int
	good     int             // ideas that succeeded
	study    []time.Duration // of GetStudy
	list     []time.Duration // of ListIdeas
	change   []time.Duration // of SubmitIdea, into a study that waits for a person
}

// flights measures ideas in flight, a server of its own for each count.
func flights(ctx context.Context, o options, latency time.Duration, counts []int, out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ideas\tsucceeded\twall\town CPU an idea\tchildren's CPU an idea\tcalls an idea\tpeak memory\tGetStudy p50, p99\tListIdeas p50, p99\tSubmitIdea p50, p99")
	for _, n := range counts {
		f, err := fly(ctx, o, latency, n)
		if err != nil {
			return err
		}
		each := time.Duration(n)
		fmt.Fprintf(w, "%d\t%d\t%s\t%s\t%s\t%.1f\t%d MiB\t%s\t%s\t%s\n", n, f.good, round(f.wall), round(f.own/each), round(f.children/each), float64(f.calls)/float64(n),
			f.peak>>20, spread(f.study), spread(f.list), spread(f.change))
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func spread(d []time.Duration) string {
	return round(quantile(d, 0.5)) + ", " + round(quantile(d, 0.99))
}

// quantile is the least of the values below which a share q lies; 0 without values.
func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(d))
	return s[min(len(s)-1, int(q*float64(len(s))))]
}

func fly(ctx context.Context, o options, latency time.Duration, n int) (_ flight, err error) {
	ctx, cancel := context.WithTimeout(ctx, flightLimit)
	defer cancel()
	model := foreign.New()
	model.Latency = latency
	served := &recorder{next: model}
	name, stop, err := play(served)
	if err != nil {
		return flight{}, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	dir, remove, err := o.folder()
	if err != nil {
		return flight{}, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	s, err := serve(ctx, o.binary, filepath.Join(dir, "data"))
	if err != nil {
		return flight{}, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	s.process.sample()
	f := flight{ideas: n, idle: s.process.peak}
	quiet, err := s.study(ctx, dir, name, 1, "--gate", "novelty") // waits for a person; takes the changes, and the baseline's run
	if err != nil {
		return f, err
	}
	if err := s.until(ctx, quiet, func(st *gatewayv1.Study) bool {
		return len(st.GetIdeas()) == 1 && st.GetIdeas()[0].GetState() == gatewayv1.IdeaState_WAITING
	}); err != nil {
		return f, err
	}
	s.process.sample()
	before, begin := s.process.own, time.Now()
	beforeChildren := s.process.ended
	more := []string{"--parallel", strconv.Itoa(n), "--improvement=" + strconv.FormatBool(o.improvement)}
	if o.maxRuns > 0 {
		more = append(more, "--max-runs", strconv.Itoa(o.maxRuns))
	}
	study, err := s.study(ctx, dir, name, n, more...)
	if err != nil {
		return f, err
	}
	err = s.load(ctx, &f, study, quiet)
	f.wall = time.Since(begin)
	s.process.sample()
	f.own, f.peak, f.children, f.calls = s.process.own-before, s.process.peak, s.process.ended-beforeChildren, len(served.all())
	return f, err
}

// server is a Nullius that serves.
type server struct {
	binary  string
	cmd     *exec.Cmd
	process process
	address string
	conn    *grpc.ClientConn
	api     gatewayv1.StudyServiceClient
	said    *tail
}

// serve starts one and waits for its address.
func serve(ctx context.Context, binary, data string) (*server, error) {
	cmd := exec.CommandContext(ctx, binary, "serve", "--data-dir", data, "--listen", "127.0.0.1:0")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	s := &server{binary: binary, cmd: cmd, process: process{pid: cmd.Process.Pid}, said: &tail{}}
	address := make(chan string, 1)
	go s.listen(r, address)
	select {
	case s.address = <-address:
	case <-time.After(30 * time.Second):
	}
	if s.address == "" {
		return nil, errors.Join(fmt.Errorf("the server told no address:\n%s", s.said), cmd.Process.Kill(), cmd.Wait())
	}
	if s.conn, err = grpc.NewClient(s.address, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return nil, err
	}
	s.api = gatewayv1.NewStudyServiceClient(s.conn)
	return s, nil
}

// listen finds the address in what the server says, and keeps the rest for an error.
func (s *server) listen(r io.ReadCloser, address chan<- string) {
	defer r.Close()
	for in := bufio.NewScanner(r); in.Scan(); {
		s.said.add(in.Text())
		if _, rest, ok := strings.Cut(in.Text(), "http://"); ok && address != nil {
			a, _, _ := strings.Cut(rest, " ")
			address <- a
			address = nil
		}
	}
	if address != nil {
		close(address)
	}
}

// tail keeps the last lines.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
	t.lines = t.lines[max(0, len(t.lines)-40):]
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

func (s *server) end() error {
	err := errors.Join(s.conn.Close(), s.cmd.Process.Signal(syscall.SIGTERM))
	if werr := s.cmd.Wait(); werr != nil {
		err = errors.Join(err, fmt.Errorf("the server ended: %w\n%s", werr, s.said))
	}
	return err
}

// study starts a study with n ideas of its own on the server, as a user would.
func (s *server) study(ctx context.Context, dir, model string, n int, more ...string) (string, error) {
	var ideas []map[string]string
	for i := range n {
		ideas = append(ideas, map[string]string{"Name": fmt.Sprintf("bonus_weight_%d", i+1), "Title": fmt.Sprintf("How much optimism does UCB1 need, question %d", i+1),
			"Experiment": fmt.Sprintf("Vary UCB_CONSTANT in choose_ucb1 for question %d, hold all else fixed, compare the regret with the unchanged program.", i+1)})
	}
	data, err := json.Marshal(ideas)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("ideas-%d.json", n))
	if err := os.WriteFile(file, data, 0o600); err != nil {
		return "", err
	}
	args := append([]string{"run", "bandit_lite", "--detach", "--address", s.address, "--ideas-file", file, "--engine", "local", "--size", "smoke", "--model", model}, more...)
	cmd := exec.CommandContext(ctx, s.binary, args...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", err
	}
	return "studies/" + strings.TrimSpace(string(out)), nil
}

// until waits for a study to be as told.
func (s *server) until(ctx context.Context, study string, done func(*gatewayv1.Study) bool) error {
	for {
		r, err := s.api.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: study})
		if err != nil {
			return fmt.Errorf("%w\n%s", err, s.said)
		}
		if done(r.GetStudy()) {
			return nil
		}
		if state := r.GetStudy().GetState(); state == gatewayv1.IdeaState_FAILED {
			return fmt.Errorf("%s: %s", study, r.GetStudy().GetMessage())
		}
		if err := pause(ctx, 2*readEvery); err != nil {
			return err
		}
	}
}

// load reads and changes until the study has ended.
func (s *server) load(ctx context.Context, f *flight, study, quiet string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, 3)
	var others sync.WaitGroup
	others.Go(func() {
		failed <- s.each(ctx, readEvery, &f.list, func() error {
			_, err := s.api.ListIdeas(ctx, &gatewayv1.ListIdeasRequest{Parent: study, PageSize: 1000})
			return err
		})
	})
	others.Go(func() {
		failed <- s.each(ctx, readEvery, &f.study, func() error {
			_, err := s.api.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: study})
			return err
		})
	})
	others.Go(func() {
		i := 0
		failed <- s.each(ctx, changeEvery, &f.change, func() error {
			i++
			_, err := s.api.SubmitIdea(ctx, &gatewayv1.SubmitIdeaRequest{Parent: quiet, RequestId: fmt.Sprintf("bench-%d", i), Idea: &recordv1.Idea{
				Name: fmt.Sprintf("submitted_%d", i), Title: fmt.Sprintf("Submitted question %d", i), Experiment: fmt.Sprintf("Vary EPSILON, question %d.", i)}})
			return err
		})
	})
	err := s.until(ctx, study, func(st *gatewayv1.Study) bool {
		s.process.sample()
		f.good = 0
		for _, i := range st.GetIdeas() {
			if i.GetState() == gatewayv1.IdeaState_SUCCEEDED {
				f.good++
			}
		}
		return st.GetEnded() != nil
	})
	cancel()
	others.Wait()
	if err != nil {
		return err
	}
	return errors.Join(<-failed, <-failed, <-failed)
}

// each does something again and again until ctx ends, and keeps how long it took.
func (s *server) each(ctx context.Context, every time.Duration, took *[]time.Duration, do func() error) error {
	for {
		begin := time.Now()
		err := do()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		*took = append(*took, time.Since(begin))
		if pause(ctx, every) != nil {
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
