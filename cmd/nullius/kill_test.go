package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nullius.dev/bench/foreign"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// outcome is what must be the same whatever happened to the processes on the way.
type outcome struct {
	states string
	files  map[string]string
}

// begin starts a study on a shipped template by the API and returns its name.
func begin(t *testing.T, address, template string, f *model) string {
	t.Helper()
	cl, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.conn.Close()
	dir, name, remove, err := templateFolder(template)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = remove() }()
	if _, err := cl.uploadTemplate(t.Context(), dir, name); err != nil {
		t.Fatal(err)
	}
	settings := &gatewayv1.StudySettings{Model: f.name, Ideas: 1, Engine: "local", Size: "smoke", Improvement: true}
	st, err := cl.StartStudy(t.Context(), &gatewayv1.StartStudyRequest{Template: "templates/" + name, Settings: settings, RequestId: "begin"})
	if err != nil {
		t.Fatal(err)
	}
	return st.GetStudy().GetName()
}

// study reads a study; an error when nobody answers.
func study(t *testing.T, address, name string) (*gatewayv1.Study, error) {
	cl, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer cl.conn.Close()
	got, err := cl.GetStudy(t.Context(), &gatewayv1.GetStudyRequest{Name: name})
	return got.GetStudy(), err
}

// finish waits for a study's end.
func finish(t *testing.T, address, name string, limit time.Duration) *gatewayv1.Study {
	t.Helper()
	var end *gatewayv1.Study
	eventually(t, limit, func() error {
		st, err := study(t, address, name)
		if err != nil {
			return err
		}
		if !ended(st.GetState()) {
			return fmt.Errorf("the study is %s at %s; %s", st.GetState(), st.GetStep(), st.GetIdeas())
		}
		end = st
		return nil
	})
	return end
}

var (
	clockText = regexp.MustCompile(`in \d+(\.\d+)? s`)
	timing    = regexp.MustCompile(`(?s)"timing": \{.*?\}`)
	digest    = regexp.MustCompile(`\b[0-9a-f]{8,64}\b`) // of results that hold times, and trace ids
)

// outcomeOf reads states, decisions, measurements, the paper and the reviews.
func outcomeOf(t *testing.T, address, name string) outcome {
	t.Helper()
	cl, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.conn.Close()
	st, err := study(t, address, name)
	if err != nil {
		t.Fatal(err)
	}
	o := outcome{files: map[string]string{}}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", st.GetState(), st.GetMessage())
	for _, s := range st.GetIdeas() {
		got, err := cl.GetIdea(t.Context(), &gatewayv1.GetIdeaRequest{Name: s.GetName()})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s %s\n", s.GetName(), s.GetState(), s.GetMessage())
		for _, step := range got.GetIdea().GetSteps() {
			fmt.Fprintf(&b, "%s %s %s %s\n", step.GetStep(), step.GetState(), step.GetOutcome(), clockText.ReplaceAllString(step.GetText(), ""))
		}
		for _, r := range got.GetIdea().GetRuns() {
			for _, m := range r.GetMeasurements() {
				fmt.Fprintf(&b, "run %d %s/%s = %v ± %v\n", r.GetNumber(), m.GetDataset(), m.GetMetric(), m.GetValue(), m.GetStandardError())
			}
		}
		dir := t.TempDir()
		if err := cl.download(t.Context(), s.GetName(), dir); err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []string{"experiment.py", "plot.py", "notes.txt", "run_*/final_info.json", "run_*.py", "latex/source.tex", "latex/template.tex", "review*.json", "response.md", "verification.json"} {
			paths, err := filepath.Glob(filepath.Join(dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range paths {
				data, err := os.ReadFile(p)
				if err != nil {
					t.Fatal(err)
				}
				rel, _ := filepath.Rel(dir, p) // both are absolute
				o.files[rel] = digest.ReplaceAllString(plain(rel, data), "DIGEST")
			}
		}
	}
	o.states = b.String()
	return o
}

// plain drops what may differ between runs: times, ids, costs.
func plain(name string, data []byte) string {
	if strings.HasSuffix(name, "final_info.json") {
		return timing.ReplaceAllString(string(data), "")
	}
	var v any
	if !strings.HasSuffix(name, ".json") || json.Unmarshal(data, &v) != nil {
		return string(data)
	}
	out, _ := json.MarshalIndent(drop(v), "", " ") // what was decoded encodes
	return string(out)
}

func drop(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			switch low := strings.ToLower(k); {
			case strings.Contains(low, "time"), strings.Contains(low, "usage"), strings.Contains(low, "cost"), strings.Contains(low, "seconds"), strings.Contains(low, "digest"), strings.Contains(low, "snapshot"):
				delete(v, k)
			default:
				v[k] = drop(x)
			}
		}
	case []any:
		for i := range v {
			v[i] = drop(v[i])
		}
	}
	return v
}

// same compares two outcomes.
func (o outcome) same(t *testing.T, want outcome) {
	t.Helper()
	if o.states != want.states {
		t.Errorf("states differ:\n%s", difference(o.states, want.states))
	}
	for name, text := range want.files {
		if o.files[name] != text {
			t.Errorf("%s differs:\n%s", name, difference(o.files[name], text))
		}
	}
	if len(o.files) != len(want.files) {
		t.Errorf("%d files, want %d", len(o.files), len(want.files))
	}
}

func difference(got, want string) string {
	g, w := lines(got), lines(want)
	var b strings.Builder
	for i := range max(len(g), len(w)) {
		var x, y string
		if i < len(g) {
			x = g[i]
		}
		if i < len(w) {
			y = w[i]
		}
		if x != y {
			fmt.Fprintf(&b, "line %d\n  got  %.300s\n  want %.300s\n", i+1, x, y)
		}
		if b.Len() > 2000 {
			break
		}
	}
	return b.String()
}

// world is a model and the binaries, with what a study comes to when nobody disturbs it.
type world struct {
	template string
	f        *model
	bin      string
	want     outcome
	paid     map[string]int         // prompts of the undisturbed study
	whole    time.Duration          // that it took
	held     atomic.Pointer[string] // prompts that hold this text are not answered
}

// undisturbed runs a study whole.
func undisturbed(t *testing.T, template string, answer func(all, last string) (kind, text string)) *world {
	t.Helper()
	w := &world{template: template, f: newModel(t), bin: binaries(t)}
	w.f.Latency = 40 * time.Millisecond
	w.f.Answer = func(all, last string) (string, string) {
		for text := w.held.Load(); text != nil && strings.Contains(last, *text); text = w.held.Load() {
			time.Sleep(10 * time.Millisecond)
		}
		return answer(all, last)
	}
	h := newHome(t)
	address := freePort(t)
	server := h.serve(t, w.bin, address)
	start := time.Now()
	name := begin(t, address, template, w.f)
	finish(t, address, name, 3*time.Minute)
	w.whole, w.want = time.Since(start), outcomeOf(t, address, name)
	server.stop()
	h.audit(t)
	w.paid = w.f.Reset()
	t.Logf("undisturbed: %s, %d calls", w.whole.Round(time.Millisecond), foreign.Total(w.paid))
	return w
}

// killedOnDoubleDescent kills a study whose jobs are longer and whose figures are drawn by matplotlib.
func killedOnDoubleDescent(t *testing.T) {
	w := undisturbed(t, "double_descent", foreign.DoubleDescent().Play)
	for _, seed := range seeds(t, 2) {
		t.Run(fmt.Sprintf("killed at random moments, seed %d", seed), func(t *testing.T) { w.killed(t, 20, seed) })
	}
}

func soaking() bool { return os.Getenv("NULLIUS_SOAK") != "" }

// TestStudy_endsAlike: whatever happens to processes, and in however many of them it runs, a study comes to the same.
func TestStudy_endsAlike(t *testing.T) {
	t.Parallel()
	w := undisturbed(t, "bandit_lite", foreign.Play)
	kills, times := 5, 1
	if soaking() {
		kills, times = 20, 4
	}
	for _, seed := range seeds(t, times) {
		t.Run(fmt.Sprintf("killed at random moments, seed %d", seed), func(t *testing.T) { w.killed(t, kills, seed) })
	}
	if soaking() {
		t.Run("killed once in every step", w.killedInEachStep)
	}
	t.Run("stopped in order", w.stopped)
	t.Run("killed by itself in one step", w.crashing)
	if soaking() {
		t.Run("in six processes beside a broker", w.sixProcesses)
	}
	t.Run("in six processes that are killed", w.sixKilled)
	t.Run("with a second executor when the first is lost", w.secondExecutor)
	if soaking() {
		t.Run("on double_descent", killedOnDoubleDescent)
	}
}

// seeds gives NULLIUS_SEED, which replays a run, or n seeds of the clock.
func seeds(t *testing.T, n int) []uint64 {
	t.Helper()
	if text := os.Getenv("NULLIUS_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return []uint64{seed}
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = uint64(time.Now().UnixNano())
	}
	return out
}

// life is a process between its start and its kill.
type life struct {
	begun, ended time.Time
	serving      time.Duration
	step         string // at its end
}

// promised is how soon after a restart a study moves again; a test on a busy machine waits longer.
const (
	promised = 5 * time.Second
	patience = 4 * promised
)

// killed kills the all-in-one again and again; what had been paid for is not paid for again, but for calls in flight at a kill. Every other life is left
// alone until the study has moved in it, the others end at any moment.
func (w *world) killed(t *testing.T, kills int, seed uint64) {
	t.Logf("replay with NULLIUS_SEED=%d", seed)
	w.f.Reset()
	random := rand.New(rand.NewPCG(seed, 1))
	h, address := newHome(t), freePort(t)
	allowed := map[string]int{}
	var lives []life
	begun := time.Now()
	server := h.serve(t, w.bin, address)
	name := begin(t, address, w.template, w.f)
	last := events(t, address, name)
	for k := range kills {
		l := life{begun: begun, serving: time.Since(begun)}
		if k%2 == 1 {
			eventually(t, patience, func() error {
				if st, err := study(t, address, name); err != nil || events(t, address, name) > last || ended(st.GetState()) {
					return err
				}
				return fmt.Errorf("nothing moves after restart %d", k)
			})
		}
		select {
		case <-time.After(time.Duration(random.Int64N(int64(w.whole) * 2 / int64(kills)))):
		case err := <-server.done:
			t.Fatalf("the server ended by itself: %v\n%s", err, server.output())
		}
		if st, err := study(t, address, name); err == nil {
			l.step = place(st)
		}
		last = events(t, address, name)
		l.ended = time.Now()
		server.kill()
		for id, n := range w.f.Flying(250*time.Millisecond + time.Since(l.ended)) {
			allowed[id] += n
		}
		lives = append(lives, l)
		begun = time.Now()
		server = h.serve(t, w.bin, address)
	}
	lives = append(lives, life{begun: begun, serving: time.Since(begun), ended: time.Now().Add(time.Hour)})
	finish(t, address, name, 3*time.Minute)
	outcomeOf(t, address, name).same(t, w.want)
	w.notTwice(t, allowed)
	server.stop()
	moves(t, lives, h.audit(t))
}

// killedInEachStep kills the all-in-one as soon as it is seen in a step that it has not been killed in.
func (w *world) killedInEachStep(t *testing.T) {
	w.f.Reset()
	h, address := newHome(t), freePort(t)
	server := h.serve(t, w.bin, address)
	name := begin(t, address, w.template, w.f)
	seen, allowed := map[string]bool{}, map[string]int{}
	for over := false; !over; {
		var step string
		eventually(t, time.Minute, func() error {
			st, err := study(t, address, name)
			step, over = place(st), ended(st.GetState())
			if err == nil && !over && (step == "" || seen[step]) {
				err = fmt.Errorf("still in %q", step)
			}
			return err
		})
		if over {
			break
		}
		seen[step] = true
		began := time.Now()
		server.kill()
		for id, n := range w.f.Flying(250*time.Millisecond + time.Since(began)) {
			allowed[id] += n
		}
		server = h.serve(t, w.bin, address)
	}
	t.Logf("killed in %d steps: %s", len(seen), strings.Join(slices.Sorted(maps.Keys(seen)), ", "))
	if len(seen) < 8 {
		t.Error("that is few: steps go by unseen")
	}
	outcomeOf(t, address, name).same(t, w.want)
	w.notTwice(t, allowed)
	server.stop()
	h.audit(t)
}

// place says where a study stands.
func place(st *gatewayv1.Study) string {
	if len(st.GetIdeas()) == 0 {
		return st.GetStep()
	}
	return st.GetIdeas()[0].GetStep()
}

// events counts a study's and its ideas' journal events.
func events(t *testing.T, address, name string) (n int64) {
	st, err := study(t, address, name)
	if err != nil {
		return 0
	}
	n = st.GetEtag()
	for _, i := range st.GetIdeas() {
		n += i.GetEtag()
	}
	return n
}

// moves checks by the journals' times that each life which lasted long enough began or ended a step, and tells how soon.
func moves(t *testing.T, lives []life, journals []entry) {
	t.Helper()
	var steps []time.Time
	var end time.Time
	for _, j := range journals {
		switch at := j.event.GetTime().AsTime(); {
		case j.event.GetStepStarted() != nil, j.event.GetStepEnded() != nil, j.event.GetReleased() != nil:
			steps = append(steps, at)
		case j.event.GetEnded() != nil && at.After(end):
			end = at
		}
	}
	slices.SortFunc(steps, time.Time.Compare)
	for i, l := range lives {
		if l.begun.After(end) {
			t.Logf("life %d began after the study's end", i)
			continue
		}
		first := slices.IndexFunc(steps, func(at time.Time) bool { return at.After(l.begun) && at.Before(l.ended) })
		lasted := min(l.ended.Sub(l.begun), end.Sub(l.begun)).Round(time.Millisecond)
		if first < 0 {
			if lasted > patience {
				t.Errorf("nothing moved in life %d of %s", i, lasted)
			}
			t.Logf("life %d: serving after %s, killed after %s at %q before it moved", i, l.serving.Round(time.Millisecond), lasted, l.step)
			continue
		}
		moved := steps[first].Sub(l.begun).Round(time.Millisecond)
		t.Logf("life %d: serving after %s, moving after %s, killed after %s at %q", i, l.serving.Round(time.Millisecond), moved, lasted, l.step)
		if i > 0 && moved > patience {
			t.Errorf("life %d moved only after %s", i, moved)
		}
	}
}

// crashing lets the process die by its own fault in the same step until the idea waits for a person, who lets it go on. Kills from outside count little.
func (w *world) crashing(t *testing.T) {
	step, kind, prompt, kills := "novelty/assess", "novelty search", "Nothing has been searched yet", 1
	if soaking() {
		step, kind, prompt, kills = "writing/draft", "outline", "# Task: outline the paper", 12
	}
	w.f.Reset()
	w.held.Store(&prompt)
	defer w.held.Store(nil)
	h, address := newHome(t), freePort(t)
	server := h.serve(t, w.bin, address)
	name := begin(t, address, w.template, w.f)
	idea := name + "/ideas/idea-1"
	for n := range kills + 5 {
		eventually(t, time.Minute, func() error { return stepAt(t, address, idea, step, n+1) })
		sig := syscall.SIGABRT // the runtime reports it as it reports a panic
		if n < kills {
			sig = syscall.SIGKILL
		}
		server.end(sig)
		server = h.serve(t, w.bin, address)
	}
	cl, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.conn.Close()
	eventually(t, patience, func() error {
		got, err := cl.GetIdea(t.Context(), &gatewayv1.GetIdeaRequest{Name: idea})
		if s := got.GetIdea().GetSummary(); err == nil && s.GetWaitReason() != gatewayv1.WaitReason_QUARANTINE {
			err = fmt.Errorf("the idea is %s at %s, %s", s.GetState(), s.GetStep(), s.GetWaitReason())
		}
		return err
	})
	if report, err := os.ReadFile(filepath.Join(h.data, "gateway.crash")); err != nil || !strings.Contains(string(report), "SIGABRT") {
		t.Errorf("the crash's report: %v, %d bytes", err, len(report))
	}
	w.held.Store(nil)
	if _, err := cl.ApproveIdea(t.Context(), &gatewayv1.ApproveIdeaRequest{Name: idea, Comment: "mended"}); err != nil {
		t.Fatal(err)
	}
	finish(t, address, name, 2*time.Minute)
	outcomeOf(t, address, name).same(t, w.want)
	allowed := map[string]int{}
	for id := range w.f.Counts() {
		if strings.HasPrefix(w.f.Describe(id), kind+":") {
			allowed[id] = kills + 5 // the call that was held was in flight at each death
		}
	}
	w.notTwice(t, allowed)
	server.stop()
	entries := h.audit(t)
	if os.Getenv("NULLIUS_JOURNALS") == "write" {
		keepJournal(t, "2026-11", entries) // no version has been released: the month stands for it
	}
}

// stepAt tells what is missing until a step of an idea whose name begins with a text runs for the n-th time at least.
func stepAt(t *testing.T, address, idea, step string, n int) error {
	cl, err := dial(address)
	if err != nil {
		return err
	}
	defer cl.conn.Close()
	got, err := cl.GetIdea(t.Context(), &gatewayv1.GetIdeaRequest{Name: idea})
	if err != nil {
		return err
	}
	for _, s := range got.GetIdea().GetSteps() {
		if strings.HasPrefix(s.GetStep(), step) && s.GetState() == "running" && int(s.GetAttempts()) >= n {
			return nil
		}
	}
	sum := got.GetIdea().GetSummary()
	return fmt.Errorf("%s is %s at %s (%s), not at %s for the %d. time", idea, sum.GetState(), sum.GetStep(), sum.GetWaitReason(), step, n)
}

// notTwice checks that no prompt was paid for more often than in the undisturbed study, but as often as allowed.
func (w *world) notTwice(t *testing.T, allowed map[string]int) {
	t.Helper()
	for id, n := range w.f.Counts() {
		if extra := n - max(w.paid[id], 1); extra > allowed[id] {
			t.Errorf("a prompt was asked %d times too often, %d were in flight at kills: %s", extra, allowed[id], w.f.Describe(id))
		}
	}
	t.Logf("%d calls, undisturbed %d", w.f.Calls(), foreign.Total(w.paid))
}
