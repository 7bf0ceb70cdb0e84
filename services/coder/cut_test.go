package coder_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/llm/llmtest"
	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	"nullius.dev/services/coder"
)

// door is a scripted model of which it is known whether it goes on with the beginning of its answer. drops is one that turns out not to.
type door struct {
	*llmtest.Script
	prefill, drops bool
}

func (d door) Model(name string) (llm.Model, error) {
	return llm.Model{Name: name, Supports: map[string]bool{"prefill": d.prefill}}, nil
}

func (d door) Chat(ctx context.Context, r llm.Request) (llm.Reply, error) {
	reply, err := d.Script.Chat(ctx, r)
	if d.drops && r.Messages[len(r.Messages)-1].Role == llm.Assistant {
		reply.Notes = append(reply.Notes, llm.PrefillDropped)
	}
	return reply, err
}

const (
	cutHead     = "Twice.\n\n" + goodEdit + "experiment.py\n<<<<<<< SEARCH\n    print(args.out_dir, RATE)\n=======\n    print(args.out_"
	cutTail     = "dir, RATE, 2)\n>>>>>>> REPLACE\n"
	secondBlock = "experiment.py\n<<<<<<< SEARCH\n    print(args.out_dir, RATE)\n=======\n    print(args.out_dir, RATE, 2)\n>>>>>>> REPLACE\n"
)

// A reply that reached its limit is handed back as the beginning of the answer where the provider takes one; else the model is asked to go on with
// the block that was cut off, and the ones before stay. Nothing of it is applied as it is.
func TestService_CutOffReplies(t *testing.T) {
	cases := []struct {
		name           string
		prefill, drops bool
		replies        []string
		want           coderv1.Edited_Outcome
		holds          string
		asked          int // calls that carry the beginning
		first          bool
	}{
		{name: "goes on where it was cut", prefill: true, replies: []string{"!length " + cutHead, cutTail}, holds: "RATE, 2)", asked: 1, first: true},
		{name: "goes on twice", prefill: true, replies: []string{"!length " + cutHead, "!length dir, RA", "TE, 2)\n>>>>>>> REPLACE\n"}, holds: "RATE, 2)", asked: 2, first: true},
		{name: "begins the cut line again", prefill: true, replies: []string{"!length " + cutHead, "    print(args.out_" + cutTail}, holds: "RATE, 2)", asked: 1, first: true},
		{name: "says all of it again", prefill: true, replies: []string{"!length " + cutHead, cutHead + cutTail}, holds: "RATE, 2)", asked: 1, first: true},
		{name: "is cut between two blocks", prefill: true, replies: []string{"!length Twice.\n\n" + goodEdit, secondBlock}, holds: "RATE, 2)", asked: 1, first: true},
		{name: "is cut in a listing, at the end of a line", prefill: true,
			replies: []string{"!length experiment.py\n```\nimport argparse\n\nRATE = 0.2\n\n\n", "\n\n\ndef main():\n    parser = argparse.ArgumentParser()\n    parser.add_argument(\"--out_dir\", default=\"run_0\")\n    print(parser.parse_args().out_dir, RATE, 2)\n\n\nmain()\n```\n"},
			holds:   "RATE, 2)", asked: 1, first: true},
		{name: "turns out not to go on and begins anew", prefill: true, drops: true,
			replies: []string{"!length experiment.py\n```\nimport argparse\n\nRA", "experiment.py\n```\n" + strings.Replace(experiment, "RATE)", "RATE, 2)", 1) + "```\n"}, holds: "RATE, 2)", asked: 1, first: false},
		{name: "an answer that a recording has of a model that cannot", prefill: true, replies: []string{"!length " + cutHead, secondBlock}, holds: "RATE, 2)", asked: 1, first: true},
		{name: "never comes to an end", prefill: true, replies: []string{"!length " + cutHead, "!length dir", "!length , RATE", "!length \nmore", "!length \nmore"}, want: coderv1.Edited_NO_CHANGE, asked: 2},
		{name: "answers with nothing", prefill: true, replies: []string{"!length ", goodEdit}, holds: "RATE = 0.2"},
		{name: "is cut in its reasoning", prefill: true, replies: []string{"!length <think>Let me see. I could", goodEdit}, holds: "RATE = 0.2"},
		{name: "cannot, and is asked from the block on", replies: []string{"!length " + cutHead, secondBlock}, holds: "RATE, 2)"},
		{name: "cannot, but repeats the line", replies: []string{"!length " + cutHead, "    print(args.out_" + cutTail}, holds: "RATE, 2)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.want == 0 {
				c.want = coderv1.Edited_CHANGED
			}
			l := newLabWith(t, always(c.replies...), func(s *llmtest.Script) coder.Deps { return coder.Deps{Models: door{s, c.prefill, c.drops}} })
			out := l.implement(t)
			if out.GetOutcome() != c.want {
				t.Fatalf("outcome %s: %s", out.GetOutcome(), out.GetFeedback())
			}
			asked := 0
			for _, r := range l.model.Requests() {
				if last := r.Messages[len(r.Messages)-1]; last.Role == llm.Assistant {
					asked++
					if text := last.Parts[0].Text; text != strings.TrimRight(text, " \n") {
						t.Errorf("the beginning ends with white space, which providers refuse: %q", text)
					}
				}
				for i, m := range r.Messages[1:] {
					if m.Role == r.Messages[i].Role {
						t.Errorf("the roles do not alternate at message %d", i+1)
					}
				}
			}
			if asked != c.asked {
				t.Errorf("%d calls carry the beginning, want %d", asked, c.asked)
			}
			if c.want != coderv1.Edited_CHANGED {
				if out.GetSnapshot() != l.tree || !strings.Contains(out.GetFeedback(), "cut off") {
					t.Errorf("feedback %q", out.GetFeedback())
				}
				return
			}
			if c.first != (out.GetCounts().GetWellFormed() == 1 && out.GetCounts().GetReplies() == 1) {
				t.Errorf("counts %v", out.GetCounts())
			}
			code, err := store.ReadFile(t.Context(), l.blobs, store.Digest(out.GetSnapshot()), "experiment.py", 1<<20)
			if err != nil || !strings.Contains(string(code), c.holds) {
				t.Errorf("experiment.py lacks %q: %v\n%s", c.holds, err, code)
			}
		})
	}
}

// The reply that is stored with the step is the whole one, so that a failure can become a test case.
func TestService_StoresTheWholeOfACutReply(t *testing.T) {
	l := newLabWith(t, always("!length "+cutHead, cutTail), func(s *llmtest.Script) coder.Deps { return coder.Deps{Models: door{s, true, false}} })
	out := l.implement(t)
	reply, err := store.GetBytes(t.Context(), l.blobs, store.Digest(out.GetReplyDigest()), 1<<20)
	if err != nil || string(reply) != cutHead+cutTail {
		t.Errorf("the reply is %q, %v", reply, err)
	}
	var rep struct {
		Rounds []struct{ Finish, Status string }
		Counts struct {
			CutOff int  `json:"cut_off"`
			First  bool `json:"first_reply"`
		}
	}
	data, err := store.GetBytes(t.Context(), l.blobs, store.Digest(out.GetReportDigest()), 1<<20)
	if err != nil || json.Unmarshal(data, &rep) != nil || rep.Counts.CutOff != 1 || !rep.Counts.First || !slices.Equal(rep.Rounds, []struct{ Finish, Status string }{{"length", "malformed"}, {"stop", "applied"}}) {
		t.Errorf("report %+v, %v", rep, err)
	}
}

// Four fifths of a budget are told with the step that saw them gone.
func TestService_WarnsOfALowBudget(t *testing.T) {
	low := llm.BudgetLow + "s/idea-1 has used $8.20 of $10"
	l := newLabWith(t, always(goodEdit), func(s *llmtest.Script) coder.Deps { return coder.Deps{Models: notes{s, low}} })
	out := l.implement(t)
	if w := out.GetWarnings(); len(w) != 1 || w[0].GetCode() != "budget-low" || w[0].GetText() != "s/idea-1 has used $8.20 of $10" {
		t.Errorf("warnings %v", w)
	}
}

// notes is a model whose replies carry a note of the door.
type notes struct {
	*llmtest.Script
	note string
}

func (n notes) Chat(ctx context.Context, r llm.Request) (llm.Reply, error) {
	reply, err := n.Script.Chat(ctx, r)
	reply.Notes = append(reply.Notes, n.note)
	return reply, err
}

// Both ways go through the real door: Claude is handed the beginning, a model of which nothing is known is asked to go on.
func TestService_CutOffRepliesThroughTheDoor(t *testing.T) {
	claude := func(text, stop string) llmfault.Play {
		return llmfault.Claude(llmfault.ClaudeStart(100, 0, 0), llmfault.ClaudeBlock, llmfault.ClaudeText(text), llmfault.ClaudeBlockStop, llmfault.ClaudeEnd(stop, 10), llmfault.ClaudeStop)
	}
	open := func(text, stop string) llmfault.Play {
		return llmfault.Stream(llmfault.Chunk(text), llmfault.Finish(stop), llmfault.Usage(100, 10), llmfault.Done())
	}
	for _, c := range []struct {
		model string
		plays []llmfault.Play
		last  string // role of the last message of the third request
	}{
		{"anthropic/claude-opus-4-5", []llmfault.Play{claude(planReply, "end_turn"), claude(cutHead, "max_tokens"), claude(cutTail, "end_turn")}, "assistant"},
		{"lab/unknown", []llmfault.Play{open(planReply, "stop"), open(cutHead, "length"), open(secondBlock, "stop")}, "user"},
	} {
		t.Run(c.model, func(t *testing.T) {
			s := llmfault.New(t, c.plays...)
			file := filepath.Join(t.TempDir(), "models.yaml")
			yaml := fmt.Sprintf("version: 1\nproviders:\n  anthropic: {base_url: %q}\n  lab: {api: openai, base_url: %q}\n", strings.TrimSuffix(s.URL, "/v1"), s.URL)
			if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			real, err := llm.New(llm.Config{Component: "coder", ModelsFile: file}, llm.Deps{Env: func(k string) string {
				if k == "ANTHROPIC_API_KEY" {
					return "sk-test-0123456789abcdef"
				}
				return ""
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = real.Close(context.WithoutCancel(t.Context())) })
			l := newLabWith(t, nil, func(*llmtest.Script) coder.Deps { return coder.Deps{Models: real} })
			f := l.frame("experiments/run-1/implement")
			f.Model = c.model
			stream, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 1})
			out := last(t, stream, err, (*coderv1.ImplementRunResponse).GetResult)
			if out.GetOutcome() != coderv1.Edited_CHANGED {
				t.Fatalf("outcome %s: %s", out.GetOutcome(), out.GetFeedback())
			}
			code, err := store.ReadFile(t.Context(), l.blobs, store.Digest(out.GetSnapshot()), "experiment.py", 1<<20)
			if err != nil || !strings.Contains(string(code), "RATE = 0.2") || !strings.Contains(string(code), "print(args.out_dir, RATE, 2)") {
				t.Errorf("experiment.py: %v\n%s", err, code)
			}
			all := s.Requests()
			if len(all) != 3 {
				t.Fatalf("%d requests", len(all))
			}
			messages, _ := all[2].Body["messages"].([]any)
			final, _ := messages[len(messages)-1].(map[string]any)
			if final["role"] != c.last {
				t.Errorf("the third request ends with a message of %v, want %s", final["role"], c.last)
			}
		})
	}
}
