package llm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/store"
)

// TestDoor_shows_no_credential: a provider that echoes whatever it was sent, in errors, frames, names and replies, makes nobody
// else see a key: not errors, logs, spans, progress, the ledger, nor any file.
func TestDoor_shows_no_credential(t *testing.T) {
	google := newTokens(t)
	const token = "canary-session-token-0123456789"
	file := func(text string) string {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	type way struct {
		model   string
		env     map[string]string
		secrets []string
		stream  func(events ...string) llmfault.Play // of Claude
	}
	const k = "canary-0123456789-abcdefghij" // looks like no key: only what was read can tell
	ways := map[string]way{
		"anthropic":             {"claude-opus-4-5", map[string]string{"ANTHROPIC_API_KEY": k}, []string{k}, llmfault.Claude},
		"anthropic by file":     {"claude-opus-4-5", map[string]string{"ANTHROPIC_API_KEY_FILE": file(k)}, []string{k}, llmfault.Claude},
		"bedrock by token":      {"bedrock/anthropic.claude-3-haiku-20240307-v1:0", map[string]string{"AWS_BEARER_TOKEN_BEDROCK": k}, []string{k}, llmfault.Bedrock},
		"bedrock by token file": {"bedrock/anthropic.claude-3-haiku-20240307-v1:0", map[string]string{"AWS_BEARER_TOKEN_BEDROCK_FILE": file(k)}, []string{k}, llmfault.Bedrock},
		"bedrock by keys": {"bedrock/anthropic.claude-3-haiku-20240307-v1:0", map[string]string{"AWS_ACCESS_KEY_ID": awsID, "AWS_SECRET_ACCESS_KEY": awsSecret, "AWS_SESSION_TOKEN": token},
			[]string{awsID, awsSecret, token}, llmfault.Bedrock},
		"vertex": {"vertex/claude-sonnet-4-5@20250929", map[string]string{"GOOGLE_APPLICATION_CREDENTIALS": serviceAccount(t, google.URL)}, []string{vertexBear, "PRIVATE KEY"}, llmfault.Claude},
	}
	for model, name := range map[string]string{"gpt-4o": "OPENAI_API_KEY", "azure/gpt-4o": "AZURE_OPENAI_API_KEY", "deepseek-chat": "DEEPSEEK_API_KEY", "llama3.1-405b": "OPENROUTER_API_KEY",
		"gemini-2.5-pro": "GEMINI_API_KEY", "openai-compatible/m@": "OPENAI_COMPATIBLE_API_KEY"} {
		ways[model] = way{model, map[string]string{name: k}, []string{k}, nil}
		ways[model+" by file"] = way{model, map[string]string{name: "", name + "_FILE": file(k)}, []string{k}, nil}
	}
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int32
			var got sync.Map // secrets that the provider saw
			s := llmfault.NewFunc(t, func(r llmfault.Request) llmfault.Play {
				var echo strings.Builder
				for _, h := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Amz-Security-Token"} {
					if v := r.Header.Get(h); v != "" {
						echo.WriteString(h + ": " + v + "; ")
						got.Store(h, v)
					}
				}
				e := echo.String()
				switch n := sent.Add(1); {
				case n == 1:
					return llmfault.Error(500, "", "you sent "+e).With("x-request-id", e)
				case n == 2 && w.stream != nil:
					return w.stream(llmfault.ClaudeStart(7, 0, 0), llmfault.ClaudeError("overloaded_error", e))
				case n == 2:
					return llmfault.Stream(llmfault.Chunk("x"), llmfault.Event{Data: fmt.Sprintf(`{"error":{"message":%q}}`, e)})
				case n == 4:
					return llmfault.Error(400, e, "odd: "+e)
				case n == 5:
					return llmfault.Error(403, "", e)
				case w.stream != nil:
					return w.stream(strings.Replace(llmfault.ClaudeStart(7, 0, 0), "served-claude", e, 1), llmfault.ClaudeText("you are "+e), llmfault.ClaudeEnd("end_turn", 3), llmfault.ClaudeStop)
				}
				return llmfault.Stream(llmfault.Event{Data: fmt.Sprintf(`{"id":%q,"model":%q,"choices":[{"index":0,"delta":{"content":%q},"finish_reason":"stop"}]}`, e, e, "you are "+e)})
			})
			spans := tracetest.NewInMemoryExporter()
			dir := t.TempDir()
			blobs, err := store.OpenDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			seen := &strings.Builder{}
			change := []func(*llm.Config, *llm.Deps){withLog(locked{&mu, seen}), func(c *llm.Config, d *llm.Deps) {
				d.Tracer, d.Blobs = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), blobs
				c.CompatibleHosts = []string{"127.0.0.1"}
			}}
			provider, _, _ := strings.Cut(w.model, "/")
			r := ask("Say.")
			r.Model = w.model
			var d *llm.Door
			if w.stream != nil {
				d = claudeDoor(t, s, w.env, change...)
			} else {
				if strings.HasSuffix(r.Model, "@") {
					r.Model += s.URL
				}
				d = familyDoor(t, providerOf(provider), s, w.env, change...)
			}
			r.Progress = func(p llm.Progress) {
				mu.Lock()
				defer mu.Unlock()
				seen.WriteString(p.Why)
			}
			rep, err := d.Chat(t.Context(), r)
			if err != nil || !strings.Contains(rep.Text, "***") && !strings.HasPrefix(name, "bedrock by keys") {
				t.Fatalf("got %q, %v", rep.Text, err)
			}
			say := func(a ...any) {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintln(seen, a...)
			}
			say(rep.Text, rep.Served, rep.Notes)
			for _, call := range []string{"again", "once-more"} {
				r.Origin.Call = call
				_, err := d.Chat(t.Context(), r)
				f, ok := fault.As(err)
				if !ok {
					t.Fatalf("got %v", err)
				}
				say(err, f.Message, f.Meta, f.Next, f.Violations)
			}
			entries, err := d.Ledger().List(t.Context(), "s-1", "")
			if err != nil {
				t.Fatal(err)
			}
			say(fmt.Sprintf("%+v", entries))
			for _, span := range spans.GetSpans() {
				say(span.Name, span.Attributes, span.Events, span.Status)
			}
			err = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
				if err == nil && e.Type().IsRegular() {
					data, rerr := os.ReadFile(path)
					say(string(data))
					err = rerr
				}
				return err
			})
			if err != nil || len(spans.GetSpans()) == 0 {
				t.Fatalf("%v, %d spans", err, len(spans.GetSpans()))
			}
			mu.Lock()
			defer mu.Unlock()
			for _, secret := range w.secrets {
				if i := strings.Index(seen.String(), secret); i >= 0 {
					t.Errorf("%q shows in …%s…", secret, seen.String()[max(0, i-80):min(seen.Len(), i+80)])
				}
			}
			some := false
			got.Range(func(any, any) bool { some = true; return false })
			if !some {
				t.Error("no credential was sent")
			}
		})
	}
}
