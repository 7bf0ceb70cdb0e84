package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/store"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

func (w *workers) ListNodes(context.Context, *executorv1.ListNodesRequest) (*executorv1.ListNodesResponse, error) {
	return &executorv1.ListNodesResponse{Queued: 1, Nodes: []*executorv1.Node{{
		Name: "node-1", Pools: []string{"gpu"}, Level: "strict", Heartbeat: timestamppb.Now(), MemoryBytes: 8 << 30,
		Slots: []*executorv1.Slot{
			{Id: "gpu-7", Kind: "gpu", State: "BUSY", Model: "Seven", JobId: "s-1/idea-1/experiments/run-1/execute-1", Since: timestamppb.Now()}, {Id: "gpu-8", Kind: "gpu", State: "FREE"}},
		Refusals: []*executorv1.Refusal{{Reason: "SANDBOX_TOO_WEAK", Text: "no memory limit", Remedy: "delegate the cgroup"}},
	}}}, nil
}

// wants checks that a page holds all of some texts, and none of others, which begin with "!".
func wants(t *testing.T, body string, texts ...string) {
	t.Helper()
	for _, want := range texts {
		if bad, no := strings.CutPrefix(want, "!"); no && strings.Contains(body, bad) {
			t.Errorf("%q is in\n%s", bad, body)
		} else if !no && !strings.Contains(body, want) {
			t.Errorf("no %q in\n%s", want, body)
		}
	}
}

func TestHomeAndInboxShowWhatWaitsForAPersonAStudyToo(t *testing.T) {
	w := newWorld(t)
	w.w.hook = func(_ context.Context, step string) error {
		if strings.HasSuffix(step, "ideation/idea-1") {
			return budgetExceeded
		}
		return nil
	}
	broke := w.study(&gatewayv1.StudySettings{Ideas: 1, BudgetTokens: 100, BudgetPicoDollars: 2e12})
	w.until(broke, gatewayv1.IdeaState_WAITING)
	w.w.mu.Lock()
	w.w.hook = nil
	w.w.mu.Unlock()
	gated := w.study(&gatewayv1.StudySettings{Ideas: 1, Gates: []string{"experiments"}, Until: "experiments"})
	w.ideaUntil(gated+"/ideas/idea-1", gatewayv1.IdeaState_WAITING)
	site := w.site()
	home := page(t, site+"/", http.StatusOK)
	wants(t, home, `href="/`+broke+`"`, `href="/`+gated+`/ideas/idea-1"`, "Approvals <b>2</b>", "WAITING · BUDGET", "WAITING · APPROVAL", "1 of 2", `data-events="/v1/events?resume_token=`)
	inbox := page(t, site+"/approvals", http.StatusOK)
	wants(t, inbox, `action="/v1/`+broke+`/ideas/_:approve"`, `name="dollars"`, `name="tokens"`, "--add-tokens", `action="/v1/`+gated+`/ideas/idea-1:approve"`, `formaction="/v1/`+gated+`/ideas/idea-1:reject"`,
		`name="hypothesis"`, "none: no code of a model has run", "$2.00 of $2.00")
	w.post(site+"/v1/"+gated+"/ideas/idea-1:approve", `{"requestId":"e-1","comment":"go","edited":{"title":"Another title","plannedRuns":[{"name":"a","change":"b","expected":"c"}]}}`)
	w.until(gated, gatewayv1.IdeaState_SUCCEEDED)
	wants(t, page(t, site+"/"+gated+"/ideas/idea-1", http.StatusOK), "<h1 dir=\"auto\">Another title</h1>", "waits: APPROVAL", "approved by user")
	wants(t, page(t, site+"/approvals", http.StatusOK), "!"+gated)
}

func TestAFailedIdeaOffersTheStagesItHasBegun(t *testing.T) {
	w := newWorld(t)
	w.w.hook = func(_ context.Context, step string) error {
		if strings.HasSuffix(step, "writing/draft") {
			return keyRefused
		}
		return nil
	}
	name := w.study(&gatewayv1.StudySettings{Ideas: 1})
	idea := name + "/ideas/idea-1"
	w.ideaUntil(idea, gatewayv1.IdeaState_FAILED)
	site := w.site()
	body := page(t, site+"/"+idea, http.StatusOK)
	wants(t, body, `action="/v1/`+idea+`:retry"`, "<option>novelty</option>", "<option>writing</option>", "!<option>review</option>", "FAILED · KEY_REFUSED", "!data-events")
	wants(t, page(t, site+"/", http.StatusOK), "KEY_REFUSED", "nullius doctor")
	w.w.mu.Lock()
	w.w.hook = nil
	w.w.mu.Unlock()
	reached, release := make(chan struct{}, 1), make(chan struct{})
	w.w.mu.Lock()
	w.w.hook = func(ctx context.Context, step string) error {
		if strings.HasSuffix(step, "experiments-2/run-1/implement") {
			reached <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	w.w.mu.Unlock()
	w.post(site+"/v1/"+idea+":retry", `{"requestId":"r-9","from":"experiments"}`)
	<-reached
	for _, path := range []string{name, idea} { // both go on again, whenever they ended before
		wants(t, page(t, site+"/"+path, http.StatusOK), "data-events", path+":cancel", "RUNNING")
	}
	close(release)
	w.ideaUntil(idea, gatewayv1.IdeaState_SUCCEEDED)
	wants(t, page(t, site+"/"+idea, http.StatusOK), "dropped by a retry", "experiments-2/run-1/execute-1")
}

func TestTheLogOfARunningStepIsShownWhileItRuns(t *testing.T) {
	w := newWorld(t)
	w.w.prints = "epoch 1 <loss> 0.5\n"
	reached, release := make(chan struct{}, 1), make(chan struct{})
	w.w.hook = func(ctx context.Context, step string) error {
		if strings.HasSuffix(step, "run-1/execute-1") {
			reached <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return ctx.Err()
	}
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "experiments"})
	<-reached
	site := w.site()
	base := site + "/" + name + "/ideas/idea-1"
	kittest.Eventually(t, 10*time.Second, func() error {
		if body, r := get(t, base+"/log"); body != w.w.prints || r.Header.Get("X-Step") != "experiments/run-1/execute-1" || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			return fmt.Errorf("the log is %q of %q", body, r.Header.Get("X-Step"))
		}
		return nil
	})
	wants(t, page(t, base, http.StatusOK), `data-log="/`+name+`/ideas/idea-1/log"`, "epoch 1 &lt;loss&gt; 0.5", "&amp;logs=true", "Logs live")
	close(release)
	w.ideaUntil(name+"/ideas/idea-1", gatewayv1.IdeaState_SUCCEEDED)
	if body, _ := get(t, base+"/log"); body != "" {
		t.Errorf("an ended idea still prints %q", body)
	}
}

func TestANumberOfAPaperLeadsToItsMeasurementAndItsJob(t *testing.T) {
	w := newWorld(t)
	record, err := json.Marshal(map[string]any{"numbers": []any{
		map[string]any{"section": "results", "paragraph": 2, "text": `0.50 \pm 0.01`, "kind": "measured", "expr": "diff(run_1/d/loss,run_0/d/loss)", "value": 0.5, "n": 3, "runs": []int{0, 1}},
		map[string]any{"section": "results", "paragraph": 3, "text": "7", "kind": "measured", "expr": "run_1/d/accuracy", "value": 7, "runs": []int{1}},
		map[string]any{"section": "setup", "paragraph": 1, "text": "8", "kind": "setting", "expr": "<SEEDS>", "value": 8},
	}, "unexplained": []any{map[string]any{"section": "abstract", "text": "116", "sentence": "a factor of 116 <b>"}},
		"findings": []any{map[string]any{"id": "P02", "severity": "A", "text": "too wide"}, map[string]any{"id": "D02", "severity": "B", "section": "results", "text": "not separated"}, map[string]any{"id": "F04", "severity": "B", "text": "bold", "mended_by": "code"}}})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := store.Edit(t.Context(), w.blobs, store.Digest(w.tree), map[string][]byte{"verification.json": record}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.w.tree = string(tree)
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "writing"})
	idea := name + "/ideas/idea-1"
	w.ideaUntil(idea, gatewayv1.IdeaState_SUCCEEDED)
	site := w.site()
	body := page(t, site+"/"+idea+"/paper", http.StatusOK)
	wants(t, body, `class="num" href="/`+idea+`#m-1-d-loss"`, "0.50 ± 0.01", `href="/`+idea+`?step=experiments/run-1/execute-1#step"`, `href="/`+name+`#baseline"`, "run_1/d/accuracy: no such measurement", `/files/run_1.py">code`, "!run_0.py",
		"&lt;SEEDS&gt;", "UNEXPLAINED", "a factor of 116 &lt;b&gt;", "Mended findings")
	if strings.Index(body, "not separated") > strings.Index(body, "too wide") {
		t.Error("advice comes before a defect")
	}
	wants(t, page(t, site+"/"+idea, http.StatusOK), `id="m-1-d-loss"`, `id="m-0-d-loss"`)
}

func TestAStudysIdeasAreFilteredAndSortedByTheAddress(t *testing.T) {
	w := newWorld(t)
	name := w.study(&gatewayv1.StudySettings{Until: "experiments"}, &recordv1.Idea{Name: "a", Title: "A known thing", Experiment: "x"}, &recordv1.Idea{Name: "b", Title: "Something new", Experiment: "y"})
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	site := w.site() + "/" + name
	wants(t, page(t, site, http.StatusOK), `action="/v1/`+name+`/ideas"`, "nullius submit idea.json")
	for query, want := range map[string][]string{
		"?state=REJECTED":     {"A known thing", "!Something new</a>", "1 of 2 shown"},
		"?find=NEW":           {"!A known thing</a>", "Something new", `value="NEW"`},
		"?find=%3Cscript%3E":  {"No idea fits the filter", "&lt;script&gt;"},
		"?sort=newest":        {"2 of 2 shown", `<option value="newest" selected>`},
		"?sort=x&state=OTHER": {"No idea fits the filter"},
	} {
		t.Run(query, func(t *testing.T) { wants(t, page(t, site+query, http.StatusOK), want...) })
	}
}

func TestLongAndRightToLeftTitlesStayWithinTheirPlace(t *testing.T) {
	w := newWorld(t)
	title := "שלום \u202eevil " + strings.Repeat("w", 4<<10)
	name := w.study(&gatewayv1.StudySettings{Until: "novelty"}, &recordv1.Idea{Name: "k", Title: title, Experiment: strings.Repeat("x", 4<<10)})
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	site := w.site()
	wants(t, page(t, site+"/"+name, http.StatusOK), `dir="auto">שלום`)
	long := strings.Repeat("w", 1<<10)
	wants(t, page(t, site+"/"+name, http.StatusOK), "!"+long)
	wants(t, page(t, site+"/"+name+"/ideas/idea-1", http.StatusOK), `<h1 dir="auto">שלום`, `<dd dir="auto">`+title+"</dd>", "!"+long+"</h1>")
}

// TestAPageFollowsFromWhereItWasRead: the stream that a page names brings every event after the page was made, of all studies.
func TestAPageFollowsFromWhereItWasRead(t *testing.T) {
	w := newWorld(t)
	site := w.site()
	_, rest, _ := strings.Cut(page(t, site+"/", http.StatusOK), `data-events="`)
	address, _, _ := strings.Cut(rest, `"`)
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "novelty"})
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, site+address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close() //nolint:errcheck // only read
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s: %s %s", address, r.Status, r.Header.Get("Content-Type"))
	}
	first, ended := "", false
	for in := bufio.NewScanner(r.Body); !ended && in.Scan(); {
		if line := in.Text(); strings.HasPrefix(line, "data: ") {
			if first == "" {
				first = line
			}
			ended = strings.Contains(line, `"kind":"ended"`) && strings.Contains(line, `"idea":"_"`)
		}
	}
	if !strings.Contains(first, `"kind":"accepted"`) || !ended {
		t.Errorf("first event %s, the study's end seen: %v", first, ended)
	}
}

func TestChangesFromOtherSitesAndOtherHostsAreRefused(t *testing.T) {
	w := newWorld(t)
	site := w.site()
	for name, c := range map[string]struct {
		host, origin string
		code         int
	}{
		"another site":                     {"", "http://evil.example", http.StatusForbidden},
		"a page without an origin":         {"", "null", http.StatusForbidden},
		"another port of this machine":     {"", "http://127.0.0.1:1", http.StatusForbidden},
		"a name that was rebound":          {"evil.example:7700", "", http.StatusForbidden},
		"a name that was rebound, no port": {"evil.example", "", http.StatusForbidden},
		"itself":                           {"", site, http.StatusNotFound},
		"a program":                        {"", "", http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site+"/v1/studies/none:cancel", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			req.Host = c.host
			if c.origin != "" {
				req.Header.Set("Origin", c.origin)
			}
			r, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			if r.StatusCode != c.code {
				t.Errorf("%s, want %d", r.Status, c.code)
			}
		})
	}
}

var (
	budgetExceeded = fault.New(fault.Exhausted, "BUDGET_EXCEEDED", "all is used")
	keyRefused     = fault.New(fault.Unauthenticated, "KEY_REFUSED", "the key was refused").WithNext("nullius doctor")
)
