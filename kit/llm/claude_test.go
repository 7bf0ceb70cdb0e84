package llm_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// front is a provider of Claude as tests reach it.
type front struct {
	name   string // of the model
	stream func(events ...string) llmfault.Play
	env    map[string]string
	key    string // that must not appear anywhere
	title  string
}

const (
	awsID      = "AKIACANARY0123456789"
	awsSecret  = "canarySecret/0123456789+abcdefghijklmnop"
	vertexBear = "ya29.canary-access-token-0123456789"
)

// fronts are the three ways to Claude; url is where the server is.
func fronts(t *testing.T, tokenURL string) []front {
	file := serviceAccount(t, tokenURL)
	return []front{
		{"anthropic/claude-opus-4-5", llmfault.Claude, map[string]string{"ANTHROPIC_API_KEY": testKey}, testKey, "Anthropic"},
		{"bedrock/us.anthropic.claude-sonnet-4-5-20250929-v1:0", llmfault.Bedrock,
			map[string]string{"AWS_ACCESS_KEY_ID": awsID, "AWS_SECRET_ACCESS_KEY": awsSecret, "AWS_REGION": "eu-central-1"}, awsSecret, "Bedrock"},
		{"vertex/claude-sonnet-4-5@20250929", llmfault.Claude,
			map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": file, "CLOUD_ML_REGION": "europe-west1"}, vertexBear, "Vertex AI"},
	}
}

// claudeDoor is a door whose providers of Claude are the server.
func claudeDoor(t *testing.T, s *llmfault.Server, env map[string]string, change ...func(*llm.Config, *llm.Deps)) *llm.Door {
	t.Helper()
	base := strings.TrimSuffix(s.URL, "/v1")
	file := filepath.Join(t.TempDir(), "models.yaml")
	yaml := fmt.Sprintf("version: 1\nproviders:\n  anthropic: {base_url: %q}\n  bedrock: {base_url: %q}\n  vertex: {base_url: %q}\n", base, base, base)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := llm.Config{Component: "writer", ModelsFile: file, Times: quick()}
	deps := llm.Deps{Env: func(k string) string { return env[k] }}
	for _, f := range change {
		f(&cfg, &deps)
	}
	d, err := llm.New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close the door: %v", err)
		}
	})
	return d
}

// tokens plays Google's service of tokens: it checks the assertion of a service account as
// https://developers.google.com/identity/protocols/oauth2/service-account describes it.
type tokens struct {
	*httptest.Server
	key    *rsa.PrivateKey
	asked  atomic.Int32
	answer func(w http.ResponseWriter) // nil: a token
}

func newTokens(t *testing.T) *tokens {
	s := &tokens{key: accountKey(t)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if s.answer != nil {
			s.answer(w)
			return
		}
		if err := s.check(r); err != nil {
			t.Errorf("assertion: %v", err)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3599}`, vertexBear)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *tokens) check(r *http.Request) error {
	if got := r.FormValue("grant_type"); got != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return fmt.Errorf("grant_type %q", got)
	}
	parts := strings.Split(r.FormValue("assertion"), ".")
	if len(parts) != 3 {
		return fmt.Errorf("%d parts", len(parts))
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, sum[:], sig); err != nil {
		return err
	}
	claims := map[string]any{}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return err
	}
	if claims["iss"] != "lab@proj-1.iam.gserviceaccount.com" || claims["scope"] != "https://www.googleapis.com/auth/cloud-platform" || claims["aud"] != s.URL+"/token" {
		return fmt.Errorf("claims %v", claims)
	}
	return nil
}

var theAccountKey atomic.Pointer[rsa.PrivateKey]

// accountKey makes one key for all tests: it takes a while.
func accountKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	if k := theAccountKey.Load(); k != nil {
		return k
	}
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	theAccountKey.CompareAndSwap(nil, k)
	return theAccountKey.Load()
}

func serviceAccount(t *testing.T, url string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(accountKey(t))
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "proj-1", "private_key_id": "k1", "client_email": "lab@proj-1.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": url + "/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "account.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDoor_Chat_asks_each_provider_of_Claude_as_it_wants(t *testing.T) {
	google := newTokens(t)
	content := []any{map[string]any{"type": "text", "text": "Rules.", "cache_control": map[string]any{"type": "ephemeral"}}, map[string]any{"type": "text", "text": "Look."},
		map[string]any{"type": "image", "source": map[string]any{"type": "base64", "media_type": "image/png", "data": "iVBORw=="}}}
	body := func(more map[string]any) map[string]any {
		b := map[string]any{
			"max_tokens": 200.0, "temperature": 0.0, "stop_sequences": []any{"END"},
			"system":   []any{map[string]any{"type": "text", "text": "You are careful.", "cache_control": map[string]any{"type": "ephemeral"}}},
			"messages": []any{map[string]any{"role": "user", "content": content}},
		}
		for k, v := range more {
			b[k] = v
		}
		return b
	}
	for i, want := range []struct {
		path    string
		body    map[string]any
		headers map[string]string
	}{
		{"/v1/messages", body(map[string]any{"model": "claude-opus-4-5", "stream": true}),
			map[string]string{"X-Api-Key": testKey, "Anthropic-Version": "2023-06-01", "Authorization": ""}},
		{"/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke-with-response-stream", body(map[string]any{"anthropic_version": "bedrock-2023-05-31"}),
			map[string]string{"Accept": "application/vnd.amazon.eventstream", "Anthropic-Version": ""}},
		{"/v1/projects/proj-1/locations/europe-west1/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict",
			body(map[string]any{"anthropic_version": "vertex-2023-10-16", "stream": true}), map[string]string{"Authorization": "Bearer " + vertexBear}},
	} {
		f := fronts(t, google.URL)[i]
		t.Run(f.title, func(t *testing.T) {
			s := llmfault.New(t, f.stream(llmfault.ClaudeReply("hello")...))
			r := ask("Look.")
			r.Model, r.Temperature, r.Seed, r.Stop = f.name, llm.Ptr(0.0), llm.Ptr(int64(7)), []string{"END", " "}
			r.System[0].Cache = true
			r.Messages[0].Parts = []llm.Part{{Text: "Rules.", Cache: true}, llm.Text("Look."), llm.Text(" "), {Image: []byte("\x89PNG"), MIME: "image/png"}}
			rep, err := claudeDoor(t, s, f.env).Chat(t.Context(), r)
			if err != nil || rep.Text != "hello" || rep.Finish != llm.Stop || rep.Served != "served-claude" {
				t.Fatalf("got %+v, %v", rep, err)
			}
			if diff := cmp.Diff(llm.Usage{Input: 100, Output: 10}, rep.Usage); diff != "" || rep.Cost == 0 || rep.Unpriced {
				t.Errorf("cost %d, usage (-want +got):\n%s", rep.Cost, diff)
			}
			if !strings.Contains(strings.Join(rep.Notes, ","), "seed dropped") {
				t.Errorf("notes are %q", rep.Notes)
			}
			got := s.Requests()[0]
			if got.Path != want.path {
				t.Errorf("path is %s, want %s", got.Path, want.path)
			}
			if diff := cmp.Diff(want.body, got.Body); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			for k, v := range want.headers {
				if got.Header.Get(k) != v {
					t.Errorf("header %s is %q, want %q", k, got.Header.Get(k), v)
				}
			}
		})
	}
	if n := google.asked.Load(); n != 1 {
		t.Errorf("%d tokens were asked for, want 1", n)
	}
}

// A last Assistant message is sent to a model that goes on with it; one that turns out not to is asked without, and the reply says so.
func TestDoor_Chat_hands_the_beginning_of_an_answer_on(t *testing.T) {
	refusal := llmfault.Play{Status: 400, Body: llmfault.ClaudeError("invalid_request_error", "This model does not support assistant message prefill. The conversation must end with a user message.")}
	for _, tc := range []struct {
		name    string
		plays   []llmfault.Play
		roles   string // of the last request
		dropped bool
	}{
		{"goes on", []llmfault.Play{llmfault.Claude(llmfault.ClaudeReply("world")...)}, "user assistant", false},
		{"does not", []llmfault.Play{refusal, llmfault.Claude(llmfault.ClaudeReply("hello world")...)}, "user", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := llmfault.New(t, tc.plays...)
			r := ask("Greet.")
			r.Model = "anthropic/claude-opus-4-5"
			r.Messages = append(r.Messages, llm.Say(llm.Assistant, "hello "))
			rep, err := claudeDoor(t, s, map[string]string{"ANTHROPIC_API_KEY": testKey}).Chat(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(strings.Join(rep.Notes, ","), llm.PrefillDropped); got != tc.dropped {
				t.Errorf("notes are %q", rep.Notes)
			}
			var roles []string
			all := s.Requests()
			messages, _ := all[len(all)-1].Body["messages"].([]any)
			for _, m := range messages {
				m, _ := m.(map[string]any)
				roles = append(roles, fmt.Sprint(m["role"]))
			}
			if got := strings.Join(roles, " "); got != tc.roles {
				t.Errorf("roles %q, want %q", got, tc.roles)
			}
		})
	}
}

func TestDoor_Chat_signs_requests_to_Bedrock(t *testing.T) {
	s := llmfault.New(t, llmfault.Bedrock(llmfault.ClaudeReply("hello")...))
	base := strings.TrimSuffix(s.URL, "/v1")
	env := map[string]string{"AWS_ACCESS_KEY_ID": awsID, "AWS_SECRET_ACCESS_KEY": awsSecret, "AWS_SESSION_TOKEN": "canary-session", "AWS_DEFAULT_REGION": "eu-west-3"}
	r := ask("Say.")
	r.Model = "bedrock/anthropic.claude-3-haiku-20240307-v1:0"
	if _, err := claudeDoor(t, s, env).Chat(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	got := s.Requests()[0]
	if got.Header.Get("X-Amz-Security-Token") != "canary-session" {
		t.Errorf("session token is %q", got.Header.Get("X-Amz-Security-Token"))
	}
	checkSignature(t, got, strings.TrimPrefix(base, "http://"), awsID, awsSecret, "eu-west-3")
}

func TestDoor_Chat_takes_a_bearer_token_for_Bedrock(t *testing.T) {
	s := llmfault.New(t, llmfault.Bedrock(llmfault.ClaudeReply("hello")...))
	r := ask("Say.")
	r.Model = "bedrock/anthropic.claude-3-haiku-20240307-v1:0"
	if _, err := claudeDoor(t, s, map[string]string{"AWS_BEARER_TOKEN_BEDROCK": "ABSKcanary0123456789"}).Chat(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if got := s.Requests()[0].Header.Get("Authorization"); got != "Bearer ABSKcanary0123456789" {
		t.Errorf("authorization is %q", got)
	}
}

func TestDoor_Chat_reads_every_stream_of_Claude(t *testing.T) {
	google := newTokens(t)
	start, text, stop := llmfault.ClaudeStart(7, 60, 33), llmfault.ClaudeText("hello"), llmfault.ClaudeStop
	usage := func(out int64) llm.Usage { return llm.Usage{Input: 7, CacheRead: 60, CacheWrite: 33, Output: out} }
	for name, tc := range map[string]struct {
		events []string
		text   string
		finish llm.Finish
		usage  llm.Usage
	}{
		"cached tokens":           {[]string{start, llmfault.ClaudeBlock, text, llmfault.ClaudeEnd("end_turn", 3), stop}, "hello", llm.Stop, usage(3)},
		"a stop sequence":         {[]string{start, text, llmfault.ClaudeEnd("stop_sequence", 3), stop}, "hello", llm.Stop, usage(3)},
		"the length limit":        {[]string{start, text, llmfault.ClaudeEnd("max_tokens", 200), stop}, "hello", llm.Length, usage(200)},
		"a refusal without text":  {[]string{start, llmfault.ClaudeEnd("refusal", 1), stop}, "", llm.Refused, usage(1)},
		"a full window":           {[]string{start, text, llmfault.ClaudeEnd("model_context_window_exceeded", 3), stop}, "hello", llm.TooLong, usage(3)},
		"thinking first":          {[]string{start, llmfault.ClaudeThinking("hm"), text, llmfault.ClaudeEnd("end_turn", 9), stop}, "hello", llm.Stop, usage(9)},
		"a thousand pings":        {append(append([]string{start}, times(1000, llmfault.ClaudePing)...), text, llmfault.ClaudeEnd("end_turn", 3), stop), "hello", llm.Stop, usage(3)},
		"an event that is new":    {[]string{start, `{"type":"brand_new","x":1}`, text, llmfault.ClaudeEnd("end_turn", 3), stop}, "hello", llm.Stop, usage(3)},
		"the end without a stop":  {[]string{start, text, llmfault.ClaudeEnd("end_turn", 3)}, "hello", llm.Stop, usage(3)},
		"a piece of one mebibyte": {[]string{start, llmfault.ClaudeText(strings.Repeat("x", 1<<20)), llmfault.ClaudeEnd("end_turn", 3), stop}, strings.Repeat("x", 1<<20), llm.Stop, usage(3)},
	} {
		for _, f := range fronts(t, google.URL) {
			t.Run(name+" from "+f.title, func(t *testing.T) {
				s := llmfault.New(t, f.stream(tc.events...))
				r := ask("Say.")
				r.Model = f.name
				rep, err := claudeDoor(t, s, f.env).Chat(t.Context(), r)
				if err != nil || rep.Text != tc.text || rep.Finish != tc.finish || s.Count() != 1 {
					t.Fatalf("got %q, %s, %v after %d calls", short(rep.Text), rep.Finish, err, s.Count())
				}
				if diff := cmp.Diff(tc.usage, rep.Usage); diff != "" {
					t.Errorf("usage (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func times(n int, s string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func TestDoor_Chat_names_every_fault_of_Claude(t *testing.T) {
	google := newTokens(t)
	status := func(code int, kind, message string) llmfault.Play {
		return llmfault.Play{Status: code, Body: llmfault.ClaudeError(kind, message)}
	}
	aws := func(code int, kind, message string) llmfault.Play {
		return llmfault.Play{Status: code, Body: fmt.Sprintf(`{"message":%q}`, message)}.With("X-Amzn-Errortype", kind+":http://internal.amazon.com/coral/")
	}
	gcp := func(code int, kind, message string) llmfault.Play {
		return llmfault.Play{Status: code, Body: fmt.Sprintf(`[{"error":{"code":%d,"message":%q,"status":%q}}]`, code, message, kind)}
	}
	begun := func(f front) llmfault.Play {
		return f.stream(llmfault.ClaudeStart(7, 0, 0), llmfault.ClaudeText("hel"))
	}
	const anthropic, bedrock, vertex = 0, 1, 2
	for name, tc := range map[string]struct {
		front    int
		play     func(front) llmfault.Play
		reason   string
		sentence string // %T, %M, %W: title, model's name, name on the wire
		next     string
		cause    string
		calls    int
	}{
		"401":                      {anthropic, plays(status(401, "authentication_error", "invalid x-api-key "+testKey)), "KEY_REFUSED", "%T refused the key from ANTHROPIC_API_KEY (401)", "nullius models test %M", "", 1},
		"403":                      {anthropic, plays(status(403, "permission_error", "not for "+testKey)), "KEY_REFUSED", "%T does not let this key use %W (403: not for ***)", "nullius models test %M", "", 1},
		"404":                      {anthropic, plays(status(404, "not_found_error", "model: claude-x")), "MODEL_UNKNOWN", "%T has no model %W (404)", "nullius models", "", 1},
		"400":                      {anthropic, plays(status(400, "invalid_request_error", "messages: odd")), "PROVIDER_REJECTED", "%T rejected the request (400: messages: odd)", "nullius models test %M", "", 1},
		"no credit":                {anthropic, plays(status(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.")), "PROVIDER_UNAVAILABLE", "%T says this account has no credit left; after a top-up the idea goes on", "nullius status", "CREDIT", 1},
		"the spend limit":          {anthropic, plays(status(429, "rate_limit_error", "enforced_spend_limit_reached").With("Retry-After", "1")), "PROVIDER_UNAVAILABLE", "%T says this account has no credit left; after a top-up the idea goes on", "nullius status", "CREDIT", 1},
		"429 for ever":             {anthropic, plays(status(429, "rate_limit_error", "Number of requests").With("retry-after-ms", "1")), "PROVIDER_UNAVAILABLE", "%T keeps limiting this key; the idea goes on by itself", "nullius status", "RATE_LIMIT", 5},
		"429 by its reset":         {anthropic, plays(status(429, "rate_limit_error", "Number of requests").With("anthropic-ratelimit-requests-remaining", "0").With("anthropic-ratelimit-requests-reset", time.Now().Add(time.Hour).UTC().Format(time.RFC3339))), "PROVIDER_UNAVAILABLE", "%T limits this key and asks to wait 60 min; the idea goes on by itself", "nullius status", "RATE_LIMIT", 1},
		"529":                      {anthropic, plays(status(529, "overloaded_error", "Overloaded")), "PROVIDER_UNAVAILABLE", "%T is overloaded (529, 5 tries); the idea goes on by itself", "nullius status", "OUTAGE", 5},
		"500":                      {anthropic, plays(status(500, "api_error", "Internal server error")), "PROVIDER_UNAVAILABLE", "%T fails (500, 5 tries: Internal server error); the idea goes on by itself", "nullius status", "OUTAGE", 5},
		"an overload in a stream":  {anthropic, plays(llmfault.Claude(llmfault.ClaudeStart(7, 0, 0), llmfault.ClaudeError("overloaded_error", "Overloaded"))), "PROVIDER_UNAVAILABLE", "%T is overloaded (529, 5 tries); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5},
		"a cut stream":             {anthropic, begun, "PROVIDER_UNAVAILABLE", "%T broke its stream off, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5},
		"a page":                   {anthropic, plays(llmfault.Play{Type: "text/html", Body: "<html><title>Hi</title>"}), "PROVIDER_UNAVAILABLE", "%T answered with an HTML page: Hi, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5},
		"Bedrock's refused token":  {bedrock, plays(aws(403, "UnrecognizedClientException", "The security token included in the request is invalid.")), "KEY_REFUSED", "%T does not let this key use %W (403: The security token included in the request is invalid.)", "nullius models test %M", "", 1},
		"Bedrock's unknown model":  {bedrock, plays(aws(400, "ValidationException", "The provided model identifier is invalid.")), "MODEL_UNKNOWN", "%T has no model %W (400)", "nullius models", "", 1},
		"Bedrock's throttling":     {bedrock, plays(aws(429, "ThrottlingException", "Too many tokens, please wait before trying again.")), "PROVIDER_UNAVAILABLE", "%T keeps limiting this key; the idea goes on by itself", "nullius status", "RATE_LIMIT", 5},
		"Bedrock's throttling 400": {bedrock, plays(aws(400, "ThrottlingException", "Too many requests")), "PROVIDER_UNAVAILABLE", "%T keeps limiting this key; the idea goes on by itself", "nullius status", "RATE_LIMIT", 5},
		"Bedrock's 424":            {bedrock, plays(aws(424, "ModelErrorException", "The model failed")), "PROVIDER_UNAVAILABLE", "%T fails (424, 5 tries: The model failed); the idea goes on by itself", "nullius status", "OUTAGE", 5},
		"Bedrock's throttling in a stream": {bedrock, func(f front) llmfault.Play { return begun(f).Exception("throttlingException", "Too many tokens") },
			"PROVIDER_UNAVAILABLE", "%T keeps limiting this key; the idea goes on by itself", "nullius cost s-1/idea-1", "RATE_LIMIT", 5},
		"Bedrock's failure in a stream": {bedrock, func(f front) llmfault.Play { return begun(f).Exception("modelStreamErrorException", "broke") },
			"PROVIDER_UNAVAILABLE", "%T fails (500, 5 tries: broke) (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5},
		"Bedrock's cut stream": {bedrock, begun, "PROVIDER_UNAVAILABLE", "%T broke its stream off, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5},
		"Bedrock's cut frame": {bedrock, func(f front) llmfault.Play {
			p := begun(f)
			p.Events[1].Raw = p.Events[1].Raw[:40]
			return p
		}, "PROVIDER_UNAVAILABLE", "%T broke its stream off, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5},
		"Bedrock's damaged frame": {bedrock, func(f front) llmfault.Play {
			p := begun(f)
			p.Events[1].Raw = strings.Replace(p.Events[1].Raw, "abcdef", "abcdeg", 1)
			return p
		}, "PROVIDER_UNAVAILABLE", "%T answered with a damaged frame, 5 times (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1", "OUTAGE", 5},
		"Vertex's 401": {vertex, plays(gcp(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")), "KEY_REFUSED", "%T refused the key from GOOGLE_APPLICATION_CREDENTIALS (401)", "nullius models test %M", "", 2},
		"Vertex's 403": {vertex, plays(gcp(403, "PERMISSION_DENIED", "denied to "+vertexBear)), "KEY_REFUSED", "%T does not let this key use %W (403: denied to ***)", "nullius models test %M", "", 1},
		"Vertex's 404": {vertex, plays(gcp(404, "NOT_FOUND", "Publisher Model was not found")), "MODEL_UNKNOWN", "%T has no model %W (404)", "nullius models", "", 1},
		"Vertex's 429": {vertex, plays(gcp(429, "RESOURCE_EXHAUSTED", "Quota exceeded")), "PROVIDER_UNAVAILABLE", "%T keeps limiting this key; the idea goes on by itself", "nullius status", "RATE_LIMIT", 5},
		"Vertex's 503": {vertex, plays(gcp(503, "UNAVAILABLE", "try later")), "PROVIDER_UNAVAILABLE", "%T is overloaded (503, 5 tries); the idea goes on by itself", "nullius status", "OUTAGE", 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := fronts(t, google.URL)[tc.front]
			s := llmfault.New(t, tc.play(f))
			logs := &strings.Builder{}
			d := claudeDoor(t, s, f.env, withLog(logs))
			r := ask("Say.")
			r.Model = f.name
			_, err := d.Chat(t.Context(), r)
			got, ok := fault.As(err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			_, wire, _ := strings.Cut(f.name, "/")
			fill := strings.NewReplacer("%T", f.title, "%M", f.name, "%W", wire)
			if got.Reason != tc.reason || got.Message != fill.Replace(tc.sentence) || got.Next != fill.Replace(tc.next) || got.Meta["cause"] != tc.cause || s.Count() != tc.calls {
				t.Errorf("got %s %q\nnext %q, cause %q, %d calls\nwant %s %q\nnext %q, cause %q, %d calls", got.Reason, got.Message, got.Next, got.Meta["cause"], s.Count(),
					tc.reason, fill.Replace(tc.sentence), fill.Replace(tc.next), tc.cause, tc.calls)
			}
			for _, secret := range []string{testKey, awsSecret, vertexBear} {
				if strings.Contains(err.Error()+logs.String()+fmt.Sprint(got.Meta), secret) {
					t.Errorf("a secret shows: %v\n%s", err, logs)
				}
			}
		})
	}
}

func plays(p llmfault.Play) func(front) llmfault.Play { return func(front) llmfault.Play { return p } }

func TestDoor_Chat_names_what_is_wrong_with_a_clouds_credentials(t *testing.T) {
	none := t.TempDir()
	home := map[string]string{"CLOUDSDK_CONFIG": none, "AWS_CONFIG_FILE": filepath.Join(none, "c"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(none, "s")}
	google := newTokens(t)
	google.answer = func(w http.ResponseWriter) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant","error_description":"Invalid JWT Signature."}`)
	}
	with := func(k, v string) map[string]string {
		m := map[string]string{k: v}
		for k, v := range home {
			m[k] = v
		}
		return m
	}
	s := llmfault.New(t, llmfault.Claude(llmfault.ClaudeReply("no")...))
	for name, tc := range map[string]struct {
		model  string
		env    map[string]string
		reason string
		say    string
	}{
		"no key":            {"claude-opus-4-5", home, "KEY_MISSING", "anthropic/claude-opus-4-5 needs ANTHROPIC_API_KEY or ANTHROPIC_API_KEY_FILE; the writer has neither"},
		"nothing of AWS":    {"bedrock/anthropic.claude-opus-5", home, "KEY_MISSING", "bedrock/anthropic.claude-opus-5 needs AWS_BEARER_TOKEN_BEDROCK, AWS_ACCESS_KEY_ID with"},
		"nothing of Google": {"vertex/claude-opus-5", home, "KEY_MISSING", "vertex/claude-opus-5 needs GOOGLE_APPLICATION_CREDENTIALS, or"},
		"no such file":      {"vertex/claude-opus-5", with("GOOGLE_APPLICATION_CREDENTIALS", filepath.Join(none, "x.json")), "KEY_MISSING", "the file that GOOGLE_APPLICATION_CREDENTIALS names cannot be used: no such file"},
		"a refused assertion": {"vertex/claude-opus-5", with("GOOGLE_APPLICATION_CREDENTIALS", serviceAccount(t, google.URL)), "KEY_REFUSED",
			"Vertex AI gave no credentials from Google's token service: invalid_grant Invalid JWT Signature."},
		"no address of Azure": {"azure/gpt-4o", with("AZURE_OPENAI_API_KEY", testKey), "KEY_MISSING", "azure/gpt-4o needs AZURE_OPENAI_ENDPOINT; the writer has none"},
	} {
		t.Run(name, func(t *testing.T) {
			r := ask("Say.")
			r.Model = tc.model
			_, err := claudeDoor(t, s, tc.env).Chat(t.Context(), r)
			if fault.ReasonOf(err) != tc.reason || !strings.Contains(fmt.Sprint(err), tc.say) || fault.NextOf(err) == "" {
				t.Errorf("got %v, next %q", err, fault.NextOf(err))
			}
		})
	}
	if s.Count() != 0 {
		t.Errorf("%d requests were sent", s.Count())
	}
}

func TestDoor_Chat_sends_a_schema_where_Claude_takes_one(t *testing.T) {
	for model, want := range map[string]bool{"claude-opus-4-5": true, "claude-3-5-sonnet-20241022": false} {
		s := llmfault.New(t, llmfault.Claude(llmfault.ClaudeReply(`{"a":1}`)...))
		r := ask("Say.")
		r.Model = model
		r.Schema = json.RawMessage(`{"type":"object","properties":{"a":{"type":"integer","minimum":0}},"required":["a"]}`)
		if _, _, err := llm.Object(t.Context(), claudeDoor(t, s, map[string]string{"ANTHROPIC_API_KEY": testKey}), r, 0); err != nil {
			t.Fatal(err)
		}
		output, _ := s.Requests()[0].Body["output_config"].(map[string]any)
		format, _ := output["format"].(map[string]any)
		schema, _ := format["schema"].(map[string]any)
		if got := format["type"] == "json_schema" && schema["additionalProperties"] == false; got != want {
			t.Errorf("%s: output_config is %v", model, output)
		}
	}
}

func TestDoor_Chat_takes_a_reply_of_Claude_in_one_piece(t *testing.T) {
	usage := `"usage":{"input_tokens":7,"output_tokens":3,"cache_creation_input_tokens":20,"cache_creation":{"ephemeral_1h_input_tokens":20}}`
	for name, tc := range map[string]struct {
		body   string
		text   string
		finish llm.Finish
	}{
		"an answer":                  {`{"id":"msg_1","type":"message","model":"served","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"hel"},{"type":"text","text":"lo"}],"stop_reason":"end_turn",` + usage + `}`, "hello", llm.Stop},
		"a refusal with its reasons": {`{"id":"msg_1","type":"message","model":"served","content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","category":"bio","explanation":"not this"},` + usage + `}`, "not this", llm.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, llmfault.Play{Body: tc.body})
			r := ask("Say.")
			r.Model = "claude-opus-4-5"
			rep, err := claudeDoor(t, s, map[string]string{"ANTHROPIC_API_KEY": testKey}).Chat(t.Context(), r)
			if err != nil || rep.Text != tc.text || rep.Finish != tc.finish {
				t.Fatalf("got %q, %s, %v", rep.Text, rep.Finish, err)
			}
			if diff := cmp.Diff(llm.Usage{Input: 7, CacheWrite: 20, CacheWrite1h: 20, Output: 3}, rep.Usage); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			if want := int64(7*5_000_000 + 20*10_000_000 + 3*25_000_000); rep.Cost != want { // an hour's cache costs twice the input
				t.Errorf("cost is %d, want %d", rep.Cost, want)
			}
		})
	}
}
