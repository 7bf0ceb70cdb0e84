package edit_test

import (
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
