package edit

import (
	"fmt"
	"slices"
	"strings"
)

// problem is why one block fails.
type problem struct {
	class Class
	cause string
	lazy  bool // code is left out
}

// minContent and minCorrection are the visible characters that SEARCH needs to choose an unnamed file
// and to overrule a named one.
const (
	minContent    = 8
	minCorrection = 24
)

// resolve turns the name of an op into a path that may be written.
func (pl *planner) resolve(o op) (path, warn string, prob *problem) {
	if o.name == "" {
		return pl.resolveUnnamed(o)
	}
	if why := unsafePath(o.name, pl.tree); why != "" {
		return "", "", &problem{class: ForbiddenPath, cause: fmt.Sprintf("%s: %s", clip(o.name, 120), why)}
	}
	name := cleanName(o.name)
	if pl.policy.Allows(name) {
		if !pl.tree.exists(name) && !slices.Contains(pl.policy.Allowed, name) {
			if c := pl.oneEditable(func(e string) bool { return pl.tree.exists(e) && strings.EqualFold(e, name) }); c != "" {
				return c, fmt.Sprintf("%s was read as %s", name, c), nil
			}
		}
		return name, "", nil
	}
	if pl.tree.exists(name) || matchAny(pl.policy.Protected, name) || strings.HasPrefix(name, ".git/") || name == ".git" {
		return "", "", &problem{class: ForbiddenPath, cause: name + " may not be edited"}
	}
	if c := pl.oneEditable(func(e string) bool { return strings.EqualFold(e, name) }); c != "" {
		return c, fmt.Sprintf("%s was read as %s", name, c), nil
	}
	tails := pl.editableWith(func(e string) bool { return strings.HasSuffix(e, "/"+name) })
	if len(tails) == 1 {
		return tails[0], fmt.Sprintf("%s was read as %s", name, tails[0]), nil
	}
	if o.kind == opBlock && !allBlank(o.search) {
		best := ""
		for _, e := range pl.editable {
			if strings.HasSuffix(name, "/"+e) && len(e) > len(best) {
				best = e
			}
		}
		if best != "" {
			return best, fmt.Sprintf("%s was read as %s", name, best), nil
		}
		if c := pl.byContent(o, minContent); c != "" {
			pl.guessed = true
			return c, fmt.Sprintf("%s is no editable file; the text was found in %s", name, c), nil
		}
	}
	if len(tails) > 1 {
		return "", "", &problem{class: Ambiguous, cause: fmt.Sprintf("%s may mean any of %s", name, strings.Join(tails, ", "))}
	}
	return "", "", &problem{class: ForbiddenPath, cause: name + " is not among the files that may be edited"}
}

func (pl *planner) resolveUnnamed(o op) (path, warn string, prob *problem) {
	if len(o.names) > 1 {
		if c := pl.byContent(o, minContent); c != "" {
			return c, "", nil
		}
	}
	if pl.prev != "" {
		return pl.prev, "", nil
	}
	if len(pl.editable) == 1 {
		return pl.editable[0], "", nil
	}
	if c := pl.byContent(o, minContent); c != "" {
		pl.guessed = true
		return c, "no file was named; the text was found in " + c, nil
	}
	return "", "", &problem{class: Malformed, cause: "no file is named; put the path on a line of its own above the block"}
}

func (pl *planner) editableWith(ok func(string) bool) []string {
	var out []string
	for _, e := range pl.editable {
		if ok(e) {
			out = append(out, e)
		}
	}
	return out
}

func (pl *planner) oneEditable(ok func(string) bool) string {
	if c := pl.editableWith(ok); len(c) == 1 {
		return c[0]
	}
	return ""
}

// byContent finds the one file that holds SEARCH at one place, right-trimmed.
func (pl *planner) byContent(o op, least int) string {
	if pl.policy.NoContentCorrection || o.kind != opBlock || visible(o.search) < least {
		return ""
	}
	want := normRight.all(text{search: o.search}.edges().search)
	found := ""
	for _, e := range pl.editable {
		d, prob := pl.doc(e)
		if prob != nil || !d.existed && !d.changed {
			continue
		}
		switch n := len(index(d.view(normRight), want, 2)); {
		case n == 1 && found == "":
			found = e
		case n > 0:
			return ""
		}
	}
	return found
}

// doc gives the file as the blocks before left it.
func (pl *planner) doc(path string) (*doc, *problem) {
	if d, ok := pl.docs[path]; ok {
		return d, nil
	}
	if why := unsafePath(path, pl.tree); why != "" { // a corrected name is none that was looked at
		return nil, &problem{class: ForbiddenPath, cause: fmt.Sprintf("%s: %s", path, why)}
	}
	data, existed := pl.tree.Files[path]
	if existed {
		if len(data) > MaxFile {
			return nil, &problem{class: Malformed, cause: fmt.Sprintf("%s is larger than %d bytes", path, MaxFile)}
		}
		if why := binary(data); why != "" {
			return nil, &problem{class: ForbiddenPath, cause: path + ": " + why}
		}
	}
	d := newDoc(path, data, existed)
	pl.docs[path] = d
	return d, nil
}

// divide settles which of several dividers counts: the longest SEARCH that is in the file exactly once;
// failing that the first divider, if it gives an empty SEARCH for a new or blank file.
func (pl *planner) divide(o op) (op, *problem) {
	path, _, prob := pl.resolve(o)
	if prob != nil && o.name == "" {
		for k := len(o.dividers) - 1; k >= max(0, len(o.dividers)-maxCuts); k-- {
			if cut := o.cut(o.dividers[k]); pl.byContent(cut, minContent) != "" {
				return cut, nil
			}
		}
	}
	if prob != nil {
		return o, prob
	}
	d, prob := pl.doc(path)
	if prob != nil {
		return o, prob
	}
	times := prefixCounts(d.view(normExact), o.body)
	for k := len(o.dividers) - 1; k >= 0; k-- {
		if at := o.dividers[k]; at > 0 && times[at] == 1 {
			return o.cut(at), nil
		}
	}
	if at := o.dividers[0]; allBlank(o.body[:at]) && d.blank() {
		return o.cut(at), nil
	}
	return o, &problem{class: Malformed, cause: "several ======= lines, and no way to cut the block there matches the file exactly once; use markers of 9 characters when the content holds such lines"}
}

// maxCuts bounds the dividers of an unnamed block that all files are searched for.
const maxCuts = 50

// prefixCounts says for each length how often that many first lines of body stand in hay, in linear time: the counts of longer prefixes are passed on
// to what they end with (Knuth, Morris, Pratt).
func prefixCounts(hay, body []string) []int {
	fail, times := failures(body), make([]int, len(body)+1)
	for i, k := 0, 0; i < len(hay); i++ {
		for k > 0 && (k == len(body) || hay[i] != body[k]) {
			k = fail[k-1]
		}
		if k < len(body) && hay[i] == body[k] {
			k++
		}
		times[k]++
	}
	for k := len(body); k > 0; k-- {
		times[fail[k-1]] += times[k]
	}
	return times
}

func (o op) cut(at int) op {
	o.search, o.replace = o.body[:at], o.body[at+1:]
	o.body, o.dividers = nil, nil
	return o
}
