package coder_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

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
