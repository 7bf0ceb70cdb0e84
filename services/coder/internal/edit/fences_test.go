package edit_test

import (
	"bytes"
	"maps"
	"reflect"
	"sync"
	"testing"

	"nullius.dev/services/coder/internal/edit"
)

// Bare fences in the strings of a Python file that is given whole do not end it, in whatever way the file is named.
func TestPlan_BareFencesInPython(t *testing.T) {
	const old = "x = 1\n"
	files := map[string]string{
		"a docstring":                    "\"\"\"Prints a table.\n\n```\na | b\n```\n\"\"\"\nx = 2\n",
		"a docstring in single quotes":   "'''\n```\na\n```\n'''\nx = 2\n",
		"two strings":                    "A = \"\"\"\n```\na\n```\n\"\"\"\nB = r'''\n```\nb\n```\n'''\n",
		"a fence with a language":        "\"\"\"\n```python\na\n```\n\"\"\"\nx = 2\n",
		"a fence that the file leaves":   "HEAD = \"\"\"\n```\n\"\"\"\nx = 2\n",
		"an apostrophe in a comment":     "# it's \"\"\" here\nx = 2\n\"\"\"\n```\n\"\"\"\n",
		"quotes within quotes":           "s = '\"\"\"'\nt = \"'''\"\nu = \"\"\"\n```\nit's\n```\n\"\"\"\n",
		"an escaped quote":               "s = \"\"\"\\\"\"\"\n```\n\"\"\"\nx = 2\n",
		"fences as strings of their own": "s = \"```\"\nprint(\"```\\n\")\n",
	}
	for what, file := range files {
		for how, open := range map[string]string{"path above, python": "a.py\n```python\n", "path above, no language": "a.py\n```\n", "path as the info": "```a.py\n", "language and path": "```python:a.py\n", "text": "**a.py**\n\n```text\n"} {
			t.Run(what+", "+how, func(t *testing.T) {
				reply := "The file:\n\n" + open + file + "```\n\nIt prints:\n\n```\n3\n```\n"
				changes, rep := edit.Plan(edit.Tree{Files: map[string][]byte{"a.py": []byte(old)}}, reply, edit.Policy{Allowed: []string{"a.py", "b.py"}})
				if rep.Status != edit.Applied || len(changes) != 1 || string(changes[0].Data) != file {
					t.Errorf("%s: %+v\n%s", rep.Status, rep.Blocks, changes.Diff())
				}
			})
		}
	}
}

// Planning shares nothing but what it reads: many at once come out as one after the other.
func TestPlan_AtOnce(t *testing.T) {
	type result struct {
		changes  edit.Changes
		feedback string
	}
	plan := func(tree edit.Tree, reply string, p edit.Policy) result {
		changes, rep := edit.Plan(tree, reply, p)
		return result{changes, edit.Feedback(rep, tree, p)}
	}
	var cases []editCase
	for _, file := range caseFiles() {
		for _, c := range loadCases(t, file) {
			if len(c.Reply) < 20_000 {
				cases = append(cases, c)
			}
		}
	}
	for _, c := range cases {
		tree, policy := c.tree(t)
		before := maps.Clone(tree.Files)
		for p, data := range before {
			before[p] = bytes.Clone(data)
		}
		want := plan(tree, c.Reply, policy)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if got := plan(tree, c.Reply, policy); !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %s\nand alone %s", c.Name, got.feedback, want.feedback)
				}
			})
		}
		wg.Wait()
		if !maps.EqualFunc(before, tree.Files, bytes.Equal) {
			t.Errorf("%s: the files that were read have changed", c.Name)
		}
	}
}
