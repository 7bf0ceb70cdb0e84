package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"nullius.dev/bench/foreign"
	"nullius.dev/kit/kittest/llmfault"
)

// provider plays one provider's shape in front of the foreign model, and counts what it would bill.
type provider struct {
	model  *foreign.Model
	stream func(events ...string) llmfault.Play // of Claude's events; nil: OpenAI's shape
	path   string                               // that requests must have
	auth   string                               // header that must be there, and how its value begins
	begins string
	honest bool     // the tokens of prompts are counted: who says too few is taken for a server that cuts prompts
	keys   []string // secrets that were sent to it

	mu     sync.Mutex
	billed costRow
	wrong  []string
}

// Each call of Claude is billed with these tokens beside its output.
const (
	billedInput = 70
	billedRead  = 25
	billedWrite = 5
)

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		http.NotFound(w, r)
		return
	}
	p.mu.Lock()
	if got := r.URL.EscapedPath(); got != p.path || !strings.HasPrefix(r.Header.Get(p.auth), p.begins) {
		p.wrong = append(p.wrong, got+" "+p.auth+": "+r.Header.Get(p.auth))
	}
	p.mu.Unlock()
	if p.stream == nil {
		p.openAI(w, r)
		return
	}
	var req struct {
		System   []block
		Messages []struct {
			Role    string
			Content []block
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, llmfault.ClaudeError("invalid_request_error", err.Error()), http.StatusBadRequest)
		return
	}
	messages := []map[string]string{{"role": "system", "content": text(req.System)}}
	for _, m := range req.Messages {
		messages = append(messages, map[string]string{"role": m.Role, "content": text(m.Content)})
	}
	body, err := json.Marshal(map[string]any{"messages": messages})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	rec := httptest.NewRecorder()
	p.model.ServeHTTP(rec, httptest.NewRequestWithContext(r.Context(), http.MethodPost, "/v1/chat/completions", bytes.NewReader(body)))
	var rep struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &rep); err != nil || len(rep.Choices) == 0 {
		http.Error(w, rec.Body.String(), http.StatusInternalServerError)
		return
	}
	answer := rep.Choices[0].Message.Content
	output := len(answer)/4 + 1
	p.bill(costRow{Calls: 1, Input: billedInput, Cached: billedRead, CacheWrite: billedWrite, Output: int64(output)})
	play := p.stream(llmfault.ClaudeStart(billedInput, billedRead, billedWrite), llmfault.ClaudeBlock, llmfault.ClaudeText(answer), llmfault.ClaudeBlockStop,
		llmfault.ClaudeEnd("end_turn", output), llmfault.ClaudeStop)
	w.Header().Set("Content-Type", play.Type)
	for _, e := range play.Events {
		_, _ = io.WriteString(w, e.Raw)
	}
}

// openAI lets the foreign model answer and reads the usage that it sends.
func (p *provider) openAI(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	r.URL.Path = "/v1/chat/completions"
	p.model.ServeHTTP(rec, r)
	answer := rec.Body.String()
	if p.honest {
		answer = strings.ReplaceAll(answer, `"prompt_tokens":100`, fmt.Sprintf(`"prompt_tokens":%d`, r.ContentLength/4))
	}
	for line := range strings.Lines(answer) {
		var c struct {
			Usage *struct {
				In  int64 `json:"prompt_tokens"`
				Out int64 `json:"completion_tokens"`
			}
		}
		if json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &c) == nil && c.Usage != nil {
			p.bill(costRow{Calls: 1, Input: c.Usage.In, Output: c.Usage.Out})
		}
	}
	w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
	w.WriteHeader(rec.Code)
	_, _ = io.WriteString(w, answer)
}

func (p *provider) bill(r costRow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.billed = p.billed.plus(r)
}

type block struct{ Text string }

func text(blocks []block) string {
	var s strings.Builder
	for _, b := range blocks {
		s.WriteString(b.Text)
	}
	return s.String()
}

// account writes the file of a service account whose tokens come from a server of its own.
func account(t *testing.T) string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"ya29.canary-of-a-study","token_type":"Bearer","expires_in":3599}`)
	}))
	t.Cleanup(srv.Close)
	data, err := json.Marshal(map[string]string{"type": "service_account", "project_id": "proj-1", "client_email": "a@proj-1.iam.gserviceaccount.com", "token_uri": srv.URL,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRun_everyProvider: a study ends in a paper whichever provider answers, and its cost is what the provider bills, to the token. Two of the
// providers are in the short form, one of them up to the figures, the others with NULLIUS_SOAK.
func TestRun_everyProvider(t *testing.T) {
	type study struct {
		model string
		p     *provider
		env   map[string]string
		long  bool
	}
	const key = "sk-canary-of-a-study-0123456789"
	openAI := func(path, auth, begins string) *provider { return &provider{path: path, auth: auth, begins: begins} }
	for name, s := range map[string]study{
		"anthropic": {"claude-opus-4-5", &provider{stream: llmfault.Claude, path: "/v1/messages", auth: "X-Api-Key", begins: key}, map[string]string{"ANTHROPIC_API_KEY": key}, true},
		"bedrock": {"bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", &provider{stream: llmfault.Bedrock,
			path: "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke-with-response-stream", auth: "Authorization", begins: "AWS4-HMAC-SHA256 Credential=AKIACANARYSTUDY00000/"},
			map[string]string{"AWS_ACCESS_KEY_ID": "AKIACANARYSTUDY00000", "AWS_SECRET_ACCESS_KEY": key, "AWS_REGION": "us-west-2"}, false},
		"vertex": {"vertex_ai/claude-sonnet-4-5@20250929", &provider{stream: llmfault.Claude,
			path: "/v1/projects/proj-1/locations/global/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict", auth: "Authorization", begins: "Bearer ya29.canary-of-a-study"},
			map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": account(t)}, true},
		"azure":      {"azure/gpt-4o", openAI("/openai/v1/chat/completions", "Api-Key", key), map[string]string{"AZURE_OPENAI_API_KEY": key}, false},
		"openai":     {"gpt-4o", openAI("/v1/chat/completions", "Authorization", "Bearer "+key), map[string]string{"OPENAI_API_KEY": key}, true},
		"deepseek":   {"deepseek-chat", openAI("/v1/chat/completions", "Authorization", "Bearer "+key), map[string]string{"DEEPSEEK_API_KEY": key}, true},
		"openrouter": {"llama3.1-405b", openAI("/v1/chat/completions", "Authorization", "Bearer "+key), map[string]string{"OPENROUTER_API_KEY": key}, true},
		"gemini":     {"gemini-2.5-pro", openAI("/v1/chat/completions", "Authorization", "Bearer "+key), map[string]string{"GEMINI_API_KEY": key}, true},
		"ollama":     {"ollama/qwen3", &provider{path: "/v1/chat/completions", auth: "Authorization", honest: true}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			if s.long && os.Getenv("NULLIUS_SOAK") == "" {
				t.Skip("the long form runs with NULLIUS_SOAK=1")
			}
			s.p.model, s.p.keys = foreign.New(), []string{key, "ya29.canary-of-a-study"}
			srv := httptest.NewServer(s.p)
			t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
			for k, v := range s.env {
				t.Setenv(k, v)
			}
			base := srv.URL
			switch {
			case name == "azure":
				t.Setenv("AZURE_OPENAI_ENDPOINT", base)
			case s.p.stream == nil:
				base += "/v1"
			}
			if name == "ollama" {
				t.Setenv("OLLAMA_HOST", srv.URL)
			}
			if name != "azure" && name != "ollama" {
				file := filepath.Join(t.TempDir(), "models.yaml")
				if err := os.WriteFile(file, fmt.Appendf(nil, "version: 1\nproviders: {%s: {base_url: %q}}\n", name, base), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Setenv("NULLIUS_MODELS_FILE", file)
			}
			until := "improvement"
			if name == "azure" && !soaking() {
				until = "figures"
			}
			s.p.runs(t, s.model, until)
		})
	}
}

// runs a study and compares what it says to have spent with what the provider bills.
func (p *provider) runs(t *testing.T, model, until string) {
	dir := t.TempDir()
	var logs bytes.Buffer
	suite, err := startSuite(t.Context(), suiteConfig{DataDir: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Log: newLogger("error")})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			if err := suite.host.Stop(); err != nil {
				t.Errorf("stop: %v", err)
			}
		}
	}
	defer stop()
	at := []string{"--address", suite.gateway.Address()}
	code, out, errOut := nullius(t, append(at, "run", "bandit_lite", "--model", model, "--engine", "local", "--size", "smoke", "--until", until, "--budget", "50",
		"--results", filepath.Join(dir, "results"))...)
	logs.WriteString(out + errOut)
	if code != exitDone || !strings.Contains(out, "SUCCEEDED") {
		t.Fatalf("exit code %d\n%s%s", code, out, errOut)
	}
	code, out, errOut = nullius(t, append(at, "cost", "bandit_lite-1", "-o", "json")...)
	var got struct {
		Total   costRow
		Account struct{ SpentPicoDollars, SpentTokens string }
	}
	if err := json.Unmarshal([]byte(out), &got); code != exitDone || err != nil {
		t.Fatalf("cost: exit code %d, %v\n%s%s", code, err, out, errOut)
	}
	p.mu.Lock()
	billed, wrong := p.billed, p.wrong
	p.mu.Unlock()
	if len(wrong) > 0 {
		t.Errorf("%d requests are not the provider's, such as %s", len(wrong), wrong[0])
	}
	c := got.Total
	if c.Calls != billed.Calls || c.Input != billed.Input || c.Cached != billed.Cached || c.CacheWrite != billed.CacheWrite || c.Output != billed.Output {
		t.Errorf("cost says %+v, the provider bills %+v", c, billed)
	}
	if want := fmt.Sprint(billed.Input + billed.Cached + billed.CacheWrite + billed.Output); got.Account.SpentTokens != want || got.Account.SpentPicoDollars != fmt.Sprint(c.Pico) && c.Pico > 0 {
		t.Errorf("the account says %+v, the calls %d tokens and %d pico-dollars", got.Account, c.Input+c.Cached+c.CacheWrite+c.Output, c.Pico)
	}
	stop()
	for _, k := range p.keys {
		if strings.Contains(logs.String(), k) {
			t.Error("a key shows in the output")
		}
		noFileHolds(t, dir, k)
	}
}

// noFileHolds looks for a secret in everything that was written.
func noFileHolds(t *testing.T, dir, secret string) {
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(secret)) {
			t.Errorf("%s holds a key", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
