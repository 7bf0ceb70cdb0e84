package edit_test

import (
	"fmt"
	"strings"
	"testing"

	"nullius.dev/services/coder/internal/edit"
)

// Each way of failing tells the model its cause and shows what it needs.
func TestFeedback(t *testing.T) {
	file := "import os\n\n\ndef train(model):\n    rate = 0.1\n    return rate\n\n\ndef evaluate(model):\n    rate = 0.1\n    return model\n"
	block := func(path, search, replace string) string {
		return path + "\n<<<<<<< SEARCH\n" + search + "\n=======\n" + replace + "\n>>>>>>> REPLACE\n"
	}
	tree := edit.Tree{
		Files: map[string][]byte{"a.py": []byte(file), "b.py": []byte("def helper(value):\n    return value * 17\nk = 1\n")},
		Other: map[string]bool{"run_0/final_info.json": true},
		Older: map[string][]edit.Version{"a.py": {{Label: "before run-1/implement", Data: []byte("steps = 100\nbatch_size = 32\n")}}},
	}
	policy := edit.Policy{Allowed: []string{"a.py", "b.py"}, Protected: edit.BuiltinProtected}
	for _, c := range []struct {
		name, reply string
		says        []string
	}{
		{"sound blocks are kept", block("a.py", "import os", "import sys") + block("a.py", "nope = 1", "x"), []string{"Nothing was written; block 1 is kept", "in place of block 2"}},
		{"another space", block("a.py", "def train( model ):\n    rate = 0.1", "x"), []string{"in spaces or indent only", "lines 4 to 5", "def train(model):"}},
		{"a line that differs", block("a.py", "def train(model):\n    rates = 0.2\n    return 5", "x"), []string{`line 2 of SEARCH is "    rates = 0.2"`, `line 5 of a.py is "    rate = 0.1"`}},
		{"an older version", block("a.py", "batch_size = 32", "batch_size = 64"), []string{"older version of a.py (before run-1/implement)"}},
		{"replaced before", block("a.py", "import os", "import sys") + block("a.py", "import os", "import re"), []string{"your block 1 replaced this text"}},
		{"in another file only", block("a.py", "def helper(value):", "def helper(v):"), []string{"only in b.py"}},
		{"there already", block("b.py", "qqq = 1", "k = 1"), []string{"your REPLACE stands on lines 3 to 3 already"}},
		{"nothing alike", block("a.py", "zzzz yyyy xxxx\nwwww vvvv", "x"), []string{"nothing in a.py is like SEARCH", "a.py defines:", "line 9: def evaluate(model):"}},
		{"several places", block("a.py", "    rate = 0.1", "    rate = 0.2"), []string{"line 5, in def train(model)", "line 10, in def evaluate(model)", "1 line(s)", "SEARCH line=5"}},
		{"a protected file", block("run_0/final_info.json", "a", "b"), []string{"forbidden_path", "Files that may be edited: a.py, b.py"}},
		{"cut off", block("a.py", "import os", "import sys") + "a.py\n<<<<<<< SEARCH\nrate", []string{"block 2", "cut off", "1 complete blocks"}},
		{"an elision on one side", block("a.py", "import os\n...\n    return model", "import sys\n    return model"), []string{"1 lines of SEARCH and 0 of REPLACE stand for lines left out"}},
		{"no file is named", strings.TrimPrefix(block("", "k = 2", "k = 3"), "\n"), []string{"Block 1: malformed: no file is named", "Files that may be edited: a.py, b.py"}},
		{"an anchor that is not there", "*** Begin Patch\n*** Update File: a.py\n@@ def tune(model):\n-    rate = 0.1\n+    rate = 0.2\n*** End Patch\n", []string{"the anchor \"def tune(model):\" is not in a.py", "line 4: def train(model):"}},
		{"a name that was corrected", block("x/a.py", "import os", "import sys") + block("a.py", "nope = 1", "x"), []string{"Note: block 1: x/a.py was read as a.py"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			changes, rep := edit.Plan(tree, c.reply, policy)
			if len(changes) > 0 || !rep.Status.Failed() {
				t.Fatalf("it is %s", rep.Status)
			}
			got := edit.Feedback(rep, tree, policy)
			for _, s := range c.says {
				if !strings.Contains(got, s) {
					t.Errorf("it lacks %q:\n%s", s, got)
				}
			}
		})
	}
}

// Long regions stay within 2.5 kB a block and 10 kB in all, with their fences closed.
func TestFeedback_StaysSmall(t *testing.T) {
	var file, reply strings.Builder
	for i := range 400 {
		fmt.Fprintf(&file, "value_%d = %q\n", i, strings.Repeat("long ", 30))
	}
	for k := range 12 {
		reply.WriteString("a.py\n<<<<<<< SEARCH\n")
		for i := range 30 {
			fmt.Fprintf(&reply, "value_%d = %q\n", k*30+i, strings.Repeat("lang ", 30))
		}
		reply.WriteString("=======\nx\n>>>>>>> REPLACE\n")
	}
	tree, policy := edit.Tree{Files: map[string][]byte{"a.py": []byte(file.String())}}, edit.Policy{Allowed: []string{"a.py"}}
	_, rep := edit.Plan(tree, reply.String(), policy)
	got := edit.Feedback(rep, tree, policy)
	if len(got) > 10_000 || strings.Count(got, "```")%2 != 0 {
		t.Errorf("%d bytes, %d fences", len(got), strings.Count(got, "```"))
	}
}
