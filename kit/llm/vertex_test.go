package llm_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// cloud plays Google without a network, so that its clock can be a test's: a service of tokens, and Vertex AI, which takes those that hold.
type cloud struct {
	mu      sync.Mutex
	asked   int                  // tokens
	until   map[string]time.Time // by token
	refused int                  // calls with a token that does not hold
	called  int
	token   func(n int, r *http.Request) (int, string) // another answer of the service of tokens; 0: a token
	revoked map[string]bool
}

func (c *cloud) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := func(status int, kind, body string) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
	if strings.HasSuffix(r.URL.Path, "/token") {
		c.asked++
		if c.token != nil {
			if status, body := c.token(c.asked, r); status != 0 {
				return answer(status, "application/json", body)
			}
		}
		token := fmt.Sprintf("ya29.token-number-%d", c.asked)
		c.until[token] = time.Now().Add(time.Hour)
		return answer(200, "application/json", fmt.Sprintf(`{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, token))
	}
	c.called++
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !time.Now().Before(c.until[token]) || c.revoked[token] {
		c.refused++
		return answer(401, "application/json", `[{"error":{"code":401,"message":"Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.","status":"UNAUTHENTICATED"}}]`)
	}
	var body strings.Builder
	for _, e := range llmfault.Claude(llmfault.ClaudeReply("hello")...).Events {
		body.WriteString(e.Raw)
	}
	return answer(200, "text/event-stream", body.String())
}

// vertexDoor is a door to the cloud, and a call by name. It may be made inside a bubble of time.
func vertexDoor(t *testing.T, c *cloud, file string, change ...func(*llm.Config, *llm.Deps)) func(call string) (llm.Reply, error) {
	c.until, c.revoked = map[string]time.Time{}, map[string]bool{}
	env := map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": file, "ANTHROPIC_VERTEX_PROJECT_ID": "proj-1"}
	cfg, deps := llm.Config{}, llm.Deps{Env: func(k string) string { return env[k] }, Transport: c}
	for _, f := range change {
		f(&cfg, &deps)
	}
	d, err := llm.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return func(call string) (llm.Reply, error) {
		r := ask("Say.")
		r.Model, r.Origin.Call = "vertex/claude-sonnet-4-5@20250929", call
		return d.Chat(t.Context(), r)
	}
}

// TestDoor_Chat_renews_the_token_of_Vertex_in_time: a token is kept as long as it holds, renewed before it ends, and by one caller for all.
func TestDoor_Chat_renews_the_token_of_Vertex_in_time(t *testing.T) {
	file := serviceAccount(t, "https://google.test")
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{}
		call := vertexDoor(t, c, file)
		began := time.Now()
		for i, at := range []struct {
			after time.Duration
			asked int
		}{{0, 1}, {30 * time.Minute, 1}, {59 * time.Minute, 1}, {time.Hour - 5*time.Second, 2}, {90 * time.Minute, 2}, {25 * time.Hour, 3}} {
			time.Sleep(at.after - time.Since(began))
			if rep, err := call(fmt.Sprint("call-", i)); err != nil || rep.Text != "hello" {
				t.Fatalf("after %s: %+v, %v", at.after, rep, err)
			}
			if c.asked != at.asked || c.refused != 0 {
				t.Errorf("after %s: %d tokens, want %d; %d calls were refused", at.after, c.asked, at.asked, c.refused)
			}
		}
		time.Sleep(2 * time.Hour)
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				if _, err := call(fmt.Sprint("parallel-", i)); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if c.asked != 4 || c.refused != 0 {
			t.Errorf("64 callers asked for %d tokens, want 1; %d calls were refused", c.asked-3, c.refused)
		}
	})
}

// TestDoor_Chat_asks_for_another_token_when_one_is_refused: once, within the same call; a second refusal is one of the account.
func TestDoor_Chat_asks_for_another_token_when_one_is_refused(t *testing.T) {
	file := serviceAccount(t, "https://google.test")
	synctest.Test(t, func(t *testing.T) {
		c := &cloud{}
		call := vertexDoor(t, c, file)
		if _, err := call("first"); err != nil {
			t.Fatal(err)
		}
		c.revoked["ya29.token-number-1"] = true
		if rep, err := call("second"); err != nil || rep.Text != "hello" || c.asked != 2 || c.refused != 1 {
			t.Fatalf("got %+v, %v after %d tokens", rep, err, c.asked)
		}
		c.revoked["ya29.token-number-2"], c.revoked["ya29.token-number-3"] = true, true
		_, err := call("third")
		if fault.ReasonOf(err) != "KEY_REFUSED" || err.Error() != "Vertex AI refused the key from GOOGLE_APPLICATION_CREDENTIALS (401)" || c.asked != 3 {
			t.Errorf("got %v after %d tokens", err, c.asked)
		}
	})
}

// TestDoor_Chat_waits_for_the_service_of_tokens: what it cannot do now is no refusal of the key, and what it says shows no secret of the file.
func TestDoor_Chat_waits_for_the_service_of_tokens(t *testing.T) {
	t.Run("it is down and comes back", func(t *testing.T) {
		file := serviceAccount(t, "https://google.test")
		synctest.Test(t, func(t *testing.T) {
			c := &cloud{token: func(n int, _ *http.Request) (int, string) {
				if n < 4 {
					return 503, "try later"
				}
				return 0, ""
			}}
			if rep, err := vertexDoor(t, c, file)("first"); err != nil || rep.Text != "hello" || rep.PossiblyPaid || c.called != 1 {
				t.Errorf("got %+v, %v after %d calls", rep, err, c.called)
			}
		})
	})
	t.Run("it echoes what it was sent", func(t *testing.T) {
		const refresh, secret = "1//canary-refresh-0123456789", "GOCSPX-canary-0123456789"
		data, err := json.Marshal(map[string]string{"type": "authorized_user", "client_id": "id.apps", "client_secret": secret, "refresh_token": refresh, "quota_project_id": "proj-1"})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "user.json")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		logs := &strings.Builder{}
		c := &cloud{token: func(_ int, r *http.Request) (int, string) {
			if err := r.ParseForm(); err != nil {
				t.Error(err)
			}
			if r.Form.Get("refresh_token") != refresh {
				t.Errorf("sent %v", r.Form)
			}
			_, basic, _ := r.BasicAuth()
			return 400, fmt.Sprintf(`{"error":"invalid_grant","error_description":"no such token %s of %s %s %s"}`, r.Form.Get("refresh_token"), r.Form.Get("client_secret"), basic, secret)
		}}
		_, err = vertexDoor(t, c, file, withLog(logs))("first")
		if fault.ReasonOf(err) != "KEY_REFUSED" || !strings.Contains(err.Error(), "gave no credentials from Google's token service: invalid_grant no such token ***") {
			t.Errorf("got %v", err)
		}
		for _, canary := range []string{refresh, secret} {
			if strings.Contains(err.Error()+logs.String(), canary) {
				t.Errorf("%s shows: %v\n%s", canary, err, logs)
			}
		}
	})
}
