package edit_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nullius.dev/services/coder/internal/edit"
)

// drawn is a file of unlike lines and a change of some of its lines.
type drawn struct {
	file     []string
	from, to int
	with     []string
	eol      string
	ends     bool
}

func drawEdit(t *rapid.T) drawn {
	word := rapid.SampledFrom([]string{"x = 1", "    y = f(x)", "", "\treturn y", "# é", "z  =  3 ", "if a:", "        b.c(d)"})
	d := drawn{eol: rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "eol"), ends: rapid.Bool().Draw(t, "ends")}
	for i, n := 0, rapid.IntRange(1, 30).Draw(t, "lines"); i < n; i++ {
		d.file = append(d.file, word.Draw(t, "line")+" #"+strings.Repeat("i", i)) // each line once
	}
	d.from = rapid.IntRange(0, len(d.file)-1).Draw(t, "from")
	d.to = rapid.IntRange(d.from+1, len(d.file)).Draw(t, "to")
	for i, n := 0, rapid.IntRange(1, 6).Draw(t, "new lines"); i < n; i++ {
		d.with = append(d.with, word.Draw(t, "new")+" +"+strings.Repeat("j", i))
	}
	return d
}

func (d drawn) bytes(lines []string) []byte {
	s := strings.Join(lines, d.eol)
	if d.ends {
		s += d.eol
	}
	return []byte(s)
}

func blockOf(search, replace []string) string {
	return "a.py\n<<<<<<< SEARCH\n" + strings.Join(search, "\n") + "\n=======\n" + strings.Join(replace, "\n") + "\n>>>>>>> REPLACE\n"
}

// An exact block writes what it says and nothing else; turned round it gives the old bytes back; planning twice gives the same.
func TestPlan_ReverseEditRestoresTheBytes(t *testing.T) {
	policy := edit.Policy{Allowed: []string{"a.py"}}
	rapid.Check(t, func(t *rapid.T) {
		d := drawEdit(t)
		old, search := d.bytes(d.file), d.file[d.from:d.to]
		if len(d.file) == 1 && d.eol == "\r\n" && !d.ends {
			d.eol = "\n" // a file without a line end has no style of its own
		}
		want := d.bytes(append(append(append([]string(nil), d.file[:d.from]...), d.with...), d.file[d.to:]...))
		tree := edit.Tree{Files: map[string][]byte{"a.py": old}}
		reply := blockOf(search, d.with)
		changes, rep := edit.Plan(tree, reply, policy)
		again, rep2 := edit.Plan(tree, reply, policy)
		if !reflect.DeepEqual(changes, again) || !reflect.DeepEqual(rep, rep2) {
			t.Fatal("planning twice differs")
		}
		if rep.Status != edit.Applied || !bytes.Equal(changes[0].Data, want) {
			t.Fatalf("%s: %+v, want %q", rep.Status, changes, want)
		}
		tree.Files["a.py"] = changes[0].Data
		back, rep := edit.Plan(tree, blockOf(d.with, search), policy)
		switch {
		case rep.Status != edit.Applied:
			t.Fatalf("the way back is %s: %+v", rep.Status, rep.Blocks)
		case d.eol == "\r\n" && !bytes.Contains(changes[0].Data, []byte("\r\n")):
			return // the only line ends went, and with them the style
		case !bytes.Equal(back[0].Data, old):
			t.Fatalf("back: %q, want %q", back[0].Data, old)
		}
	})
}

// Blocks, whatever their rung, give a diff that git apply takes and that leads to the planned bytes.
func TestPlan_GitTakesEveryDiff(t *testing.T) {
	policy := edit.Policy{Allowed: []string{"a.py"}}
	rapid.Check(t, func(t *rapid.T) {
		d := drawEdit(t)
		search := append([]string(nil), d.file[d.from:d.to]...)
		switch rapid.SampledFrom([]string{"as it is", "trimmed", "unindented", "numbered"}).Draw(t, "form") {
		case "trimmed":
			for i := range search {
				search[i] += "  "
			}
		case "unindented":
			for i := range search {
				search[i] = strings.TrimLeft(search[i], " \t")
			}
		case "numbered":
			for i := range search {
				search[i] = "7 | " + search[i]
			}
		}
		old := d.bytes(d.file)
		changes, rep := edit.Plan(edit.Tree{Files: map[string][]byte{"a.py": old}}, blockOf(search, d.with), policy)
		if rep.Status != edit.Applied {
			if len(changes) > 0 {
				t.Fatalf("%s with changes", rep.Status)
			}
			return
		}
		if err := apply([]string{"git", "apply", "-"}, "a.py", old, changes[0].Data, changes.Diff()); err != nil {
			t.Fatalf("%v\n%s", err, changes.Diff())
		}
	})
}

// FuzzRetry: whatever two replies hold, and whatever the file, nothing outside the allowed files is written, nothing is written by a
// failed reply, and the union is planned alike twice.
func FuzzRetry(f *testing.F) {
	good := blockOf([]string{"b = 2"}, []string{"b = 3"})
	f.Add(blockOf([]string{"nope"}, []string{"x"})+good, blockOf([]string{"a = 1"}, []string{"a = 7"}), "a = 1\nb = 2\n")
	f.Add(good+"b/c.py\n<<<<<<< SEARCH\n", "b/c.py\n```\nx\n```\n", "b = 2")
	f.Add("*** Begin Patch\n*** Delete File: a.py\n*** Add File: a.py\n+q\n*** End Patch", "../a.py\n"+good, "")
	for _, reply := range seeds(f) {
		f.Add(reply[0], good, reply[1])
	}
	policy := edit.Policy{Allowed: []string{"a.py", "b/*.py"}, Protected: edit.BuiltinProtected, AllowDelete: true}
	f.Fuzz(func(t *testing.T, first, second, file string) {
		tree := edit.Tree{Files: map[string][]byte{"a.py": []byte(file)}, Other: map[string]bool{"run_0/x": true}, Links: map[string]bool{"b/l.py": true},
			Older: map[string][]edit.Version{"a.py": {{Label: "before", Data: []byte("a = 1\nb = 2\n")}}}}
		_, before := edit.Plan(tree, first, policy)
		changes, rep := edit.Retry(tree, before, second, policy)
		again, _ := edit.Retry(tree, before, second, policy)
		if !reflect.DeepEqual(changes, again) {
			t.Fatal("planning twice differs")
		}
		if rep.Status != edit.Applied && len(changes) > 0 {
			t.Fatalf("%s with changes", rep.Status)
		}
		for _, c := range changes {
			if (c.Path != "a.py" && !edit.Match("b/*.py", c.Path)) || c.Path == "b/l.py" {
				t.Fatalf("%s was written", c.Path)
			}
		}
		if rep.Status.Failed() && len(edit.Feedback(rep, tree, policy)) > 12000 {
			t.Fatal("the feedback is too long")
		}
	})
}
