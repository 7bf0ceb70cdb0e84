package edit

import (
	"slices"
	"strings"
)

// part is one stretch of the file that a block matches.
type part struct {
	start, end int      // lines of the file, [start, end)
	search     []string // compared with replace to find what the model changed
	replace    []string
	out        []string // replace as it is written; nil: as given
	at         []int    // for each line of search its line in the file, -1: none; nil: they lie one behind the other from start
}

// line gives the file's line of a line of search.
func (p part) line(i int) int {
	if p.at == nil {
		return p.start + i
	}
	return p.at[i]
}

// hit is one place where a block fits: one part, or several around elisions.
type hit struct {
	parts []part
	warn  string
}

func (h hit) start() int { return h.parts[0].start }

// try is what a rung is given.
type try struct {
	d               *doc
	search, replace []string
	unclear         bool // a rung found parts of the block more than once
}

// text is a block's search and replace under a reading: as written, trimmed, unwrapped, without numbers.
type text struct{ search, replace []string }

// edges takes blank lines off the ends of search, and as many off replace where it has them.
func (t text) edges() text {
	s, r := t.search, t.replace
	for len(s) > 0 && isBlank(s[0]) {
		s = s[1:]
		if len(r) > 0 && isBlank(r[0]) {
			r = r[1:]
		}
	}
	for len(s) > 0 && isBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
		if len(r) > 0 && isBlank(r[len(r)-1]) {
			r = r[:len(r)-1]
		}
	}
	return text{s, r}
}

func (t text) trimmedDiffers(u text) bool { return len(t.search) != len(u.search) }

type rung struct {
	name string
	// full tries the block as written first and then without blank edges; else only without.
	full bool
	find func(*try) []hit
}

// rungs is the matching ladder, strictest first. The first rung with a hit decides.
func rungs(p Policy) []rung {
	r := []rung{
		{"L4_indent_shift", true, findIndentShift},
		{"L4b_first_line_indent", true, findFirstLine},
		{"L5_indent_style", true, findIndentStyle},
		{"L6_typographic", true, findTypographic},
		{"L7_blank_drift", false, findBlankDrift},
		{elisionRung, false, findElision},
	}
	if !p.NoPartialLine {
		r = append(r, rung{"L9_partial_line", false, findPartialLine})
	}
	if !p.NoNear {
		r = append(r, rung{"L10_near", false, findNear})
	}
	return r
}

const elisionRung = "L8_elision"

// found is the outcome of the ladder: the hits of one rung.
type found struct {
	hits    []hit
	rungs   []string
	unclear bool
}

func (f found) any() bool { return len(f.hits) > 0 || f.unclear }

// climb tries every rung on the block.
func climb(d *doc, t text, p Policy) found {
	if f := climbPlain(d, t, p); f.any() {
		return f
	}
	for _, w := range []struct {
		name   string
		unwrap func(text) (text, bool)
	}{{"L11_fence_wrapped", unwrapFence}, {"L12_line_numbers", stripNumbers}} {
		u, ok := w.unwrap(t)
		if !ok || allBlank(u.search) {
			continue
		}
		if f := climbPlain(d, u, p); f.any() {
			f.rungs = append(f.rungs, w.name)
			return f
		}
	}
	return found{}
}

func climbPlain(d *doc, t text, p Policy) found {
	trimmed := t.edges()
	if h := straight(d, t, normExact); len(h) > 0 {
		return found{hits: h, rungs: []string{"L1_exact"}}
	}
	if h := straight(d, t, normRight); len(h) > 0 {
		return found{hits: h, rungs: []string{"L2_trailing_ws"}}
	}
	if t.trimmedDiffers(trimmed) {
		if h := straight(d, trimmed, normRight); len(h) > 0 {
			return found{hits: h, rungs: []string{"L3_edge_blank"}}
		}
	}
	for _, r := range rungs(p) {
		readings := []text{trimmed}
		if r.full && t.trimmedDiffers(trimmed) {
			readings = []text{t, trimmed}
		}
		for _, u := range readings {
			tr := &try{d: d, search: u.search, replace: u.replace}
			h := r.find(tr)
			if len(h) > 0 || tr.unclear {
				return found{hits: h, rungs: []string{r.name}, unclear: tr.unclear}
			}
		}
	}
	return found{}
}

// straight finds search line by line under a normalisation; the replacement is written as given.
func straight(d *doc, t text, n norm) []hit {
	var out []hit
	for _, i := range d.places(indexAll(d.view(n), n.all(t.search))) {
		out = append(out, hit{parts: []part{linear(i, t.search, t.replace, nil)}})
	}
	return out
}

// linear is a part whose lines lie one to one in the file.
func linear(start int, search, replace, out []string) part {
	return part{start: start, end: start + len(search), search: search, replace: replace, out: out}
}

// maxPlaces bounds the places that are weighed against each other: more than a reply could tell apart.
const maxPlaces = 2000

// places leaves out what lies far from the line that the block names, when there are very many.
func (d *doc) places(at []int) []int {
	if len(at) <= maxPlaces {
		return at
	}
	from, _ := slices.BinarySearch(at, d.want-1)
	from = min(max(0, from-maxPlaces/2), len(at)-maxPlaces)
	return at[from : from+maxPlaces]
}

// indexAll gives every start of needle in hay, overlapping ones too, in linear time (Knuth, Morris, Pratt).
func indexAll(hay, needle []string) []int { return index(hay, needle, len(hay)) }

// index gives the first starts of needle in hay, at most so many.
func index(hay, needle []string, most int) []int {
	if len(needle) == 0 || len(needle) > len(hay) {
		return nil
	}
	fail := failures(needle)
	var out []int
	for i, k := 0, 0; i < len(hay); i++ {
		for k > 0 && (k == len(needle) || hay[i] != needle[k]) {
			k = fail[k-1]
		}
		if hay[i] == needle[k] {
			k++
		}
		if k == len(needle) {
			if out = append(out, i-len(needle)+1); len(out) >= most {
				break
			}
		}
	}
	return out
}

// commentMarks open a comment in one language or another, with what closes it.
var commentMarks = [][2]string{{"#", ""}, {"//", ""}, {"%", ""}, {"--", ""}, {";", ""}, {"/*", "*/"}, {"<!--", "-->"}}

// comment gives what a line says that is a comment alone.
func comment(l string) (string, bool) {
	s := strings.TrimSpace(l)
	for _, m := range commentMarks {
		if rest, ok := strings.CutPrefix(s, m[0]); ok {
			return strings.TrimSpace(strings.TrimSuffix(rest, m[1])), true
		}
	}
	return "", false
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return r < 'a' || r > 'z' })
}

// failures gives for each beginning of needle the length of its longest proper end that it begins with too.
func failures(needle []string) []int {
	fail := make([]int, len(needle))
	for i, k := 1, 0; i < len(needle); i++ {
		for k > 0 && needle[i] != needle[k] {
			k = fail[k-1]
		}
		if needle[i] == needle[k] {
			k++
		}
		fail[i] = k
	}
	return fail
}

// elision says whether a line stands for lines left out, and whether it does so as a comment.
func elision(l string) (is, byComment bool) {
	s := strings.TrimSpace(l)
	if s == "..." || s == "…" {
		return true, false
	}
	body, _ := comment(s)
	body = strings.ReplaceAll(inBrackets(body), "…", "...")
	if !strings.HasPrefix(body, "...") && !strings.HasSuffix(body, "...") {
		return false, false
	}
	said := words(body)
	if len(said) == 0 {
		return true, true
	}
	for _, w := range said {
		switch w {
		case "rest", "existing", "remaining", "remains", "unchanged", "same", "code", "previous", "before", "omitted", "keep":
			return true, true
		}
	}
	return false, false
}

// inBrackets takes one pair of brackets off that lies around a whole text.
func inBrackets(s string) string {
	for _, pair := range []string{"()", "[]", "{}", "<>"} {
		if inner, ok := strings.CutPrefix(s, pair[:1]); ok {
			if inner, ok = strings.CutSuffix(inner, pair[1:]); ok {
				return strings.TrimSpace(inner)
			}
		}
	}
	return s
}

// SeemsLeftOut says whether a line is a comment that speaks of left out code in so many words, without the dots of an elision. That may be a comment
// like any other, so no edit is refused for it.
func SeemsLeftOut(l string) bool {
	body, ok := comment(l)
	if !ok || strings.ContainsAny(body, "0123456789=") {
		return false
	}
	strong, said := false, words(body)
	for _, w := range said {
		switch w {
		case "rest", "remaining", "remainder", "unchanged", "existing", "omitted":
			strong = true
		case "of", "the", "is", "are", "as", "and", "in", "to", "from", "here", "above", "below", "before", "same", "stays", "stay", "remains", "remain", "keep", "all", "other",
			"code", "file", "function", "functions", "class", "method", "methods", "lines", "script", "body", "implementation", "logic", "goes", "for", "brevity", "unmodified", "not":
		default:
			return false
		}
	}
	return strong && len(said) > 1
}
