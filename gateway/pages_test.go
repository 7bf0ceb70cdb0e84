package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// hostileTitle is what a model might write to break out of a page.
const hostileTitle = `<script>alert("x")</script> & 'q" onload=1`

// site is where the world's gateway serves pages.
func (w *world) site() string {
	w.t.Helper()
	var p peer.Peer
	if _, err := w.api.GetStatus(w.t.Context(), &gatewayv1.GetStatusRequest{}, grpc.Peer(&p)); err != nil {
		w.t.Fatal(err)
	}
	return "http://" + p.Addr.String()
}

// page reads a page, and checks what holds for all of them.
func page(t *testing.T, url string, code int) string {
	t.Helper()
	body, r := get(t, url)
	if r.StatusCode != code {
		t.Fatalf("%s: %s, want %d\n%s", url, r.Status, code, body)
	}
	if got := r.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'self';") || strings.Contains(got, "unsafe") {
		t.Errorf("%s: policy %q", url, got)
	}
	if got := r.Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("%s: type %q", url, got)
	}
	for _, bad := range []string{" style=", "<style", "<script>", " onload=1>", "http://", "https://", "ZgotmplZ", "<no value>"} {
		if strings.Contains(body, bad) {
			t.Errorf("%s contains %q:\n%s", url, bad, body)
		}
	}
	if strings.Count(body, "<h1") != 1 || !strings.Contains(body, `<html lang="en">`) || !strings.Contains(body, `class="skip"`) {
		t.Errorf("%s lacks a heading, a language or the link to its content", url)
	}
	return body
}

func get(t *testing.T, url string) (string, *http.Response) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b), r
}

func TestEveryPageOfAStudyShowsModelTextAsText(t *testing.T) {
	w := newWorld(t)
	w.w.fail = func(job string) bool { return strings.HasSuffix(job, "run-2/execute-1") }
	name := w.study(&gatewayv1.StudySettings{Improvement: true}, &recordv1.Idea{Name: "k", Title: hostileTitle, Experiment: "<b>vary</b>", Hypothesis: `"><img src=x>`})
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	site := w.site()
	for path, wants := range map[string][]string{
		"/":                                {"nullius status", "SUCCEEDED", "Failed today", "GPUs busy"},
		"/approvals":                       {"nullius list approvals", "Nothing waits for a person"},
		"/nodes":                           {"nullius nodes", "node-1", "gpu-7"},
		"/" + name:                         {"idea-1", "Baseline", "nullius watch"},
		"/" + name + "/ideas/idea-1":       {"run-2/execute-1", "&lt;b&gt;vary", "&#34;&gt;&lt;img", "step-ended", `alt="`},
		"/" + name + "/ideas/idea-1/paper": {"Second review", "COMPILED"},
		"/" + name + "/ideas/idea-1/trace": {"nullius trace"},
		"/" + name + "/ideas/idea-1?step=experiments/run-2/execute-1": {`id="step"`, "nullius logs", "rack-7, sandbox strict",
			"CPU 1.5 s, memory 64 MiB, read 512 bytes, wrote 8388 kB", "0.3 s for processors, 0.0 s for memory, 2.0 s for storage"},
	} {
		t.Run(path, func(t *testing.T) {
			body := page(t, site+path, http.StatusOK)
			if strings.HasPrefix(path, "/studies/") {
				wants = append(wants, "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt; &amp; &#39;q&#34; onload=1")
			}
			for _, want := range wants {
				if !strings.Contains(body, want) {
					t.Errorf("no %q in\n%s", want, body)
				}
			}
		})
	}
}

func TestWhatIsNotThereIsSaidWithReasonAndNextCommand(t *testing.T) {
	w := newWorld(t)
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Until: "novelty"})
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	site := w.site()
	for path, reason := range map[string]string{
		"/studies/none":                       "STUDY_UNKNOWN",
		"/studies/%3Cscript%3E":               "NAME_INVALID",
		"/" + name + "/ideas/idea-9":          "IDEA_UNKNOWN",
		"/" + name + "/ideas/idea-9/paper":    "IDEA_UNKNOWN",
		"/" + name + "/ideas/idea-9/trace":    "IDEA_UNKNOWN",
		"/nothing/%22%3E%3Cscript%3Ealert(1)": "PAGE_UNKNOWN",
	} {
		t.Run(path, func(t *testing.T) {
			body := page(t, site+path, http.StatusNotFound)
			if !strings.Contains(body, reason) || !strings.Contains(body, "next: <code>nullius ") {
				t.Errorf("no reason %s or no next command in\n%s", reason, body)
			}
		})
	}
	if body, r := get(t, site+"/v1/nothing"); r.StatusCode != http.StatusNotFound || !strings.Contains(body, "PAGE_UNKNOWN") || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("unknown path of the API: %s %s", r.Status, body)
	}
	for _, c := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{http.MethodDelete, "/v1/studies", "", http.StatusMethodNotAllowed, "/v1/studies takes no DELETE"},
		{http.MethodPost, "/v1/status", "{}", http.StatusMethodNotAllowed, "/v1/status takes no POST"},
		{http.MethodPut, "/v1/" + name, "{}", http.StatusMethodNotAllowed, "takes no PUT"},
		{http.MethodPost, "/v1/studies", "{}", http.StatusBadRequest, `"field":"template"`},
		{http.MethodGet, "/v1/nodes", "", http.StatusOK, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, site+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		if err = errors.Join(err, r.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if text := strings.ReplaceAll(string(body), " ", ""); r.StatusCode != c.code || r.Header.Get("Content-Type") != "application/json" || !json.Valid(body) || !strings.Contains(text, strings.ReplaceAll(c.says, " ", "")) {
			t.Errorf("%s %s: %s %s", c.method, c.path, r.Status, body)
		}
	}
}

func TestAPageOffersTheActionsThatAreLegal(t *testing.T) {
	w := newWorld(t)
	name := w.study(&gatewayv1.StudySettings{Ideas: 1, Gates: []string{"experiments"}, Until: "experiments"})
	idea := name + "/ideas/idea-1"
	i := w.ideaUntil(idea, gatewayv1.IdeaState_WAITING)
	site := w.site()
	body := page(t, site+"/"+idea, http.StatusOK)
	if home := page(t, site+"/", http.StatusOK); !strings.Contains(home, `href="/`+idea+`"`) || !strings.Contains(home, "1 idea WAITING (APPROVAL)") || !strings.Contains(home, `href="/approvals#`) {
		t.Errorf("the first page does not show what waits:\n%s", home)
	}
	for _, want := range []string{`action="/v1/` + idea + `:approve"`, `formaction="/v1/` + idea + `:reject"`, `action="/v1/` + idea + `:cancel"`, fmt.Sprintf(`name="etag" value="%d"`, i.GetEtag())} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in\n%s", want, body)
		}
	}
	w.post(site+"/v1/"+idea+":approve", fmt.Sprintf(`{"comment":"go","requestId":"r","etag":"%d"}`, i.GetEtag()))
	w.until(name, gatewayv1.IdeaState_SUCCEEDED)
	if body := page(t, site+"/"+idea, http.StatusOK); strings.Contains(body, "data-act") {
		t.Errorf("an ended idea offers an action:\n%s", body)
	}
}

// post sends what a form's script sends.
func (w *world) post(url, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	b, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil || r.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s %v", r.Status, b, err)
	}
}
