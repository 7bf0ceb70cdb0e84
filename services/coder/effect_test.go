package coder_test

import (
	"strings"
	"testing"

	"nullius.dev/kit/store"
	coderv1 "nullius.dev/proto/gen/nullius/coder/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// A repair lets no program run that was run before: neither the one that has just failed nor the baseline's, whose numbers would pass for a result.
func TestService_RepairsDoNotRepeatARun(t *testing.T) {
	failing := strings.Replace(experiment, "RATE = 0.1", "RATE = 1 / 0", 1)
	block := func(replace string) string {
		return "experiment.py\n<<<<<<< SEARCH\nRATE = 1 / 0\n=======\n" + replace + "\n>>>>>>> REPLACE\n"
	}
	mended := block("RATE = 1 / 10")
	for _, c := range []struct{ name, first, says string }{
		{"takes the change back", block("RATE = 0.1"), "equals that of run 0"},
		{"takes it back and says why", block("RATE = 0.1  # the old value works"), "but for comments"},
		{"explains the failing line", block("RATE = 1 / 0  # should work"), "only comments"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, map[string][]string{"edit": {c.first}, "edit/retry-1": {mended}})
			f := l.frame("experiments/run-1/repair-1")
			f.Snapshot = l.with(t, failing)
			f.Runs[0].Snapshot = l.tree
			f.Runs = append(f.Runs, &recordv1.Run{Number: 1, Outcome: recordv1.Run_Outcome_FAILED, Snapshot: f.GetSnapshot()})
			s, err := l.client.RepairRun(t.Context(), &coderv1.RepairRunRequest{Frame: f, Number: 1, GoodSnapshot: l.tree, TriesLeft: 3, Failure: &coderv1.Failure{EndReason: "FAILED", ExitCode: 1}})
			got := last(t, s, err, (*coderv1.RepairRunResponse).GetResult)
			if got.GetOutcome() != coderv1.Edited_CHANGED {
				t.Fatalf("outcome %s: %s", got.GetOutcome(), got.GetFeedback())
			}
			r := l.model.Requests()[1]
			if told := r.Messages[len(r.Messages)-1].Parts[0].Text; !strings.Contains(told, c.says) {
				t.Errorf("the model is not told %q:\n%s", c.says, told)
			}
			code, err := store.ReadFile(t.Context(), l.blobs, store.Digest(got.GetSnapshot()), "experiment.py", 1<<20)
			if err != nil || !strings.Contains(string(code), "RATE = 1 / 10") {
				t.Errorf("experiment.py: %v\n%s", err, code)
			}
		})
	}
}

// A program is all that a run executes: a module that experiment.py imports counts, under whatever name it is imported, and so do data.
func TestService_ChangesOfOtherFilesCount(t *testing.T) {
	const main = "import argparse\nfrom lib.net import width\n\nRATE = 0.1\nprint(width, argparse)\n"
	for _, c := range []struct {
		name, edit string
		changed    bool
	}{
		{"an imported module", "lib/net.py\n<<<<<<< SEARCH\nwidth = 8\n=======\nwidth = 16\n>>>>>>> REPLACE\n", true},
		{"its docstring", "lib/net.py\n<<<<<<< SEARCH\nwidth = 8\n=======\n\"\"\"Nets.\"\"\"\nwidth = 8\n>>>>>>> REPLACE\n", false},
		{"a module that an imported one imports", "lib/parts.py\n<<<<<<< SEARCH\nsize = 1\n=======\nsize = 2\n>>>>>>> REPLACE\n", true},
		{"a module that nothing imports", "lib/spare.py\n<<<<<<< SEARCH\nsize = 1\n=======\nsize = 2\n>>>>>>> REPLACE\n", false},
		{"layout and comments of settings", "lib/net.yaml\n```yaml\n# The width.\nwidth: 8\nname: \"small\"   # of all\n```\n\nlib/net.json\n```json\n{\n  \"depth\": 2\n}\n```\n", false},
		{"a number in settings", "lib/net.yaml\n```yaml\nwidth: 9\nname: small\n```\n", true},
		{"a number that becomes a string", "lib/net.json\n```json\n{\"depth\": \"2\"}\n```\n", true},
		{"a table that may be read", "lib/rates.csv\n<<<<<<< SEARCH\n1,2\n=======\n1,3\n>>>>>>> REPLACE\n", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, always(c.edit))
			tree, err := store.Edit(t.Context(), l.blobs, store.Digest(l.tree), map[string][]byte{
				"experiment.py": []byte(main), "lib/net.py": []byte("from lib import parts\n\nwidth = 8\nassert parts\n"), "lib/parts.py": []byte("size = 1\n"), "lib/spare.py": []byte("size = 1\n"), "lib/rates.csv": []byte("1,2\n"),
				"lib/net.yaml": []byte("width: 8\nname: small\n"), "lib/net.json": []byte("{\"depth\": 2}"),
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := l.frame("experiments/run-1/implement")
			f.Snapshot, f.Editable = string(tree), []string{"experiment.py", "lib/*"}
			s, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 1})
			got := last(t, s, err, (*coderv1.ImplementRunResponse).GetResult)
			if (got.GetOutcome() == coderv1.Edited_CHANGED) != c.changed {
				t.Errorf("outcome %s: %s", got.GetOutcome(), got.GetFeedback())
			}
		})
	}
}

// What executes nothing new is no change, and what may execute something new is one.
func TestService_ChangesThatDoNothingAreNone(t *testing.T) {
	const program = `import argparse
import json
import numpy as np


class Meter:
    def mean(self, values):
        total = 0
        for value in values:
            total += value
        return total / len(values)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out_dir", default="run_0")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    rate = 0.1
    table = rng.query("a > rate")
    loss = Meter().mean([rate * k for k in range(3)])
    json.dump({"loss": loss}, open(args.out_dir + "/final_info.json", "w"))
    print(f"{rate=}", table)


main()
`
	for _, c := range []struct {
		name    string
		edit    []string // old and new text by turns
		changed bool
	}{
		{"an unused import of the standard library", []string{"import json", "import json\nimport os, time\nfrom collections import deque"}, false},
		{"an unused import in a function", []string{"    rate = 0.1", "    import os\n    rate = 0.1"}, false},
		{"an import that may do something", []string{"import json", "import json\nimport seaborn"}, true},
		{"an import from the future", []string{"import argparse", "from __future__ import annotations\nimport argparse"}, true},
		{"an import that is used", []string{"import json", "import json\nimport os", "    rate = 0.1", "    rate = len(os.sep)"}, true},
		{"another name for a local variable", []string{"total = 0", "result = 0", "total += value", "result += value", "total / len", "result / len"}, false},
		{"other names for two, and a comment", []string{"total = 0", "result = 0  # so far", "total += value", "result += v", "total / len", "result / len", "for value in", "for v in"}, false},
		{"two variables take each other's place", []string{"total = 0", "value = 0", "total += value", "total += value", "total / len", "value / len"}, true},
		{"another name that a string reads", []string{"    rate = 0.1", "    lr = 0.1", "[rate * k", "[lr * k", "{rate=}", "{lr}"}, true},
		{"another name for an argument", []string{"values):", "items):", "in values:", "in items:", "len(values)", "len(items)"}, true},
		{"hints of types", []string{"def mean(self, values):", "def mean(self, values: list[float]) -> float:", "        total = 0", "        total: float = 0"}, false},
		{"hints of types with their import", []string{"import json", "import json\nfrom typing import List", "def mean(self, values):", "def mean(self, values: List[float]):"}, false},
		{"a number", []string{"        total = 0", "        total = 1"}, true},
		{"a local variable takes the place of a builtin one", []string{"        total = 0", "        total = len = 0"}, true},
		{"a pause", []string{"    rate = 0.1", "    import time\n    time.sleep(1)\n    rate = 0.1"}, true},
		{"another order of statements", []string{"    rate = 0.1\n    table = rng.query(\"a > rate\")", "    table = rng.query(\"a > rate\")\n    rate = 0.1"}, true},
		{"nothing is left", []string{program, ""}, false},
		{"a docstring alone is left", []string{program, "\"\"\"An experiment.\"\"\"\n"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var reply strings.Builder
			for i := 0; i < len(c.edit); i += 2 {
				lines := c.edit[i]
				if !strings.Contains(lines, "\n") {
					lines = lineWith(program, lines)
				}
				reply.WriteString("experiment.py\n<<<<<<< SEARCH\n" + lines + "\n=======\n" + strings.Replace(lines, c.edit[i], c.edit[i+1], 1) + "\n>>>>>>> REPLACE\n")
			}
			l := newLab(t, always(reply.String()))
			f := l.frame("experiments/run-1/implement")
			f.Snapshot = l.with(t, program)
			s, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 1})
			got := last(t, s, err, (*coderv1.ImplementRunResponse).GetResult)
			if (got.GetOutcome() == coderv1.Edited_CHANGED) != c.changed {
				t.Errorf("outcome %s: %s\n%s", got.GetOutcome(), got.GetFeedback(), reply.String())
			}
			if !c.changed && !strings.Contains(got.GetFeedback(), "only comments") && !strings.Contains(got.GetFeedback(), "would do nothing") {
				t.Errorf("the model is told %s", got.GetFeedback())
			}
		})
	}
}

// What every run relies on is looked for in what a program does, not in what its comments say.
func TestService_AsksWhatARunReliesOn(t *testing.T) {
	const program = "import argparse, json, random\n\nrandom.seed(0)\nparser = argparse.ArgumentParser()\nparser.add_argument(\"--out_dir\")\nargs = parser.parse_args()\njson.dump({}, open(args.out_dir + \"/final_info.json\", \"w\"))\n"
	for _, c := range []struct{ name, old, now, says string }{
		{"the seed becomes a comment", "random.seed(0)", "# random.seed(0)", "no longer sets a random seed"},
		{"the argument gets another name", "parser.add_argument(\"--out_dir\")", "parser.add_argument(\"--output_dir\", dest=\"out_dir\")", "no longer knows --out_dir"},
		{"the results get another name", "final_info.json", "results.json", "no longer writes final_info.json"},
		{"another way to seed", "random.seed(0)", "rng = random.Random(0)\nrandom.seed(7)", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := lineWith(program, c.old)
			reply := "experiment.py\n<<<<<<< SEARCH\n" + old + "\n=======\n" + strings.Replace(old, c.old, c.now, 1) + "\n>>>>>>> REPLACE\n"
			l := newLab(t, map[string][]string{"plan": {planReply}, "edit": {reply}, "edit/retry-1": {"KEEP"}})
			f := l.frame("experiments/run-1/implement")
			f.Snapshot = l.with(t, program)
			s, err := l.client.ImplementRun(t.Context(), &coderv1.ImplementRunRequest{Frame: f, Number: 1})
			got := last(t, s, err, (*coderv1.ImplementRunResponse).GetResult)
			if got.GetOutcome() != coderv1.Edited_CHANGED {
				t.Fatalf("outcome %s: %s", got.GetOutcome(), got.GetFeedback())
			}
			requests := l.model.Requests()
			last := requests[len(requests)-1].Messages
			if told := last[len(last)-1].Parts[0].Text; c.says != "" && !strings.Contains(told, c.says) || (len(requests) == 3) != (c.says != "") {
				t.Errorf("%d calls, the last one says %s", len(requests), told)
			}
		})
	}
}

func lineWith(s, part string) string {
	at := strings.Index(s, part)
	from := strings.LastIndex(s[:at], "\n") + 1
	return s[from : from+strings.Index(s[from:], "\n")]
}
