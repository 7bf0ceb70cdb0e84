package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

// begin starts a study on bandit_lite by the API and returns its name.
func begin(t *testing.T, address string, f *model, change func(*gatewayv1.StudySettings)) string {
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
	settings := &gatewayv1.StudySettings{Model: f.name, Ideas: 1, Engine: "local", Size: "smoke", Improvement: true}
	if change != nil {
		change(settings)
	}
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
	f     *model
	bin   string
	want  outcome
	paid  map[string]int // prompts of the undisturbed study
	whole time.Duration  // that it took
}

// TestStudy_endsAlike: whatever happens to processes, and in however many of them it runs, a study comes to the same.
func TestStudy_endsAlike(t *testing.T) {
	w := &world{f: newModel(t), bin: build(t, ".", "nullius.dev/gateway/cmd/gateway", "nullius.dev/services/ideation/cmd/ideation", "nullius.dev/services/coder/cmd/coder",
		"nullius.dev/services/executor/cmd/executor", "nullius.dev/services/writer/cmd/writer", "nullius.dev/services/reviewer/cmd/reviewer")}
	w.f.Latency = 40 * time.Millisecond
	address := freePort(t)
	server := serveAt(t, w.bin, t.TempDir(), address)
	start := time.Now()
	name := begin(t, address, w.f, nil)
	finish(t, address, name, time.Minute)
	w.whole, w.want = time.Since(start), outcomeOf(t, address, name)
	server.kill()
	w.paid = w.f.Reset()
	t.Logf("undisturbed: %s, %d calls", w.whole.Round(time.Millisecond), foreign.Total(w.paid))
	t.Run("killed at random moments", w.killed)
	w.f.Reset()
	t.Run("in six processes beside a broker", w.sixProcesses)
}

// killed kills the all-in-one again and again; what had been paid for is not paid for again, but for calls in flight at a kill.
func (w *world) killed(t *testing.T) {
	kills := 5
	if os.Getenv("NULLIUS_SOAK") != "" {
		kills = 20
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	data, address := t.TempDir(), freePort(t)
	server := serveAt(t, w.bin, data, address)
	name := begin(t, address, w.f, nil)
	allowed, hit := map[string]int{}, map[string]int{}
	for k := range kills {
		rest := time.Duration(random.Int64N(int64(w.whole) * 2 / int64(kills)))
		select {
		case <-time.After(rest):
		case err := <-server.done:
			t.Fatalf("the server ended by itself: %v\n%s", err, server.output())
		}
		before, _ := study(t, address, name) // only told
		for _, i := range before.GetIdeas() {
			hit[i.GetStep()]++
		}
		if n := len(before.GetIdeas()); n > 0 && hit[before.GetIdeas()[0].GetStep()] > 4 {
			continue // five deaths in one step put an idea into quarantine, as they should
		}
		server.kill()
		for id, n := range w.f.Flying(250 * time.Millisecond) {
			allowed[id] += n
		}
		again := time.Now()
		server = serveAt(t, w.bin, data, address)
		for _, i := range before.GetIdeas() {
			t.Logf("kill %d after %s in %s; serving again after %s", k+1, rest.Round(time.Millisecond), i.GetStep(), time.Since(again).Round(time.Millisecond))
		}
	}
	finish(t, address, name, 2*time.Minute)
	outcomeOf(t, address, name).same(t, w.want)
	w.notTwice(t, allowed)
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
