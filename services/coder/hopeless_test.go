package coder_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// always answers each call of an instruction with the same words, or with the next ones in turn.
func always(replies ...string) map[string][]string {
	out := map[string][]string{"plan": {planReply}}
	for i := range 5 {
		call := "edit"
		if i > 0 {
			call = fmt.Sprintf("edit/retry-%d", i)
		}
		out[call] = []string{replies[min(i, len(replies)-1)]}
	}
	return out
}

// Models that do not do what they are asked end within the limits, with an outcome that says so; no run is started without an effective change.
func TestService_HopelessModelsEndWithinTheLimits(t *testing.T) {
	block := func(path, search, replace string) string {
		return path + "\n<<<<<<< SEARCH\n" + search + "\n=======\n" + replace + "\n>>>>>>> REPLACE\n"
	}
	lazyFile := "experiment.py\n```python\nimport argparse\n\nRATE = 0.2\n\n# ... rest of the code unchanged ...\n```\n"
	cases := []struct {
		name    string
		replies []string
		calls   int32 // of the edit; one more is the plan
		says    string
	}{
		{"talks without editing", []string{"I would double the rate."}, 3, "no edits"},
		{"says nothing", []string{""}, 3, "no edits"},
		{"repeats the same failing block", []string{block("experiment.py", "SPEED = 9", "SPEED = 10")}, 3, "no_match"},
		{"sends another failing block each time", []string{block("experiment.py", "A = 1", "A = 2"), block("experiment.py", "B = 1", "B = 2"), block("experiment.py", "C = 1", "C = 2"), block("experiment.py", "D = 1", "D = 2")}, 4, "no_match"},
		{"sends half a reply each time", []string{"!length experiment.py\n<<<<<<< SEARCH\nRATE = 0.1\n=====", "!length experiment.py\n<<<<<<< SEARCH\nRATE = "}, 4, "not closed"},
		{"rewrites the file lazily", []string{lazyFile}, 3, "leaves code out"},
		{"edits protected files", []string{block("run_0/final_info.json", "{}", "{\"d\": 9}"), block("../experiment.py", "RATE = 0.1", "RATE = 9"), block("latex/template.tex", "a", "b")}, 4, "forbidden_path"},
		{"changes notes alone", []string{block("notes.txt", "", "All is well.")}, 3, "only notes"},
		{"changes nothing", []string{block("experiment.py", "RATE = 0.1", "RATE = 0.1")}, 3, "change no byte"},
		{"never gets the syntax right", []string{block("experiment.py", "RATE = 0.1", "RATE = (("), block("experiment.py", "RATE = ((", "RATE = ((("), block("experiment.py", "RATE = (((", "RATE = ((((")}, 3, "would not parse"},
		{"stops without a reason", []string{"ALL_COMPLETED"}, 3, "No run has been measured"},
		{"makes the program of run 1 again", []string{block("experiment.py", "RATE = 0.1", "RATE = 0.3")}, 3, "equals that of run 1"},
		{"takes turns with two failing blocks", []string{block("experiment.py", "A = 1", "A = 2"), block("experiment.py", "B = 1", "B = 2"), block("experiment.py", "A = 1", "A = 2"), block("experiment.py", "B = 1", "B = 2")}, 4, "no_match"},
		{"changes a comment", []string{block("experiment.py", "RATE = 0.1", "RATE = 0.1  # the step size")}, 3, "only comments"},
		{"writes a docstring", []string{block("experiment.py", "def main():", "def main():\n    \"\"\"Run.\"\"\"")}, 3, "only comments"},
		{"changes the layout", []string{block("experiment.py", "    print(args.out_dir, RATE)", "    print(\n        args.out_dir,\n        RATE,\n    )")}, 3, "only comments"},
		{"puts pass and strings in", []string{block("experiment.py", "    args = parser.parse_args()", "    pass\n    'parsed below'\n    args = parser.parse_args()\n    ...")}, 3, "only comments"},
		{"makes the program of run 1 again, with a comment", []string{block("experiment.py", "RATE = 0.1", "# faster\nRATE = 0.3")}, 3, "but for comments"},
		{"adds a file that nothing imports", []string{block("lib/better.py", "", "RATE = 0.5")}, 3, "no run would execute"},
		{"renames the file", []string{"```diff\ndiff --git a/experiment.py b/experiment2.py\nsimilarity index 100%\nrename from experiment.py\nrename to experiment2.py\n```\n"}, 3, "renamed"},
		{"deletes the file", []string{"```diff\n--- a/experiment.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-import argparse\n```\n"}, 3, "may not be deleted"},
		{"writes old results as its own", []string{block("run_1/final_info.json", "", "{\"d\": {\"means\": {\"loss\": 0.01}}}")}, 3, "forbidden_path"},
		{"prints results in its answer", []string{"The run gives:\n\n```json\n{\"d\": {\"means\": {\"loss\": 0.01}}}\n```\nSee `run_1/final_info.json`.\n"}, 3, "no edits"},
		{"answers in another language", []string{"はい、学習率を二倍にします。まず experiment.py を開き、RATE を 0.2 に変更してください。"}, 3, "no edits"},
		{"answers with a megabyte", []string{strings.Repeat("I think about the rate again and again. ", 30_000)}, 3, "longer than"},
		{"answers with a plan alone", []string{"1. Double RATE.\n2. Run.\n3. Compare with the baseline.\n\n```json\n{\"runs\": [{\"name\": \"twice\"}]}\n```\n"}, 3, "no edits"},
		{"answers with a command", []string{"```bash\nsed -i 's/RATE = 0.1/RATE = 0.2/' experiment.py\npython experiment.py --out_dir=run_2\n```\n"}, 3, "no edits"},
		{"calls a tool that is not there", []string{"{\"name\": \"write_file\", \"arguments\": {\"path\": \"experiment.py\", \"content\": \"RATE = 0.2\"}}"}, 3, "no edits"},
		{"thinks for ever", []string{"!length <think>Let me double the rate. Or not."}, 3, "never closed"},
		{"takes its own change back when asked about it", []string{block("experiment.py", "RATE = 0.1", "RATE = step"), block("experiment.py", "RATE = step", "RATE = 0.1")}, 4, "equals that of run 1|change no byte"},
		{"goes to and fro between two known programs", []string{block("experiment.py", "RATE = 0.1", "RATE = 0.3"), block("experiment.py", "RATE = 0.1", "RATE = 0.1"), block("experiment.py", "RATE = 0.1", "RATE = 0.3")}, 3, "equals that of run 1"},
		{"answers in JSON", []string{`{"edits": [{"path": "experiment.py", "search": "RATE = 0.1", "replace": "RATE = 0.2"}]}`}, 3, "no edits"},
		{"answers in JSON in a fence under the path", []string{"experiment.py\n```json\n{\"search\": \"RATE = 0.1\", \"replace\": \"RATE = 0.2\"}\n```\n"}, 3, "would do nothing"},
		{"asks back", []string{"Which rate shall I take in `experiment.py`, 0.2 or 0.4? And for how many steps?"}, 3, "no edits"},
		{"calls functions in tags", []string{"<function_calls>\n<invoke name=\"str_replace\">\n<parameter name=\"path\">experiment.py</parameter>\n<parameter name=\"old\">RATE = 0.1</parameter>\n<parameter name=\"new\">RATE = 0.2</parameter>\n</invoke>\n</function_calls>\n"}, 3, "no edits"},
		{"sends 201 blocks", []string{strings.Repeat(block("experiment.py", "RATE = 0.1", "RATE = 0.2"), 201)}, 3, "201 blocks"},
		{"sends 200 blocks that do not fit", []string{strings.Repeat(block("experiment.py", "nowhere = 1", "nowhere = 2"), 200)}, 3, "no_match"},
		{"sends one block of 5 MB", []string{block("experiment.py", "RATE = 0.1", strings.Repeat("RATE = 0.2  # and so on\n", 5<<20/24))}, 3, "longer than"},
		{"edits the plots instead", []string{block("plot.py", "print(1)", "print(2)")}, 3, "only notes or the plotting script"},
		{"imports what it does not use", []string{block("experiment.py", "import argparse", "import argparse\nimport math")}, 3, "only comments"},
		{"gives a variable another name", []string{block("experiment.py", "    args = parser.parse_args()\n    print(args.out_dir, RATE)", "    options = parser.parse_args()\n    print(options.out_dir, RATE)")}, 3, "only comments"},
		{"empties the program", []string{"experiment.py\n```python\n```\n"}, 3, "would do nothing"},
		{"escapes the markers for the web", []string{strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(goodEdit)}, 3, "no edits"},
		{"draws wide markers", []string{strings.NewReplacer("<", "＜", ">", "＞", "=", "＝").Replace(goodEdit)}, 3, "no edits"},
		{"copies the example of the prompt", []string{block("experiment.py", "def summarise(losses):\n    return {\"loss\": losses[-1]}", "def summarise(losses):\n    recent = losses[-10:]\n    return {\"loss\": sum(recent) / len(recent)}")}, 3, "no_match"},
		{"stops inside a fence", []string{"```\nALL_COMPLETED\n```\n"}, 3, "no edits"},
		{"puts the stop line into a sentence", []string{"I think that ALL_COMPLETED is right here, since nothing more can be learnt."}, 3, "no edits"},
		{"mixes all of it", []string{"Well.", block("experiment.py", "A = 1", "B"), lazyFile, block("run_0/x", "a", "b"), "Hm."}, 5, "no edits"},
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-50s %-10s %5s %9s %7s\n", "a model that", "outcome", "calls", "cost", "run")
	started := 0
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, always(c.replies...))
			f := l.frame("experiments/run-2/implement")
			f.Editable = []string{"experiment.py", "plot.py", "lib/*.py"}
			f.Runs = append(f.Runs, &recordv1.Run{Number: 1, Outcome: recordv1.Run_Outcome_FAILED, Snapshot: l.with(t, strings.Replace(experiment, "RATE = 0.1", "RATE = 0.3", 1))})
			s, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 2})
			got := last(t, s, err, (*coderv1.ImplementRunResponse).GetResult)
			runs := "no"
			if got.GetOutcome() == coderv1.Edited_CHANGED {
				runs, started = "STARTED", started+1
			}
			fmt.Fprintf(&table, "%-50s %-10s %5d %8.4f$ %7s\n", c.name, got.GetOutcome(), got.GetUsage().GetCalls(), float64(got.GetUsage().GetCostPicoDollars())/1e12, runs)
			if got.GetOutcome() != coderv1.Edited_NO_CHANGE || got.GetSnapshot() != l.tree {
				t.Errorf("outcome %s, snapshot changed: %v", got.GetOutcome(), got.GetSnapshot() != l.tree)
			}
			if n := got.GetUsage().GetCalls(); n != c.calls+1 {
				t.Errorf("%d calls, want the plan and %d", n, c.calls)
			}
			var rep struct {
				Counts struct {
					Calls      int32
					FirstReply bool `json:"first_reply"`
					Lines      int
				}
			}
			if data, err := store.GetBytes(t.Context(), l.blobs, store.Digest(got.GetReportDigest()), 1<<20); err != nil || json.Unmarshal(data, &rep) != nil || rep.Counts.Calls != c.calls || rep.Counts.FirstReply || rep.Counts.Lines > 0 {
				t.Errorf("the report counts %+v, %v", rep.Counts, err)
			}
			if !containsOne(got.GetFeedback(), c.says) {
				t.Errorf("the feedback lacks %q:\n%.2000s", c.says, got.GetFeedback())
			}
		})
	}
	t.Logf("\n%sruns started without an effective change: %d", &table, started)
	if started != 0 {
		t.Error("a run would have been started")
	}
}

// containsOne looks for one of several texts, parted by bars.
func containsOne(s, texts string) bool {
	return slices.ContainsFunc(strings.Split(texts, "|"), func(t string) bool { return strings.Contains(s, t) })
}

// What changes the program in a doubtful way is a change all the same, in few calls: what a run measures is the executor's to say. An argument that
// runs are started without is asked about once.
func TestService_DoubtfulChangesAreTyped(t *testing.T) {
	at := func(search, replace string) string {
		return "experiment.py\n<<<<<<< SEARCH\n" + search + "\n=======\n" + replace + "\n>>>>>>> REPLACE\n"
	}
	const parse = "    args = parser.parse_args()"
	for _, c := range []struct {
		name, edit string
		calls      int32
	}{
		{"sleeps", at("RATE = 0.1", "import time\n\ntime.sleep(1)\nRATE = 0.1"), 1},
		{"prints results that nobody measured", at("main()\n", "main()\nprint('{\"d\": {\"means\": {\"loss\": 0.0}}}')\n"), 1},
		{"reads an old run on demand", at(parse, "    parser.add_argument(\"--run\", default=\"run_0\")\n"+parse), 1},
		{"wants to be told the run", at(parse, "    parser.add_argument(\"--run\", required=True)\n"+parse), 2},
		{"sends the file in base64", "experiment.py\n```\naW1wb3J0IGFyZ3BhcnNlCgpSQVRFID0gMC4yCg\n```\n", 2},
		{"writes its results as constants", at("    print(args.out_dir, RATE)", "    open(args.out_dir + \"/final_info.json\", \"w\").write('{\"d\": {\"means\": {\"loss\": 0.01}}}')"), 1},
		{"seeds in another way alone", at("RATE = 0.1", "import random\n\nrandom.seed(43)\nRATE = 0.1"), 1},
		{"forgets where to write", at("    parser.add_argument(\"--out_dir\", default=\"run_0\")\n"+parse+"\n    print(args.out_dir, RATE)", parse+"\n    print(args, RATE * 2)"), 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, always(c.edit))
			out := l.implement(t)
			if out.GetOutcome() != coderv1.Edited_CHANGED || out.GetUsage().GetCalls() != c.calls+1 {
				t.Errorf("outcome %s after %d calls: %s", out.GetOutcome(), out.GetUsage().GetCalls(), out.GetFeedback())
			}
		})
	}
}

// A model that mends another bug than the one shown is told that it did not help, then starts anew from the last good tree; the third repair is the last.
func TestService_RepairsOfAnotherBugEnd(t *testing.T) {
	edits := map[string][]string{}
	for i, to := range []string{"0.2", "0.3", "0.4"} {
		from := []string{"0.1", "0.2", "0.1"}[i] // the third begins at the good tree again
		edits[fmt.Sprintf("repair-%d edit", i+1)] = []string{strings.NewReplacer("RATE = 0.1", "RATE = "+from, "RATE = 0.2", "RATE = "+to).Replace(goodEdit)}
	}
	l := newLab(t, edits)
	bad, err := store.Edit(t.Context(), l.blobs, store.Digest(l.tree), map[string][]byte{"experiment.py": []byte(experiment + "print(missing)\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	tree, calls := string(bad), int32(0)
	var earlier []*coderv1.Failure
	for try := 1; try <= 3; try++ {
		stderr, err := store.PutBytes(t.Context(), l.blobs, fmt.Appendf(nil, "Traceback (most recent call last):\n  File \"/tmp/job-%d/experiment.py\", line %d, in <module>\n    print(missing)\nNameError: name 'missing' is not defined\n", try, 14+try))
		if err != nil {
			t.Fatal(err)
		}
		f := l.frame(fmt.Sprintf("experiments/run-1/repair-%d", try))
		f.Snapshot = tree
		failure := &coderv1.Failure{EndReason: "FAILED", ExitCode: 1, StderrDigest: string(stderr)}
		s, err := l.client.RepairRun(t.Context(), &coderv1.RepairRunRequest{Frame: f, Number: 1, GoodSnapshot: l.tree, Failure: failure, Earlier: earlier, TriesLeft: int32(3 - try)})
		got := last(t, s, err, (*coderv1.RepairRunResponse).GetResult)
		if got.GetOutcome() != coderv1.Edited_CHANGED || got.GetRestored() != (try == 3) {
			t.Fatalf("try %d: %s, restored %v: %s", try, got.GetOutcome(), got.GetRestored(), got.GetFeedback())
		}
		failure.Signature, failure.DiffDigest = got.GetSignature(), got.GetDiffDigest()
		earlier, tree, calls = append(earlier, failure), got.GetSnapshot(), calls+got.GetUsage().GetCalls()
	}
	for i, want := range []string{"The last try of this run failed.", "so that repair did not help", "the files were set back"} {
		r := l.model.Requests()[i]
		parts := r.Messages[0].Parts
		if !strings.Contains(parts[len(parts)-1].Text, want) {
			t.Errorf("repair %d is not told %q:\n%s", i+1, want, parts[len(parts)-1].Text)
		}
	}
	if calls != 3 {
		t.Errorf("%d calls", calls)
	}
	data, err := store.ReadFile(t.Context(), l.blobs, store.Digest(tree), "experiment.py", 1<<20)
	if err != nil || strings.Contains(string(data), "missing") || !strings.Contains(string(data), "RATE = 0.4") {
		t.Errorf("the tree after the restore: %v\n%s", err, data)
	}
}

// A refusal costs the words of a note, not its numbers.
func TestService_RefusedNotesKeepTheNumbers(t *testing.T) {
	l := newLab(t, map[string][]string{"notes": {"!refused I cannot."}, "describe": {"!filtered"}})
	f := l.frame("experiments/run-1/notes")
	f.Runs = append(f.Runs, &recordv1.Run{Number: 1, Label: "twice", Outcome: recordv1.Run_Outcome_SUCCEEDED, Measurements: []*recordv1.Measurement{{Dataset: "d", Metric: "loss", Value: 0.25}}})
	s, err := l.client.DescribeResults(t.Context(), &coderv1.DescribeResultsRequest{Frame: f, Number: 1})
	got := last(t, s, err, (*coderv1.DescribeResultsResponse).GetResult)
	notes, err := store.ReadFile(t.Context(), l.blobs, store.Digest(got.GetSnapshot()), "notes.txt", 1<<20)
	if err != nil || got.GetOutcome() != coderv1.Edited_CHANGED || !strings.Contains(string(notes), "d/loss = 0.25") || strings.Contains(string(notes), "cannot") {
		t.Errorf("%s, notes (%v):\n%s", got.GetOutcome(), err, notes)
	}
	if len(got.GetWarnings()) != 1 || got.GetWarnings()[0].GetCode() != "note-missing" {
		t.Errorf("warnings %v", got.GetWarnings())
	}
	s, err = l.client.DescribeResults(t.Context(), &coderv1.DescribeResultsRequest{Frame: l.frame("figures/describe"), Figures: []*recordv1.Figure{{Path: "a.png"}}})
	if got := last(t, s, err, (*coderv1.DescribeResultsResponse).GetResult); got.GetOutcome() != coderv1.Edited_CHANGED || len(got.GetFigures()) != 1 {
		t.Errorf("got %v", got)
	}
}

// What is not the usual form is asked for: whole files from a model that gets blocks wrong, long markers where a file holds short ones.
func TestService_AsksForTheFormThatWorks(t *testing.T) {
	ask := func(t *testing.T, l *lab, change func(*coderv1.Frame)) string {
		t.Helper()
		f := l.frame("experiments/run-2/implement")
		f.Plan = []*recordv1.PlannedRun{{Change: "a"}, {Change: "b"}}
		f.History = []*coderv1.Exchange{{Step: "s/idea-1/experiments/run-1/implement"}}
		change(f)
		s, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 2})
		last(t, s, err, (*coderv1.ImplementRunResponse).GetResult)
		parts := l.model.Requests()[0].Messages[0].Parts
		return parts[len(parts)-1].Text
	}
	for _, c := range []struct {
		replies, good int32
		whole         bool
	}{{20, 17, true}, {20, 18, false}, {19, 0, false}} {
		text := ask(t, newLab(t, map[string][]string{"edit": {goodEdit}}), func(f *coderv1.Frame) {
			f.Counts = &coderv1.Counts{Replies: c.replies, WellFormed: c.good}
		})
		if strings.Contains(text, "Send experiment.py whole") != c.whole {
			t.Errorf("%d of %d replies: whole asked for: %v", c.good, c.replies, !c.whole)
		}
	}
	l := newLab(t, map[string][]string{"edit": {goodEdit}})
	tree, err := store.Edit(t.Context(), l.blobs, store.Digest(l.tree), map[string][]byte{"experiment.py": []byte(experiment + "'''\nTitle\n=======\n'''\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if text := ask(t, l, func(f *coderv1.Frame) { f.Snapshot = string(tree) }); !strings.Contains(text, "9 characters long") {
		t.Errorf("long markers are not asked for:\n%s", text)
	}
}
