package edit_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"nullius.dev/services/coder/internal/edit"
)

// Forms that mean the same as a case's own: none may change what becomes of it. fits leaves out the cases of which the form is the point.
var forms = []struct {
	name   string
	fits   func(editCase) bool
	change func(*editCase)
}{
	{"prose before", begins, func(c *editCase) { c.Reply = "This is the change.\n\n" + c.Reply }},
	{"prose after", whole, func(c *editCase) { c.Reply += "\n\nThat is all.\n" }},
	{"CRLF in the reply", always, func(c *editCase) { c.Reply = crlf(c.Reply) }},
	{"a BOM before the reply", noMark, func(c *editCase) { c.Reply = "\ufeff" + c.Reply }},
	{"reasoning before", func(c editCase) bool { return begins(c) && whole(c) }, func(c *editCase) {
		c.Reply = "<think>\na.py\n<<<<<<< SEARCH\nno\n</think>\n" + c.Reply
	}},
	{"blanks behind markers", func(c editCase) bool { return !inContent(c) }, func(c *editCase) {
		c.Reply = strings.NewReplacer(" SEARCH\n", " SEARCH \t\n", " REPLACE\n", " REPLACE  \n").Replace(c.Reply)
	}},
	{"ORIGINAL and UPDATED", func(c editCase) bool { return onlySevens(c) && !inContent(c) }, func(c *editCase) {
		c.Reply = strings.NewReplacer("<<<<<<< SEARCH", "<<<<<<< ORIGINAL", ">>>>>>> REPLACE", ">>>>>>> UPDATED").Replace(c.Reply)
	}},
	{"eight-character markers", func(c editCase) bool { return onlySevens(c) && !inContent(c) }, func(c *editCase) {
		c.Reply = strings.NewReplacer("<<<<<<< SEARCH", "<<<<<<<< SEARCH", ">>>>>>> REPLACE", ">>>>>>>> REPLACE", "\n=======\n", "\n========\n").Replace(c.Reply)
	}},
	{"CRLF in the files", plainText, func(c *editCase) { c.Files, c.Want = each(c.Files, crlf), each(c.Want, crlf) }},
	{"a BOM in the files", func(c editCase) bool { return plainText(c) && keepsFiles(c) && !empties(c) }, func(c *editCase) {
		mark := func(s string) string { return "\ufeff" + s }
		c.Files, c.Want = each(c.Files, mark), each(c.Want, mark)
	}},
	{"more files that may be edited", named, func(c *editCase) {
		c.Allowed = append(slices.Clone(c.Allowed), "zz/other.txt")
		c.Files, c.Want = maps.Clone(c.Files), maps.Clone(c.Want)
		if c.Files == nil {
			c.Files = map[string]string{}
		}
		if c.Want == nil {
			c.Want = map[string]string{}
		}
		c.Files["zz/other.txt"], c.Want["zz/other.txt"] = "nothing\nof interest\n", "nothing\nof interest\n"
	}},
}

func always(editCase) bool { return true }

// whole leaves out replies that end in the middle of something.
func whole(c editCase) bool {
	return c.Error != "malformed" && c.Status != "no_edits" && !strings.HasSuffix(strings.TrimSpace(c.Reply), "=")
}

// begins leaves out replies of which only the beginning is the point.
func begins(c editCase) bool {
	return noMark(c) && !strings.HasPrefix(strings.TrimLeft(c.Reply, " \t\n"), "<think")
}

func noMark(c editCase) bool { return !strings.HasPrefix(c.Reply, "\ufeff") }

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

func each(m map[string]string, f func(string) string) map[string]string {
	out := map[string]string{}
	for k, v := range m {
		out[k] = f(v)
	}
	return out
}

func onlySevens(c editCase) bool {
	for l := range strings.Lines(c.Reply) {
		l = strings.TrimSpace(l)
		if n := len(l) - len(strings.TrimLeft(l, "<>=+-")); n >= 5 && n != 7 {
			return false
		}
	}
	return strings.Contains(c.Reply, "<<<<<<< SEARCH")
}

// inContent says whether something like a marker lies in a file, or a divider more than blocks need.
func inContent(c editCase) bool {
	for _, m := range []map[string]string{c.Files, c.Want} {
		for _, s := range m {
			if edit.MarkerLike([]byte(s)) {
				return true
			}
		}
	}
	return strings.Count(c.Reply, "\n=======\n") != strings.Count(c.Reply, "<<<<<<< SEARCH")
}

// plainText: all files end each line with LF alone, so that CRLF or a BOM for all of them is the same case.
func plainText(c editCase) bool {
	if len(c.FilesB64)+len(c.WantB64) > 0 || len(c.Files) == 0 {
		return false
	}
	for _, m := range []map[string]string{c.Files, c.Want} {
		for _, s := range m {
			if strings.ContainsAny(s, "\r\ufeff\x00") || !strings.HasSuffix(s, "\n") {
				return false
			}
		}
	}
	return keepsFiles(c) && !strings.Contains(c.Reply, "\ufeff")
}

// keepsFiles: no file comes or goes, since a new one has no line ends to keep.
func keepsFiles(c editCase) bool {
	return c.Error != "" || slices.Equal(slices.Sorted(maps.Keys(c.Files)), slices.Sorted(maps.Keys(c.Want)))
}

func empties(c editCase) bool {
	for _, m := range []map[string]string{c.Files, c.Want} {
		for _, s := range m {
			if strings.TrimSpace(s) == "" {
				return true
			}
		}
	}
	return false
}

// named: with one more file a block without a name is another case.
func named(c editCase) bool { return len(c.Allowed) > 1 && c.Error == "" }

// Each case comes out the same in every form that means the same.
func TestPlan_FormDoesNotMatter(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			n := 0
			for _, file := range caseFiles() {
				for _, c := range loadCases(t, file) {
					if len(c.Reply) < 100_000 && form.fits(c) {
						n++
						c.Rung = "" // line ends may take a case to another rung
						form.change(&c)
						t.Run(c.Category+"/"+c.Name, c.check)
					}
				}
			}
			if n == 0 && len(caseFiles()) > 1 {
				t.Error("no case fits")
			}
		})
	}
}
