package edit_test

import (
	"bytes"
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"nullius.dev/services/coder/internal/edit"
)

// Undoing a diff gives back the bytes that it was made from, of files that came, went and changed; of other files it is refused.
func TestUndo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"a", "b", "", "  c", "d\r", "-- x", "++ y", "@@ -1,1 +1,1 @@", "\\ z", "é"})
		text := func(name string) []byte {
			s := strings.Join(rapid.SliceOfN(line, 0, 24).Draw(t, name), "\n")
			if rapid.Bool().Draw(t, name+" ends") && s != "" {
				s += "\n"
			}
			return []byte(s)
		}
		before := map[string][]byte{"a.py": text("a"), "lab notes.txt": text("b")}
		after := maps.Clone(before)
		var changes edit.Changes
		for _, p := range []string{"a.py", "lab notes.txt", "q\"u.txt"} {
			old, there := before[p]
			ch := edit.Change{Path: p, Old: old, Created: !there}
			switch {
			case there && len(old) > 0 && rapid.Bool().Draw(t, p+" goes"):
				ch.Deleted = true
				delete(after, p)
			default:
				if ch.Data = text(p + " after"); bytes.Equal(ch.Data, old) {
					continue
				}
				after[p] = ch.Data
			}
			changes = append(changes, ch)
		}
		diff := changes.Diff()
		got, ok := edit.Undo(after, diff)
		if !ok || !maps.EqualFunc(got, before, bytes.Equal) {
			t.Fatalf("%v: %q\nwant %q\n%s", ok, got, before, diff)
		}
		if len(changes) > 0 && !changes[0].Deleted {
			after[changes[0].Path] = append(bytes.Repeat([]byte("other\n"), 30), after[changes[0].Path]...)
			if got, ok := edit.Undo(after, diff); ok && maps.EqualFunc(got, before, bytes.Equal) {
				t.Fatalf("a diff of other files gives the old ones: %q", got)
			}
		}
	})
}
