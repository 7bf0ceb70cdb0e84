package edit_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nullius.dev/services/coder/internal/edit"
)

// FuzzPlan: no reply panics, and a failed one has no changes.
func FuzzPlan(f *testing.F) {
	for _, s := range []string{
		"", "```", "<<<<<<< SEARCH\na\n=======\n=======\nb\n>>>>>>> REPLACE", "*** Begin Patch\n*** Add File: a.py\n+x\n*** End Patch",
		"```diff\n--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n```", "a.py\n```python\na = 1\n```", "<think>", "..\\a.py\n<<<<<<< SEARCH line=9\n\n=======\n...\n>>>>>>> REPLACE",
	} {
		f.Add(s, "a = 1\n\nb = 2\r\n")
	}
	for _, reply := range seeds(f) {
		f.Add(reply[0], reply[1])
	}
	f.Fuzz(func(t *testing.T, reply, file string) {
		tree := edit.Tree{Files: map[string][]byte{"a.py": []byte(file)}, Other: map[string]bool{"run_0/x": true}}
		policy := edit.Policy{Allowed: []string{"a.py", "b/*.py"}, Protected: edit.BuiltinProtected}
		changes, rep := edit.Plan(tree, reply, policy)
		if rep.Status != edit.Applied && len(changes) > 0 {
			t.Fatalf("%s with changes", rep.Status)
		}
		for _, c := range changes {
			if c.Path != "a.py" && !edit.Match("b/*.py", c.Path) {
				t.Fatalf("%s was written", c.Path)
			}
		}
		if rep.Status.Failed() && len(edit.Feedback(rep, tree, policy)) > 12000 {
			t.Fatal("the feedback is too long")
		}
	})
}

// seeds are the replies of all cases, as if each were for a.py, with a file of the case.
func seeds(f *testing.F) (out [][2]string) {
	for _, file := range caseFiles() {
		for _, c := range loadCases(f, file) {
			for name, text := range c.Files {
				if len(c.Reply) < 4000 && len(text) < 4000 {
					out = append(out, [2]string{strings.ReplaceAll(c.Reply, name, "a.py"), text})
				}
			}
		}
	}
	return out
}

// Diffs of any two texts are taken by git apply and by patch, and give the new text.
func TestUnifiedDiff_GitAndPatchTakeIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"a", "b", "", "  c", "d\r", "-x", "+y", "@@", "--- z", "é"})
		text := func(name string) []byte {
			s := strings.Join(rapid.SliceOfN(line, 0, 24).Draw(t, name), "\n")
			if rapid.Bool().Draw(t, name+" ends") && s != "" {
				s += "\n"
			}
			return []byte(s)
		}
		old, now := text("old"), text("new")
		if bytes.Equal(old, now) || len(old) == 0 || len(now) == 0 {
			return
		}
		path := rapid.SampledFrom([]string{"f.py", "lab notes.txt"}).Draw(t, "path")
		diff := edit.Changes{{Path: path, Old: old, Data: now}}.Diff()
		for _, tool := range [][]string{{"git", "apply", "-"}, {"patch", "-p1", "--binary", "-s"}} {
			if err := apply(tool, path, old, now, diff); err != nil {
				t.Fatalf("%v: %v\n%q to %q\n%s", tool, err, old, now, diff)
			}
		}
	})
}

func apply(tool []string, path string, old, now, diff []byte) error {
	dir, err := os.MkdirTemp("", "diff-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, path)
	if err := os.WriteFile(file, old, 0o644); err != nil {
		return err
	}
	cmd := exec.Command(tool[0], tool[1:]...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(diff)
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s (apt-get install git patch)", err, out)
	}
	got, err := os.ReadFile(file)
	if err == nil && !bytes.Equal(got, now) {
		err = fmt.Errorf("it gives %q", got)
	}
	return err
}
