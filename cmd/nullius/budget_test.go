package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nullius.dev/bench/foreign"
)

// TestRun_budget: a study that reaches its budget waits without spending more, and goes on where it was when the budget is raised; no answer is paid for twice.
func TestRun_budget(t *testing.T) {
	p := &provider{model: foreign.New(), path: "/v1/chat/completions", auth: "Authorization", begins: "Bearer " + canary}
	srv := httptest.NewServer(p)
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	dir := t.TempDir()
	file := filepath.Join(dir, "models.yaml")
	// a call costs a cent or two at these prices, and may need half a dollar
	yaml := fmt.Sprintf("version: 1\nproviders: {lab: {api: openai, title: Lab, base_url: %q, key: LAB_API_KEY}}\nmodels:\n  - {match: \"lab/*\", context: 64000, max_output: 2000, "+
		"price: [{as_of: 2026-01-01, source: test, input: \"10\", output: \"200\"}]}\n", srv.URL+"/v1")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NULLIUS_MODELS_FILE", file)
	t.Setenv("LAB_API_KEY", canary)
	s, err := startSuite(t.Context(), suiteConfig{DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Log: newLogger("error")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.host.Stop(); err != nil {
			t.Error(err)
		}
	}()
	at := []string{"--address", s.gateway.Address()}
	const limit = 0.60
	code, out, errOut := nullius(t, append(at, "run", "bandit_lite", "--model", "lab/m", "--engine", "local", "--size", "smoke", "--until", "figures", "--budget", fmt.Sprint(limit),
		"--results", filepath.Join(dir, "results"))...)
	if code != exitWaiting || !strings.Contains(out+errOut, "BUDGET") {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	_, shown, _ := nullius(t, append(at, "show", "bandit_lite-1/idea-1")...)
	if !strings.Contains(shown, "WAITING(BUDGET)") || !strings.Contains(shown, "nullius approve bandit_lite-1 --add-budget 1") {
		t.Errorf("it does not say what it waits for:\n%s", shown)
	}
	for _, command := range [][]string{{"watch", "bandit_lite-1"}, {"watch", "bandit_lite-1/idea-1"}, {"wait", "bandit_lite-1", "--timeout", "1m"}, {"wait", "bandit_lite-1/idea-1", "--timeout", "1m"}} {
		if code, out, errOut := nullius(t, append(at, command...)...); code != exitWaiting {
			t.Errorf("%v: exit code %d\n%s%s", command, code, out, errOut)
		}
	}
	spentOf := func() (spent, calls int64) {
		t.Helper()
		code, out, errOut := nullius(t, append(at, "cost", "bandit_lite-1", "-o", "json")...)
		var got struct{ Total costRow }
		if err := json.Unmarshal([]byte(out), &got); code != exitDone || err != nil {
			t.Fatalf("cost: exit code %d, %v\n%s", code, err, errOut)
		}
		return got.Total.Pico, int64(got.Total.Calls)
	}
	spent, calls := spentOf()
	if spent > int64(limit*1e12) || calls == 0 || int(calls) != p.model.Calls() {
		t.Errorf("%d calls cost %d pico-dollars, the provider saw %d; the limit is $%v", calls, spent, p.model.Calls(), limit)
	}
	time.Sleep(time.Second) // what waits does not spend
	if n := p.model.Calls(); int64(n) != calls {
		t.Errorf("%d calls were made while waiting", int64(n)-calls)
	}
	began := time.Now()
	if code, out, errOut = nullius(t, append(at, "approve", "bandit_lite-1", "--add-budget", "50")...); code != exitDone {
		t.Fatalf("approve: exit code %d\n%s%s", code, out, errOut)
	}
	eventually(t, 10*time.Second, func() error {
		if int64(p.model.Calls()) == calls {
			return fmt.Errorf("no call %s after the raise", time.Since(began))
		}
		return nil
	})
	if code, out, errOut = nullius(t, append(at, "wait", "bandit_lite-1", "--timeout", "5m", "--exit-status")...); code != exitDone {
		_, shown, _ := nullius(t, append(at, "show", "bandit_lite-1/idea-1")...)
		t.Fatalf("wait: exit code %d\n%s%s\n%s", code, out, errOut, shown)
	}
	if n := p.model.Repeats("review", "mend"); n > 0 {
		t.Errorf("%d prompts were paid for twice", n)
	}
	if _, calls := spentOf(); int(calls) != p.model.Calls() {
		t.Errorf("cost knows %d calls, the provider %d", calls, p.model.Calls())
	}
}
