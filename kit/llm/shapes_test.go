package llm_test

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// TestDoor_Chat_reads_what_other_servers_make_of_the_form: servers that call themselves compatible differ in ways that a paid answer must not be lost by.
// Parts: https://docs.mistral.ai/capabilities/reasoning; usage in a choice, and flat: https://platform.moonshot.ai/docs/api/chat;
// reasoning beside the completion: https://docs.x.ai/docs/guides/reasoning
func TestDoor_Chat_reads_what_other_servers_make_of_the_form(t *testing.T) {
	frame := func(delta, rest string) llmfault.Event {
		return llmfault.Event{Data: `{"id":"x","model":"m","choices":[{"index":0,"delta":` + delta + `,"finish_reason":null` + rest + `}]}`}
	}
	hello, stop, done := llmfault.Chunk("hello"), llmfault.Finish("stop"), llmfault.Done()
	counts := func(usage string) llmfault.Play {
		return llmfault.Stream(hello, stop, llmfault.Event{Data: `{"choices":[],"usage":` + usage + `}`}, done)
	}
	body := func(p llmfault.Play) string {
		var b strings.Builder
		for _, e := range p.Events {
			if e.Raw != "" {
				b.WriteString(e.Raw)
			} else {
				b.WriteString("data: " + e.Data + "\n\n")
			}
		}
		return b.String()
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte(body(llmfault.Answer("hello")))); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	plain := llm.Usage{Input: 100, Output: 10}
	for name, tc := range map[string]struct {
		play  llmfault.Play
		usage llm.Usage
	}{
		"parts of text":    {llmfault.Stream(frame(`{"content":[{"type":"text","text":"hel"}]}`, ""), frame(`{"content":[{"type":"text","text":"lo"}]}`, ""), stop, llmfault.Usage(100, 10), done), plain},
		"parts of thought": {llmfault.Stream(frame(`{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}`, ""), hello, stop, llmfault.Usage(100, 10), done), plain},
		"parts in one piece": {llmfault.Play{Body: `{"choices":[{"index":0,"message":{"content":[{"type":"text","text":"hello"}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":10}}`},
			plain},
		"thought as an object":          {llmfault.Stream(frame(`{"reasoning":{"text":"hm"},"content":"hello"}`, ""), stop, llmfault.Usage(100, 10), done), plain},
		"numbers for names":             {llmfault.Stream(llmfault.Event{Data: `{"id":7,"created":"now","model":null,"choices":[{"index":0,"delta":{"content":"hello"},"logprobs":{"content":{}}}]}`}, stop, llmfault.Usage(100, 10), done), plain},
		"a stream that says it is text": {llmfault.Play{Type: "text/plain", Body: body(llmfault.Answer("hello"))}, plain},
		"a stream of no kind":           {llmfault.Play{Type: "application/octet-stream", Body: ": hi\n\n" + body(llmfault.Answer("hello"))}, plain},
		"a stream called JSON":          {llmfault.Play{Body: body(llmfault.Answer("hello"))}, plain},
		"a byte order mark":             {llmfault.Play{Type: "text/event-stream", Body: "\xef\xbb\xbf" + body(llmfault.Answer("hello"))}, plain},
		"an event of two lines":         {llmfault.Stream(llmfault.Event{Raw: "data: {\"id\":\"x\",\ndata: \"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n"}, stop, llmfault.Usage(100, 10), done), plain},
		"events without empty lines":    {llmfault.Stream(llmfault.Event{Raw: "data: " + hello.Data + "\ndata: " + stop.Data + "\n"}, llmfault.Usage(100, 10), done), plain},
		"names and numbers of events":   {llmfault.Stream(llmfault.Event{Raw: "retry: 100\n\nevent: message\nid: 1\ndata: " + hello.Data + "\n\n"}, stop, llmfault.Usage(100, 10), done), plain},
		"compressed unasked":            {llmfault.Play{Type: "text/event-stream", Header: map[string]string{"Content-Encoding": "gzip"}, Body: zipped.String()}, plain},
		"usage in a choice":             {llmfault.Stream(hello, frame(`{}`, `,"usage":{"prompt_tokens":100,"completion_tokens":10}`), stop, done), plain},
		"choices that are null":         {llmfault.Stream(hello, stop, llmfault.Event{Data: `{"choices":null,"usage":{"prompt_tokens":100,"completion_tokens":10}}`}, done), plain},
		"details that are null":         {counts(`{"prompt_tokens":100,"completion_tokens":10,"prompt_tokens_details":null,"completion_tokens_details":null}`), plain},
		"cached tokens flat":            {counts(`{"prompt_tokens":100,"completion_tokens":10,"cached_tokens":64}`), llm.Usage{Input: 36, CacheRead: 64, Output: 10}},
		"reasoning beside the completion": {counts(`{"prompt_tokens":100,"completion_tokens":10,"total_tokens":150,"completion_tokens_details":{"reasoning_tokens":40}}`),
			llm.Usage{Input: 100, Output: 50, Reasoning: 40}},
		"reasoning in the completion": {counts(`{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"completion_tokens_details":{"reasoning_tokens":40}}`),
			llm.Usage{Input: 100, Output: 50, Reasoning: 40}},
		"usage in words": {counts(`{"prompt_tokens":"many","completion_tokens":"few"}`), llm.Usage{Input: 15, Output: 2, Estimated: true}},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, tc.play)
			rep, err := lab(t, s).Chat(t.Context(), ask("Say hello."))
			if err != nil {
				t.Fatal(err)
			}
			if rep.Text != "hello" || rep.Finish != llm.Stop || s.Count() != 1 {
				t.Errorf("got %q, %s after %d calls", short(rep.Text), rep.Finish, s.Count())
			}
			if diff := cmp.Diff(tc.usage, rep.Usage); diff != "" {
				t.Errorf("usage (-want +got):\n%s", diff)
			}
			if want := tc.usage.Input*2_500_000 + tc.usage.CacheRead*1_250_000 + tc.usage.Output*10_000_000; rep.Cost != want {
				t.Errorf("cost is %d, want %d", rep.Cost, want)
			}
		})
	}
}

// TestDoor_Chat_books_nothing_for_a_refusal_within_a_200: a limit or a lack of credit that comes in the answer's place is not possibly paid.
func TestDoor_Chat_books_nothing_for_a_refusal_within_a_200(t *testing.T) {
	for name, tc := range map[string]struct{ body, sentence, next string }{
		"a limit":   {`{"error":{"message":"Rate limit exceeded","code":429}}`, "Lab keeps limiting this key; the idea goes on by itself", "nullius status"},
		"no credit": {`{"error":{"message":"Insufficient credits","code":402}}`, "Lab says this account has no credit left; after a top-up the idea goes on", "nullius status"},
		"an outage": {`{"error":{"message":"upstream died"}}`, "Lab fails (5 tries: upstream died) (possibly paid); the idea goes on by itself", "nullius cost s-1/idea-1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.New(t, llmfault.Play{Body: tc.body})
			d := lab(t, s)
			_, err := d.Chat(t.Context(), ask("Say hello."))
			if fault.ReasonOf(err) != "PROVIDER_UNAVAILABLE" || !strings.Contains(err.Error(), tc.sentence) || fault.NextOf(err) != tc.next {
				t.Errorf("got %v, next %q; want %q, next %q", err, fault.NextOf(err), tc.sentence, tc.next)
			}
			a, err := d.Budgets().Read(t.Context(), "s-1")
			if err != nil {
				t.Fatal(err)
			}
			if paid := a.Possibly.Pico > 0; paid != (name == "an outage") {
				t.Errorf("possibly paid: %+v", a.Possibly)
			}
		})
	}
}

// TestDoor_Chat_signs_by_the_clock_of_AWS: a machine whose clock is an hour off is told so by a refusal, and signs anew at once.
func TestDoor_Chat_signs_by_the_clock_of_AWS(t *testing.T) {
	r := ask("Say.")
	r.Model = "bedrock/anthropic.claude-3-haiku-20240307-v1:0"
	env := map[string]string{"AWS_ACCESS_KEY_ID": awsID, "AWS_SECRET_ACCESS_KEY": awsSecret, "AWS_REGION": "eu-west-3"}
	refused := llmfault.Play{Status: 403, Body: `{"message":"Signature expired: 20261128T060000Z is now earlier than 20261128T065500Z"}`,
		Header: map[string]string{"x-amzn-errortype": "InvalidSignatureException"}}
	for _, off := range []time.Duration{time.Hour, -time.Hour} {
		play := refused.With("Date", time.Now().Add(off).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
		s := llmfault.New(t, play, llmfault.Bedrock(llmfault.ClaudeReply("hello")...))
		d := claudeDoor(t, s, env)
		rep, err := d.Chat(t.Context(), r)
		if err != nil || rep.Text != "hello" || s.Count() != 2 {
			t.Fatalf("%d calls, %v", s.Count(), err)
		}
		again := r
		again.Origin.Call = "again"
		if _, err := d.Chat(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		for i, want := range []time.Duration{0, off, off} {
			at, err := time.Parse("20060102T150405Z", s.Requests()[i].Header.Get("X-Amz-Date"))
			if err != nil || (time.Until(at)-want).Abs() > time.Minute {
				t.Errorf("request %d is signed for %s, %v; want %s ahead", i+1, at, err, want)
			}
		}
	}
	s := llmfault.New(t, refused) // by a server that tells no other time, nothing can be mended
	_, err := claudeDoor(t, s, env).Chat(t.Context(), r)
	if fault.ReasonOf(err) != "KEY_REFUSED" || !strings.Contains(err.Error(), "is this machine's clock right?") || s.Count() != 1 {
		t.Errorf("%d calls, %v", s.Count(), err)
	}
}

// TestDoor_Chat_renews_what_AWS_says_has_expired: a profile that another tool has written anew, or files of keys, are read again within the same call.
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
func TestDoor_Chat_renews_what_AWS_says_has_expired(t *testing.T) {
	const other = "AKIAOTHER0123456789A"
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	profile := func(id string) string {
		return "[default]\naws_access_key_id = " + id + "\naws_secret_access_key = " + awsSecret + "\naws_session_token = canary-session-" + id + "\n"
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", write("credentials", profile(awsID))) // AWS's own chain looks there
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "none"))
	for name, tc := range map[string]struct {
		env   map[string]string
		renew func()
		good  func(r llmfault.Request) bool
	}{
		"a profile": {map[string]string{"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "credentials"), "AWS_REGION": "eu-west-3"}, func() { write("credentials", profile(other)) },
			func(r llmfault.Request) bool { return strings.Contains(r.Header.Get("Authorization"), other) }},
		"a session's token in a file": {map[string]string{"AWS_ACCESS_KEY_ID": awsID, "AWS_SECRET_ACCESS_KEY": awsSecret, "AWS_SESSION_TOKEN_FILE": write("session", "canary-session-old"), "AWS_REGION": "eu-west-3"},
			func() { write("session", "canary-session-new") }, func(r llmfault.Request) bool { return r.Header.Get("X-Amz-Security-Token") == "canary-session-new" }},
	} {
		t.Run(name, func(t *testing.T) {
			s := llmfault.NewFunc(t, func(r llmfault.Request) llmfault.Play {
				if tc.good(r) {
					return llmfault.Bedrock(llmfault.ClaudeReply("hello")...)
				}
				tc.renew()
				return llmfault.Play{Status: 403, Body: `{"message":"The security token included in the request is expired"}`}.With("x-amzn-errortype", "ExpiredTokenException")
			})
			r := ask("Say.")
			r.Model = "bedrock/anthropic.claude-3-haiku-20240307-v1:0"
			rep, err := claudeDoor(t, s, tc.env).Chat(t.Context(), r)
			if err != nil || rep.Text != "hello" || s.Count() != 2 || rep.PossiblyPaid {
				t.Errorf("got %+v, %v after %d calls", rep, err, s.Count())
			}
		})
	}
}

// TestDoor_Chat_says_which_key_a_compatible_server_refused, or that it got none.
func TestDoor_Chat_says_which_key_a_compatible_server_refused(t *testing.T) {
	s := llmfault.New(t, llmfault.Error(401, "invalid_api_key", "no such key"))
	host := strings.TrimSuffix(strings.TrimPrefix(s.URL, "http://"), "/v1")
	for hosts, want := range map[string]string{
		host:     host + " refused the key from OPENAI_COMPATIBLE_API_KEY (401)",
		"a.test": host + " wants a key (401: no such key); OPENAI_COMPATIBLE_API_KEY goes to the hosts of NULLIUS_COMPATIBLE_HOSTS only",
	} {
		r := ask("Say.")
		r.Model = "openai-compatible/m@" + s.URL
		d := familyDoor(t, "openai-compatible", s, map[string]string{"OPENAI_COMPATIBLE_API_KEY": testKey}, func(c *llm.Config, _ *llm.Deps) { c.CompatibleHosts = []string{hosts} })
		if _, err := d.Chat(t.Context(), r); fault.ReasonOf(err) != "KEY_REFUSED" || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestReply_Outcome_without_words: a refusal that says nothing has no empty quotation.
func TestReply_Outcome_without_words(t *testing.T) {
	o := llm.Origin{Scope: []string{"s-1", "idea-1"}, Step: "review", Call: "reviewer-1"}
	for text, want := range map[string]string{"": "m refused reviewer-1 of review.", "no,\nsorry": `m refused reviewer-1 of review: "no, sorry".`} {
		reason, sentence, _ := llm.Reply{Model: "m", Finish: llm.Refused, Text: text}.Outcome(o)
		if reason != "LLM_REFUSED" || sentence != want {
			t.Errorf("got %s %q, want %q", reason, sentence, want)
		}
	}
}

// TestDoor_Chat_tells_a_plain_server_from_a_bad_certificate.
func TestDoor_Chat_tells_a_plain_server_from_a_bad_certificate(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("hello"))
	base := "https" + strings.TrimPrefix(s.URL, "http")
	r := ask("Say.")
	r.Model = "openai-compatible/m@" + base
	_, err := familyDoor(t, "openai-compatible", s, nil).Chat(t.Context(), r)
	if want := strings.TrimSuffix(base, "/v1") + " does not speak TLS; does its address begin with http:// ?"; fault.ReasonOf(err) != "PROVIDER_UNAVAILABLE" || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestDoor_Chat_says_what_it_waits_for_where_nothing_listens.
func TestDoor_Chat_says_what_it_waits_for_where_nothing_listens(t *testing.T) {
	var waits []string
	r := ask("Say.")
	r.Model = "openai-compatible/m@http://127.0.0.1:1/v1"
	r.Progress = func(p llm.Progress) { waits = append(waits, p.Why) }
	_, err := familyDoor(t, "openai-compatible", llmfault.New(t), nil).Chat(t.Context(), r)
	if fault.ReasonOf(err) != "PROVIDER_UNAVAILABLE" || len(waits) != 1 || !strings.HasPrefix(waits[0], "Waiting for 127.0.0.1:1: nothing listens there, ") || !strings.HasSuffix(waits[0], "try 2 of 2.") {
		t.Errorf("waits %q, %v", waits, err)
	}
}
