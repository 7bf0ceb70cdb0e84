package edit_test

import (
	"maps"
	"strings"
	"testing"

	"nullius.dev/services/coder/internal/edit"
)

func TestRetry(t *testing.T) {
	file := "a = 1\n" + strings.Repeat("b = 2\n", 12)
	block := func(path, search, replace string) string {
		return path + "\n<<<<<<< SEARCH\n" + search + "\n=======\n" + replace + "\n>>>>>>> REPLACE\n"
	}
	good := block("x.py", "a = 1", "a = 3")
	short := "x.py\n```python\na = 9\n```\n"
	for _, c := range []struct {
		name, first, second string
		want                edit.Class
		text                string // of x.py afterwards
	}{
		{"the sound block comes again alone", block("y.json", "{", "[") + good, good, edit.Applied, strings.Replace(file, "a = 1", "a = 3", 1)},
		{"the failing block is left out and another one sent", block("y.json", "{", "[") + good, block("x.py", "a = 1", "a = 4"), edit.Applied, strings.Replace(file, "a = 1", "a = 4", 1)},
		{"a short listing that comes again is meant", short, short, edit.Applied, "a = 9\n"},
		{"another short listing is refused as well", short, strings.Replace(short, "9", "8", 1), edit.Malformed, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := edit.Tree{Files: map[string][]byte{"x.py": []byte(file), "y.json": []byte("{}\n")}}
			policy := edit.Policy{Allowed: []string{"x.py"}}
			_, before := edit.Plan(tree, c.first, policy)
			if !before.Status.Failed() {
				t.Fatalf("the first reply is %s", before.Status)
			}
			changes, after := edit.Retry(tree, before, c.second, policy)
			if after.Status != c.want {
				t.Fatalf("status %s, want %s: %+v", after.Status, c.want, after.Blocks)
			}
			if c.text != "" && (len(changes) != 1 || string(changes[0].Data) != c.text) {
				t.Errorf("changes: %+v", changes)
			}
		})
	}
}

// Several files: what was sound stays staged, once, whether it is sent again or not; a new file that comes again in other words is the newer one.
func TestRetry_Staged(t *testing.T) {
	block := func(path, search, replace string) string {
		lines := func(s string) string {
			if s == "" {
				return ""
			}
			return s + "\n"
		}
		return path + "\n<<<<<<< SEARCH\n" + lines(search) + "=======\n" + lines(replace) + ">>>>>>> REPLACE\n"
	}
	files := map[string][]byte{"a.py": []byte("import os\nrate = 1\n"), "b.py": []byte("size = 1\n"), "notes.txt": []byte("one\n"), "c.py": []byte("import os\n")}
	insert, good, bad := block("a.py", "import os", "import os\nimport sys"), block("b.py", "size = 1", "size = 2"), block("a.py", "speed = 1", "speed = 2")
	mended, made, remade := block("a.py", "rate = 1", "rate = 2"), block("new.py", "", "v = 1"), block("new.py", "", "v = 2")
	for _, c := range []struct {
		name, first, second, third string
		want                       map[string]string // nil: nothing is written
	}{
		{"the failed one of three is sent", insert + bad + good, mended, "", map[string]string{"a.py": "import os\nimport sys\nrate = 2\n", "b.py": "size = 2\n"}},
		{"all are sent again", insert + bad + good, insert + mended + good, "", map[string]string{"a.py": "import os\nimport sys\nrate = 2\n", "b.py": "size = 2\n"}},
		{"all again in another order", insert + bad + good, good + mended + insert, "", map[string]string{"a.py": "import os\nimport sys\nrate = 2\n", "b.py": "size = 2\n"}},
		{"the failed one fails twice", insert + bad, bad, mended, map[string]string{"a.py": "import os\nimport sys\nrate = 2\n"}},
		{"one fails each time", insert + bad, good + bad, mended, map[string]string{"a.py": "import os\nimport sys\nrate = 2\n", "b.py": "size = 2\n"}},
		{"a new file comes again as it was", made + bad, made + mended, "", map[string]string{"new.py": "v = 1\n", "a.py": "import os\nrate = 2\n"}},
		{"a new file comes again in other words", made + bad, remade + mended, "", map[string]string{"new.py": "v = 2\n", "a.py": "import os\nrate = 2\n"}},
		{"what was to be added to a new file is mended", made + block("new.py", "", "# ... rest of the code"), block("new.py", "", "w = 5"), "", map[string]string{"new.py": "v = 1\nw = 5\n"}},
		{"a new file comes again as a listing", made + bad, mended + "new.py\n```\nv = 3\n```\n", "", map[string]string{"new.py": "v = 3\n", "a.py": "import os\nrate = 2\n"}},
		{"an append comes again", block("notes.txt", "", "two") + bad, block("notes.txt", "", "two") + mended, "", map[string]string{"notes.txt": "one\ntwo\n", "a.py": "import os\nrate = 2\n"}},
		{"a sound block changes its mind", good + bad, block("b.py", "size = 1", "size = 3") + mended, "", map[string]string{"b.py": "size = 3\n", "a.py": "import os\nrate = 2\n"}},
		{"a block mends what a kept one wrote", good + bad, block("b.py", "size = 2", "size = 4") + mended, "", map[string]string{"b.py": "size = 4\n", "a.py": "import os\nrate = 2\n"}},
		{"the same words in another file", good + bad, block("notes.txt", "size = 1", "size = 5") + mended, "", nil},
		{"the same line of another file", block("a.py", "import os", "import re") + bad, block("c.py", "import os", "import sys") + mended, "", map[string]string{"a.py": "import re\nrate = 2\n", "c.py": "import sys\n"}},
		{"words alone between", insert + bad, "Sorry.", mended, map[string]string{"a.py": "import os\nimport sys\nrate = 2\n"}},
		{"a forbidden path on the way", insert + bad, block("../x.py", "a", "b") + mended, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, policy := edit.Tree{Files: files}, edit.Policy{Allowed: []string{"a.py", "b.py", "c.py", "new.py", "notes.txt"}}
			_, rep := edit.Plan(tree, c.first, policy)
			var changes edit.Changes
			for _, reply := range []string{c.second, c.third} {
				if reply != "" {
					changes, rep = edit.Retry(tree, rep, reply, policy)
				}
			}
			got := map[string]string{}
			for _, ch := range changes {
				got[ch.Path] = string(ch.Data)
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("%s: %q, want %q\n%+v", rep.Status, got, c.want, rep.Blocks)
			}
		})
	}
}
