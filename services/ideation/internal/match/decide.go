package match

import (
	"sort"
	"strconv"
	"strings"

	"nullius.dev/services/ideation/internal/paper"
	"nullius.dev/services/ideation/internal/text"
)

// Reference is what somebody cited.
type Reference struct {
	Title   string         `json:"title,omitempty"`
	Authors []paper.Author `json:"authors,omitempty"`
	Cut     bool           `json:"cut,omitempty"` // "and others"
	Year    int            `json:"year,omitempty"`
	DOI     string         `json:"doi,omitempty"`
	ArXiv   string         `json:"arxiv,omitempty"`
}

// Outcome of comparing a reference with what is known.
type Outcome uint8

// Outcomes.
const (
	None  Outcome = iota
	Found         // exists as cited
	Other         // exists, with other metadata
)

// Difference is a field in which the record differs from the reference.
type Difference struct {
	Field string `json:"field"`
	Asked string `json:"asked"`
	Found string `json:"found"`
}

// Candidate is a known paper with its title score.
type Candidate struct {
	Paper paper.Paper `json:"paper"`
	Score float64     `json:"score"`
}

// Decision is what was found.
type Decision struct {
	Outcome     Outcome
	Paper       paper.Paper
	Score       float64
	Differences []Difference
	Weak        bool        // perhaps another paper of theirs
	Nearest     []Candidate // at most 3, best first
}

// Decide picks the paper among candidates that a reference means, if any.
func Decide(ref Reference, candidates []paper.Paper) Decision {
	judged := make([]Decision, 0, len(candidates))
	near := make([]Candidate, 0, len(candidates))
	for _, c := range candidates {
		d := Judge(ref, c)
		near = append(near, Candidate{c, d.Score})
		if d.Outcome != None {
			judged = append(judged, d)
		}
	}
	sort.SliceStable(near, func(i, j int) bool {
		if near[i].Score != near[j].Score {
			return near[i].Score > near[j].Score
		}
		return near[i].Paper.ID < near[j].Paper.ID
	})
	near = near[:min(3, len(near))]
	if len(judged) == 0 {
		return Decision{Nearest: near}
	}
	sort.SliceStable(judged, func(i, j int) bool { return better(judged[i], judged[j]) })
	best := judged[0]
	best.Nearest = near
	return best
}

func better(a, b Decision) bool {
	if a.Outcome != b.Outcome {
		return a.Outcome == Found
	}
	if a.Weak != b.Weak {
		return b.Weak
	}
	if a.Score != b.Score {
		return a.Score > b.Score
	}
	if len(a.Differences) != len(b.Differences) {
		return len(a.Differences) < len(b.Differences)
	}
	return a.Paper.ID < b.Paper.ID
}

// Judge compares a reference with one paper.
func Judge(ref Reference, p paper.Paper) Decision {
	asked := prepare(ref.Title)
	var d Decision
	d.Paper = p
	var best title
	for i, known := range p.Titles() {
		t := prepare(known)
		if s := score(asked, t); i == 0 || s > d.Score {
			d.Score, best = s, t
		}
	}
	who := compare(ref, p)
	like := text.Likeness(asked.letters, best.letters)
	gap := yearGap(ref.Year, p)
	switch {
	case ref.Title == "":
	case len(ref.Authors) == 0 && d.Score >= 0.90 && gap <= 4:
		d.Outcome = Found
	case d.Score >= 0.90 && who.agree && (who.full && gap <= 1):
		d.Outcome = Found
	case d.Score >= 0.90 && who.agree:
		d.Outcome = Other
	case d.Score >= 0.97 && len(asked.words) >= 4 && len(ref.Authors) > 0:
		d.Outcome = Other
	case d.Score >= 0.80 && who.agree && who.first && gap <= 4:
		d.Outcome = Other
	}
	if d.Outcome == None {
		return d
	}
	d.Differences = differences(ref, p, who, like, gap)
	if len(d.Differences) > 0 {
		d.Outcome = Other
	}
	d.Weak = weak(asked, best)
	return d
}

// Differences lists in what a reference differs from a record of which it is known to be.
func Differences(ref Reference, p paper.Paper) []Difference {
	asked, like := prepare(ref.Title), 0.0
	for _, t := range p.Titles() {
		like = max(like, text.Likeness(asked.letters, prepare(t).letters))
	}
	return differences(ref, p, compare(ref, p), like, yearGap(ref.Year, p))
}

func differences(ref Reference, p paper.Paper, who names, like float64, gap int) []Difference {
	var out []Difference
	if like < 0.97 {
		out = append(out, Difference{"title", ref.Title, p.Title})
	}
	if len(ref.Authors) > 0 && !who.full {
		out = append(out, Difference{"authors", list(ref.Authors), list(p.Authors)})
	}
	if gap > 1 {
		out = append(out, Difference{"year", strconv.Itoa(ref.Year), strconv.Itoa(p.Year)})
	}
	return out
}

func list(as []paper.Author) string {
	var out []string
	for i, a := range as {
		if i == 20 {
			out = append(out, "…")
			break
		}
		out = append(out, a.String())
	}
	return strings.Join(out, "; ")
}

// yearGap is how far the cited year is from those the paper bears, from preprint to publication; 0 if either is unknown.
func yearGap(year int, p paper.Paper) int {
	if year == 0 || p.Year == 0 {
		return 0
	}
	from, to := p.FirstYear(), p.Year
	switch {
	case year < from:
		return from - year
	case year > to:
		return year - to
	}
	return 0
}

// weak reports whether a content word was replaced or added: the authors may have another paper of that name.
func weak(asked, known title) bool {
	if asked.letters == known.letters || asked.head != "" && asked.head == known.letters {
		return false
	}
	unknown := 0
	for _, w := range asked.words {
		if !near(w, known.words) && !strings.Contains(known.letters, w) {
			unknown++
		}
	}
	return unknown > 0
}

// near reports whether a word stands in a list, a typo allowed from five letters on.
func near(w string, ws []string) bool {
	for _, x := range ws {
		if w == x || len(w) >= 5 && len(x) >= 5 && text.Distance(w, x) <= 1 {
			return true
		}
	}
	return false
}

// names is how the authors of a reference compare with a record's.
type names struct {
	first bool // the first one is the same
	agree bool // half are found, and the first or two
	full  bool // all are found, the first at its place, none missing
}

func compare(ref Reference, p paper.Paper) names {
	var n names
	if len(ref.Authors) == 0 || len(p.Authors) == 0 {
		return n
	}
	used := make([]bool, len(p.Authors))
	found := 0
	for _, a := range ref.Authors {
		for j, b := range p.Authors {
			if !used[j] && sameFamily(a, b) {
				used[j] = true
				found++
				break
			}
		}
	}
	n.first = sameFamily(ref.Authors[0], p.Authors[0])
	n.agree = 2*found >= len(ref.Authors) && (n.first || found >= 2)
	count := len(ref.Authors) == len(p.Authors) || ref.Cut && len(ref.Authors) <= len(p.Authors) || p.AuthorsCut
	n.full = n.first && (found == len(ref.Authors) || p.AuthorsCut && found == len(p.Authors)) && count
	return n
}

// sameFamily compares family names in letters, with and without particles; from five letters on a typo is allowed.
func sameFamily(a, b paper.Author) bool {
	for _, x := range forms(a) {
		for _, y := range forms(b) {
			if x == y || len(x) >= 5 && len(y) >= 5 && text.Distance(x, y) <= 1 {
				return true
			}
		}
	}
	return false
}

// forms are the ways a family name is written: umlauts as two letters or one, the last word alone.
func forms(a paper.Author) []string {
	name := text.Norm(a.Sort())
	joined := strings.ReplaceAll(name, " ", "")
	out := []string{joined}
	if i := strings.LastIndexByte(name, ' '); i > 0 && len(name)-i > 3 {
		out = append(out, name[i+1:])
	}
	if folded := umlauts.Replace(joined); folded != joined {
		out = append(out, folded)
	}
	return out
}

var umlauts = strings.NewReplacer("ae", "a", "oe", "o", "ue", "u")
