package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// moody answers in a model's place from the n-th call on, until it is cured.
type moody struct {
	model   http.Handler
	trouble func(http.ResponseWriter, *http.Request)
	after   int32

	calls, troubled atomic.Int32
	cured           atomic.Bool
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.calls.Add(1) > m.after && !m.cured.Load() {
		m.troubled.Add(1)
		m.trouble(w, r)
		return
	}
	m.model.ServeHTTP(w, r)
}

func answers(code int, headers ...string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		http.Error(w, `{"error":{"message":"no"}}`, code)
	}
}

func reset(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func cutStream(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = fmt.Fprint(w, `data: {"id":"x","object":"chat.completion.chunk","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"I was going to"}}]}`+"\n\n")
}

func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
	<-r.Context().Done()
}

// TestRun_providerInTrouble: a provider that fails in any way makes the idea wait where everybody sees it, asks it little, and is taken up again without a person.
func TestRun_providerInTrouble(t *testing.T) {
	t.Parallel()
	turns := atomic.Int32{}
	kinds := []func(http.ResponseWriter, *http.Request){answers(500), reset, answers(503, "Retry-After", "1"), cutStream}
	for _, c := range []struct {
		name    string
		trouble func(http.ResponseWriter, *http.Request)
		soak    bool
	}{
		{"limits without a time", answers(429), false},
		{"limits with a long time", answers(429, "Retry-After", "3600"), true},
		{"errors, resets and cut streams in turn", func(w http.ResponseWriter, r *http.Request) { kinds[int(turns.Add(1))%len(kinds)](w, r) }, false},
		{"limits with a short time", answers(429, "Retry-After", "1"), true},
		{"errors", answers(500), true},
		{"resets", reset, true},
		{"cut streams", cutStream, true},
		{"empty successes", func(http.ResponseWriter, *http.Request) {}, true},
		{"web pages", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, "<html>Welcome</html>") }, true},
	} {
		if c.soak && os.Getenv("NULLIUS_SOAK") == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ridesOut(t, c.trouble)
		})
	}
}

// TestRun_silentProvider: one that takes a request and says nothing is given up by the clock.
func TestRun_silentProvider(t *testing.T) {
	if os.Getenv("NULLIUS_SOAK") == "" {
		t.Skip("takes two minutes; NULLIUS_SOAK=1 runs it")
	}
	for _, service := range []string{"IDEATION", "CODER"} {
		t.Setenv("NULLIUS_"+service+"_MODELS_TIMES_FIRST_BYTE", "5s")
	}
	ridesOut(t, hang)
}

// ridesOut runs a study whose model begins to fail after some calls, until the wait is seen; then it works again.
func ridesOut(t *testing.T, trouble func(http.ResponseWriter, *http.Request)) {
	t.Helper()
	var m *moody
	f := newModelBehind(t, func(h http.Handler) http.Handler {
		m = &moody{model: h, trouble: trouble, after: 6}
		return m
	})
	const tokens = 2_000_000
	dir, address := t.TempDir(), freePort(t)
	var out, errOut bytes.Buffer
	done := make(chan int, 1)
	go func() {
		done <- execute(t.Context(), []string{"run", "bandit_lite", "--data-dir", filepath.Join(dir, "data"), "--address", address, "--model", f.name, "--engine", "local",
			"--size", "smoke", "--until", "experiments", "--budget-tokens", fmt.Sprint(tokens), "--results", filepath.Join(dir, "results")}, &out, &errOut)
	}()
	eventually(t, 20*time.Minute, func() error {
		code, shown, errText := nullius(t, "show", "bandit_lite-1/idea-1", "--address", address)
		if code != exitDone || !strings.Contains(shown, "WAITING(PROVIDER)") {
			return fmt.Errorf("exit code %d, not yet waiting: %s%s", code, shown, errText)
		}
		t.Logf("after %d calls in trouble:\n%s", m.troubled.Load(), shown)
		return nil
	})
	if n := m.troubled.Load(); n > 5 {
		t.Errorf("%d calls were made before waiting", n)
	}
	st, err := study(t, address, "studies/bandit_lite-1")
	if err != nil {
		t.Fatal(err)
	}
	if a := st.GetAccount(); a.GetLimitTokens() != tokens || a.GetSpentTokens() > tokens {
		t.Errorf("the account is %v", a)
	}
	m.cured.Store(true)
	select {
	case code := <-done:
		if code != exitDone {
			t.Errorf("exit code %d\n%s%s", code, &out, &errOut)
		}
	case <-time.After(4 * time.Minute):
		t.Fatal("the study was not taken up again")
	}
	if !strings.Contains(out.String(), "WAITING PROVIDER") {
		t.Errorf("the wait was not told:\n%s", &out)
	}
	t.Logf("%s%s", &errOut, &out)
}
