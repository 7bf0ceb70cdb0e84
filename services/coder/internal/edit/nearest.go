package edit

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
)

const (
	maxRegion  = 40 // lines of a shown region
	maxWindows = 5  // candidates that are compared character by character
)

// explainMissing says why a block was not found and shows the nearest text.
func (pl *planner) explainMissing(d *doc, o op) (cause, hint string) {
	cause, hint = pl.whyMissing(d, o)
	if n, m := countElisions(o.search), countElisions(o.replace); n > 0 && n != m {
		cause += fmt.Sprintf("; %d lines of SEARCH and %d of REPLACE stand for lines left out, which fits only in pairs: write every line", n, m)
	}
	return cause, hint
}

func (pl *planner) whyMissing(d *doc, o op) (cause, hint string) {
	t := text{o.search, o.replace}.edges()
	if len(t.search) == 0 {
		return "SEARCH is empty", ""
	}
	if pl.hints++; pl.hints > maxHints {
		return "SEARCH is not in " + d.path, ""
	}
	for _, e := range pl.editable {
		if e == d.path {
			continue
		}
		if other, prob := pl.doc(e); prob == nil && len(index(other.view(normRight), normRight.all(t.search), 1)) > 0 {
			return fmt.Sprintf("SEARCH is not in %s, only in %s", d.path, e), ""
		}
	}
	if r := (text{search: o.replace}).edges().search; len(r) > 0 && len(o.anchors) == 0 {
		if at := index(d.view(normRight), normRight.all(r), 1); len(at) > 0 {
			return fmt.Sprintf("SEARCH is not in %s, but your REPLACE stands on lines %d to %d already", d.path, at[0]+1, at[0]+len(r)), showRegion(d, at[0], at[0]+len(r))
		}
	}
	for _, v := range pl.tree.Older[d.path] {
		if old := newDoc(d.path, v.Data, true); len(index(old.view(normRight), normRight.all(t.search), 1)) > 0 {
			start, _ := nearestRegion(d, t.search)
			return fmt.Sprintf("SEARCH matches an older version of %s (%s), not the file as it stands now", d.path, v.Label), showRegion(d, start, start+len(t.search))
		}
	}
	if at := index(squash(d.texts()), squash(t.search), 1); len(at) > 0 {
		return fmt.Sprintf("SEARCH differs from lines %d to %d of %s in spaces or indent only", at[0]+1, at[0]+len(t.search), d.path),
			showRegion(d, at[0], at[0]+len(t.search))
	}
	start, score := nearestRegion(d, t.search)
	if score < 0.5 {
		return fmt.Sprintf("nothing in %s is like SEARCH (best %d %%)", d.path, int(score*100)), definitions(d)
	}
	cause = fmt.Sprintf("SEARCH is not in %s", d.path)
	for k, s := range t.search {
		if start+k >= len(d.lines) {
			cause = fmt.Sprintf("%s ends before line %d of SEARCH, %q", d.path, k+1, clip(s, 120))
			break
		}
		if f := d.lines[start+k].text; rtrim(f) != rtrim(s) {
			cause = fmt.Sprintf("line %d of SEARCH is %q, but line %d of %s is %q", k+1, clip(s, 120), start+k+1, d.path, clip(f, 120))
			break
		}
	}
	return cause, showRegion(d, start, start+len(t.search))
}

func squash(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.Join(strings.Fields(l), "")
	}
	return out
}

// nearestRegion lets equal lines vote for an offset, rare lines with more weight, and compares the
// best few windows character by character.
func nearestRegion(d *doc, search []string) (start int, score float64) {
	file := d.view(normTrim)
	where := map[string][]int{}
	for i, l := range file {
		if l != "" {
			where[l] = append(where[l], i)
		}
	}
	votes := map[int]float64{}
	for k, s := range search {
		at := where[normTrim.line(s)]
		if len(at) > 50 {
			at = at[:50]
		}
		for _, i := range at {
			votes[i-k] += 1 / float64(len(at))
		}
	}
	if len(votes) == 0 {
		votes = voteByWords(file, search)
	}
	offsets := make([]int, 0, len(votes))
	for o := range votes {
		offsets = append(offsets, o)
	}
	sort.Slice(offsets, func(i, j int) bool {
		a, b := offsets[i], offsets[j]
		if votes[a] != votes[b] {
			return votes[a] > votes[b]
		}
		return a < b
	})
	for n, o := range offsets {
		if n == maxWindows {
			break
		}
		if s := windowScore(file, search, o); s > score {
			start, score = max(o, 0), s
		}
	}
	return start, score
}

// maxWords bounds the names of a line that are looked at.
const maxWords = 12

// names gives the names of a line that have three letters or more; by hand, since a whole file is read so.
func names(l string) (out []string) {
	l = clip(l, maxCompare)
	for i := 0; i < len(l) && len(out) < maxWords; i++ {
		from := i
		for i < len(l) && (l[i] == '_' || l[i]|0x20 >= 'a' && l[i]|0x20 <= 'z' || i > from && l[i] >= '0' && l[i] <= '9') {
			i++
		}
		if i-from > 2 {
			out = append(out, l[from:i])
		}
	}
	return out
}

// voteByWords is for blocks of which no line is in the file as it stands.
func voteByWords(file, search []string) map[int]float64 {
	where := map[string][]int{}
	for i, l := range file {
		for _, w := range names(l) {
			if n := len(where[w]); n < 20 && (n == 0 || where[w][n-1] != i) {
				where[w] = append(where[w], i)
			}
		}
	}
	votes := map[int]float64{}
	for k, s := range search {
		if k == 60 {
			break
		}
		for _, w := range names(s) {
			for _, i := range where[w] {
				votes[i-k] += 1 / float64(len(where[w]))
			}
		}
	}
	return votes
}

// windowScore is the mean similarity of the lines, of at most 60 of them.
func windowScore(file, search []string, offset int) float64 {
	sum, n := 0.0, 0
	for k, s := range search {
		if isBlank(s) {
			continue
		}
		if n++; n > 60 {
			n--
			break
		}
		if i := offset + k; i >= 0 && i < len(file) {
			sum += similarity(file[i], normTrim.line(s))
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

// showRegion quotes lines of the file with 3 lines around, in a fence that they do not contain.
func showRegion(d *doc, from, to int) string {
	from, to = max(0, from-3), min(len(d.lines), to+3)
	if to-from > maxRegion {
		to = from + maxRegion
	}
	if from >= to {
		return ""
	}
	return fmt.Sprintf("Lines %d to %d of %s are:\n%s", from+1, to, d.path, Fenced(strings.Join(d.texts()[from:to], "\n"), ""))
}

// Fenced puts text into a fence longer than any that it holds.
func Fenced(s, info string) string {
	n := 3
	for _, l := range strings.Split(s, "\n") {
		if f, ok := parseFence(l); ok && f.char == '`' && f.count >= n {
			n = f.count + 1
		} else if t := strings.TrimLeft(l, " \t"); strings.HasPrefix(t, "```") {
			n = max(n, len(t)-len(strings.TrimLeft(t, "`"))+1)
		}
	}
	mark := strings.Repeat("`", n)
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return mark + info + "\n" + s + mark
}

var defRE = regexp.MustCompile(`^\s*(?:(?:async\s+)?def|class)\s+\w+|^if __name__`)

// isDefinition looks at most lines without the expression, which costs more.
func isDefinition(l string) bool {
	return (strings.Contains(l, "def ") || strings.Contains(l, "class ") || strings.HasPrefix(l, "if __name__")) && defRE.MatchString(l)
}

// definitions lists the functions and classes of a file.
func definitions(d *doc) string {
	var out []string
	for i, l := range d.lines {
		if isDefinition(l.text) {
			out = append(out, fmt.Sprintf("line %d: %s", i+1, clip(rtrim(l.text), 100)))
		}
		if len(out) == maxRegion {
			break
		}
	}
	if len(out) == 0 {
		return showRegion(d, 0, 20)
	}
	return d.path + " defines:\n" + Fenced(strings.Join(out, "\n"), "")
}

func ambiguousCause(d *doc, f found) string {
	if f.unclear {
		return "a part of SEARCH between elisions stands in " + d.path + " more than once; write the block out"
	}
	places := make([]string, 0, 6)
	for k, h := range f.hits {
		if k == 5 {
			places = append(places, fmt.Sprintf("%d more", len(f.hits)-k))
			break
		}
		places = append(places, d.place(h.start()))
	}
	many := fmt.Sprint(len(f.hits))
	if len(f.hits) == maxPlaces {
		many += " or more"
	}
	return fmt.Sprintf("SEARCH fits %s places of %s: %s", many, d.path, strings.Join(places, "; "))
}

// place names a line for the model: "line 57, in def evaluate".
func (d *doc) place(i int) string {
	for j := i; j >= 0; j-- {
		if l := d.lines[j].text; isDefinition(l) && (j == i || len(indentOf(l)) < len(indentOf(d.lines[i].text)) || isBlank(d.lines[i].text)) {
			return fmt.Sprintf("line %d, in %s", i+1, clip(strings.TrimRight(strings.TrimSpace(l), ":"), 60))
		}
	}
	return fmt.Sprintf("line %d", i+1)
}

// explainPlaces shows how the first two places could be told apart.
func (pl *planner) explainPlaces(d *doc, hits []hit) string {
	if pl.hints++; pl.hints > maxHints || len(hits) < 2 {
		return ""
	}
	h := hits[0]
	start, end := h.start(), h.parts[len(h.parts)-1].end
	for n := 1; n <= 6; n++ {
		for _, way := range []struct {
			line int
			says string
		}{{start - n, "Begin SEARCH %d line(s) earlier"}, {end + n - 1, "End SEARCH %d line(s) later"}} {
			if way.line < 0 || way.line >= len(d.lines) || !tells(d, hits, way.line) {
				continue
			}
			return fmt.Sprintf(way.says+", which makes it unique, or write the line number behind the marker: <<<<<<< SEARCH line=%d\n%s",
				n, start+1, showRegion(d, min(start, way.line), max(end, way.line+1)))
		}
	}
	return fmt.Sprintf("Write the line number behind the marker to choose: <<<<<<< SEARCH line=%d", start+1)
}

// tells says whether a line beside the first place differs from the lines beside all others.
func tells(d *doc, hits []hit, line int) bool {
	for _, g := range hits[1:] {
		at := g.start() + line - hits[0].start()
		if at >= 0 && at < len(d.lines) && d.lines[at].text == d.lines[line].text {
			return false
		}
	}
	return true
}
