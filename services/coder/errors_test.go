package coder_test

import (
	"context"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/llm/llmtest"
	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	"nullius.dev/services/coder"
)

// failing is a door that answers with an error.
type failing struct{ err error }

func (f failing) Chat(context.Context, llm.Request) (llm.Reply, error) { return llm.Reply{}, f.err }

// Only a bad request, an unknown snapshot and what the door says are errors; the reason comes through.
func TestService_ErrorsAreFew(t *testing.T) {
	unknown := string(store.DigestOf([]byte("nobody stored this")))
	for _, c := range []struct {
		name   string
		door   error
		change func(*coderv1.ImplementRunRequest)
		kind   fault.Kind
		reason string
	}{
		{"no step", nil, func(r *coderv1.ImplementRunRequest) { r.Frame.Step = "implement" }, fault.Invalid, "FIELD_INVALID"},
		{"no digest", nil, func(r *coderv1.ImplementRunRequest) { r.Frame.Snapshot = "latest" }, fault.Invalid, "FIELD_INVALID"},
		{"no model", nil, func(r *coderv1.ImplementRunRequest) { r.Frame.Model = "" }, fault.Invalid, "FIELD_INVALID"},
		{"no run", nil, func(r *coderv1.ImplementRunRequest) { r.Number = 0 }, fault.Invalid, "FIELD_INVALID"},
		{"no frame", nil, func(r *coderv1.ImplementRunRequest) { r.Frame = nil }, fault.Invalid, "FIELD_INVALID"},
		{"an unknown snapshot", nil, func(r *coderv1.ImplementRunRequest) { r.Frame.Snapshot = unknown }, fault.NotFound, "BLOB_UNKNOWN"},
		{"no money left", fault.New(fault.Exhausted, "BUDGET_EXCEEDED", "the study has used 3 of 3 dollars"), func(*coderv1.ImplementRunRequest) {}, fault.Exhausted, "BUDGET_EXCEEDED"},
		{"no provider", fault.New(fault.Unavailable, "PROVIDER_UNAVAILABLE", "nobody answers"), func(*coderv1.ImplementRunRequest) {}, fault.Unavailable, "PROVIDER_UNAVAILABLE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLabWith(t, map[string][]string{"plan": {planReply}, "edit": {goodEdit}}, func(s *llmtest.Script) coder.Deps {
				if c.door != nil {
					return coder.Deps{Models: failing{c.door}}
				}
				return coder.Deps{Models: s}
			})
			r := &coderv1.ImplementRunRequest{Frame: l.frame("experiments/run-1/implement"), Number: 1}
			c.change(r)
			s, err := l.client.ImplementRun(t.Context(), r)
			for err == nil {
				var m *coderv1.ImplementRunResponse
				if m, err = s.Recv(); m.GetResult() != nil {
					t.Fatalf("a result: %v", m)
				}
			}
			if fault.KindOf(err) != c.kind || fault.ReasonOf(err) != c.reason || strings.Contains(err.Error(), "panic") {
				t.Errorf("%v, reason %s: %v", fault.KindOf(err), fault.ReasonOf(err), err)
			}
			if n := len(l.model.Requests()); n > 1 || n == 1 && c.reason == "FIELD_INVALID" {
				t.Errorf("%d calls were paid", n)
			}
		})
	}
}
