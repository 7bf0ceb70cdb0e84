package numbers

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"nullius.dev/services/writer/internal/tex"
)

// Literal is a number that was typed instead of referred to.
type Literal struct {
	ID         string // N01, N03, N04
	Start, End int
	Text       string
	Advice     bool // outside strict text
	Near       []string
}

// opaque lists commands whose arguments hold no numbers of the paper: the number of groups to blank.
var opaque = map[string]int{
	"measured": 1, "setting": 1, "counted": 1, "need": 2, "ref": 1, "eqref": 1, "pageref": 1, "autoref": 1, "cref": 1, "Cref": 1, "label": 1,
	"cite": 1, "citep": 1, "citet": 1, "citealp": 1, "citealt": 1, "citeauthor": 1, "citeyear": 1, "citeyearpar": 1, "nocite": 1,
	"includegraphics": 1, "url": 1, "href": 1, "vspace": 1, "hspace": 1, "setlength": 2, "addtolength": 2, "resizebox": 2, "scalebox": 1,
	"cmidrule": 1, "cline": 1, "multicolumn": 2, "multirow": 2, "rule": 2, "cited": 2, "compare": 2, "nulliusgap": 1, "nulliusmark": 1, "hypersetup": 1,
	"setcounter": 2, "parbox": 1, "fontsize": 2, "bibliography": 1, "bibliographystyle": 1, "usepackage": 1, "rowcolor": 1,
}

var (
	envArgs      = regexp.MustCompile(`\\begin\s*\{(?:figure|table|algorithm|algorithmic|itemize|enumerate)\*?\}\s*\[[^\]]*\]|\\(?:begin|end)\s*\{[A-Za-z*]+\}`)
	columnSpec   = regexp.MustCompile(`\\begin\s*\{(?:tabular\*?|tabularx|array|minipage|subfigure|wrapfigure|adjustbox|enumerate|algorithmic)\}(?:\s*\[[^\]]*\])?(?:\s*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}){1,2}`)
	lineSkip     = regexp.MustCompile(`\\\\\*?\s*\[[^\]]*\]`)
	ruleSpan     = regexp.MustCompile(`\\cmidrule\s*\([a-z]*\)`)
	tabularEnv   = regexp.MustCompile(`(?s)\\begin\s*\{(tabular\*?|tabularx|array)\}.*?\\end\s*\{(tabular\*?|tabularx|array)\}`)
	subscript    = regexp.MustCompile(`(?:[A-Za-z)\]|']|[^{\s]\}|\^[A-Za-z*])\s*(?:_|\\textsubscript)\s*(\{\s*[0-9]{1,2}\s*\}|[0-9])`) // an index of something
	smallPower   = regexp.MustCompile(`(?:[A-Za-z)\]|]|[^{\s]\})\s*(?:\^|\\textsuperscript)\s*(\{\s*-?[12]\s*\}|[12])`)
	romanPattern = regexp.MustCompile(`\b[IVX]{2,}\b`)
	numberWords  = regexp.MustCompile(`(?i)\b(thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|hundreds?|thousands?|millions?|billions?|dozens?)\b`)
	numberToken  = regexp.MustCompile(`\.?[0-9]+(?:(?:\.|,|\{,\}|\\,)[0-9]+)*(?:[eE][-+]?[0-9]+)?`)
	verbatimEnv  = regexp.MustCompile(`(?s)\\begin\{verbatim\*?\}(.*?)\\end\{verbatim\*?\}`)
	percentAfter = regexp.MustCompile(`^\s*(?:\\,|~|\$|\{|\})*\s*(?:\\%|percent\b|per cent\b)`)
	timesAfter   = regexp.MustCompile(`^\s*(?:\\,|~|\$|\{|\})*\s*(?:\\times\b|x\b|\\texttimes\b)`)
	commonNames  = []string{"L1", "L2", "F1", "R2", "1D", "2D", "3D", "1-D", "2-D", "3-D"}
)

// AddNames makes tokens that hold letters and digits known as names, so that they are no numbers: CIFAR-10, noise_0.3.
func (r *Record) AddNames(texts ...string) {
	for _, t := range texts {
		for _, w := range wordPattern.FindAllString(t, -1) {
			w = strings.Trim(w, ".-:_")
			if isName(w) {
				r.names[strings.ToLower(w)] = true
			}
		}
	}
}

var wordPattern = regexp.MustCompile(`[A-Za-z0-9_.:-]+`)

func isName(w string) bool {
	letters, digits := 0, 0
	for i := range len(w) {
		switch {
		case tex.IsLetter(w[i]):
			letters++
		case w[i] >= '0' && w[i] <= '9':
			digits++
		}
	}
	if letters == 0 || digits == 0 || len(w) > 60 {
		return false
	}
	if _, err := strconv.ParseFloat(w, 64); err == nil {
		return false
	}
	return !(w[0] >= '0' && w[0] <= '9' && letters == 1 && strings.ContainsRune("xXkKMGBsm", rune(w[len(w)-1])))
}

// Literals finds the typed numbers of a text. In strict text none counts; elsewhere decimals, percentages, multiples, captions and tables are as
// strict, and the rest is advice.
func (r *Record) Literals(src string, strict bool) []Literal {
	text := []byte(tex.Mask(src))
	zones := strictZones(string(text))
	r.blankOpaque(text)
	var out []Literal
	if strict || len(zones) > 0 {
		out = append(out, r.wordNumbers(string(text), strict, zones)...)
	}
	blankNames(text, r.names)
	blankAll(text, subscript)
	blankAll(text, smallPower)
	s := string(text)
	for _, m := range numberToken.FindAllStringIndex(s, -1) {
		if s[m[0]] == '.' && m[0] > 0 && (tex.IsLetter(s[m[0]-1]) || s[m[0]-1] == '.' || s[m[0]-1] == ']' || s[m[0]-1] == ')') { // the end of a sentence or of "Fig."
			m[0]++
		}
		l := Literal{ID: "N01", Start: m[0], End: m[1], Text: src[m[0]:m[1]]}
		rest := s[m[1]:]
		hard := strict || inside(zones, m[0]) || strings.ContainsAny(l.Text, ".eE") || percentAfter.MatchString(rest) || timesAfter.MatchString(rest)
		if !hard {
			if r.harmless(s, l) {
				continue
			}
			l.Advice = true
		}
		l.Near = r.candidates(l.Text)
		out = append(out, l)
	}
	out = append(out, foreignDigits(s, strict, zones)...)
	out = append(out, r.verbatimNumbers(src, strict)...)
	slices.SortFunc(out, func(a, b Literal) int { return a.Start - b.Start })
	return out
}

// verbatimNumbers finds numbers in text that TeX does not read. No mark can stand in it, so theirs stands behind it.
func (r *Record) verbatimNumbers(src string, strict bool) []Literal {
	var out []Literal
	for _, m := range verbatimEnv.FindAllStringSubmatchIndex(src, -1) {
		text := []byte(src[m[2]:m[3]])
		blankNames(text, r.names)
		for _, n := range numberToken.FindAll(text, -1) {
			if strict || strings.ContainsAny(string(n), ".eE") {
				out = append(out, Literal{ID: "N01", Start: m[1], End: m[1], Text: string(n), Near: r.candidates(string(n))})
			}
		}
	}
	return out
}

func inside(zones [][2]int, i int) bool {
	return slices.ContainsFunc(zones, func(z [2]int) bool { return z[0] <= i && i < z[1] })
}

// strictZones are captions and tables in a section that is not strict itself.
func strictZones(s string) [][2]int {
	var out [][2]int
	for _, c := range tex.Calls(s, map[string]int{"caption": 1}) {
		if len(c.Args) == 1 {
			out = append(out, [2]int{c.ArgStart[0], c.End})
		}
	}
	for _, m := range tabularEnv.FindAllStringIndex(s, -1) {
		out = append(out, [2]int{m[0], m[1]})
	}
	for _, m := range tableOpen.FindAllStringIndex(s, -1) {
		if inside, _, ok := tex.Group(s, m[1]); ok {
			out = append(out, [2]int{m[1], m[1] + len(inside)})
		}
	}
	return out
}

// blankOpaque blanks what is no running text. Of a measuredtable only the caption stays.
func (r *Record) blankOpaque(text []byte) {
	s := string(text)
	for _, m := range tableOpen.FindAllStringIndex(s, -1) {
		inside, end, ok := tex.Group(s, m[1])
		if !ok {
			continue
		}
		t := readTable(inside)
		from := m[1] + 1
		if t.caption == "" {
			blankRange(text, m[0], end)
			continue
		}
		blankRange(text, m[0], from+t.capAt)
		blankRange(text, from+t.capAt+len(t.caption), end)
	}
	s = string(text)
	for _, p := range []*regexp.Regexp{columnSpec, envArgs, lineSkip, ruleSpan} {
		for _, m := range p.FindAllStringIndex(s, -1) {
			blankRange(text, m[0], m[1])
		}
	}
	s = string(text)
	for _, c := range tex.Calls(s, opaque) {
		blankRange(text, c.Start, c.End)
	}
}

func blankRange(b []byte, from, to int) {
	for i := from; i < to && i < len(b); i++ {
		if b[i] != '\n' {
			b[i] = ' '
		}
	}
}

func blankAll(b []byte, p *regexp.Regexp) {
	for _, m := range p.FindAllSubmatchIndex(b, -1) {
		blankRange(b, m[2], m[3])
	}
}

// blankNames blanks tokens of letters and digits that the record knows. A backslash before an underscore is part of the token.
func blankNames(b []byte, names map[string]bool) {
	for i := 0; i < len(b); {
		if !nameByte(b, i) {
			i++
			continue
		}
		j := i
		var word []byte
		for j < len(b) && nameByte(b, j) {
			if b[j] != '\\' {
				word = append(word, b[j])
			}
			j++
		}
		w := strings.Trim(string(word), ".-:_")
		if isName(w) && (names[strings.ToLower(w)] || slices.Contains(commonNames, w)) {
			blankRange(b, i, j)
		}
		i = j
	}
}

func nameByte(b []byte, i int) bool {
	c := b[i]
	if c == '\\' {
		return i+1 < len(b) && b[i+1] == '_'
	}
	if c == '_' {
		return i > 0 && b[i-1] == '\\'
	}
	return tex.IsLetter(c) && !(i > 0 && b[i-1] == '\\') || c >= '0' && c <= '9' || c == '.' || c == '-' || c == ':'
}

// harmless lets plain whole numbers of a section that is not strict pass: settings, counts, one-digit constants, years.
func (r *Record) harmless(s string, l Literal) bool {
	n, err := strconv.ParseFloat(strings.NewReplacer(",", "", "{", "", "}", "", `\`, "").Replace(l.Text), 64)
	if err != nil {
		return false
	}
	if n < 10 || n >= 1900 && n <= 2100 && len(l.Text) == 4 {
		return true
	}
	for _, x := range r.settings {
		if x.Value == n {
			return true
		}
	}
	return slices.ContainsFunc(r.counts, func(c Count) bool { return float64(c.Value) == n })
}

func (r *Record) wordNumbers(s string, strict bool, zones [][2]int) []Literal {
	var out []Literal
	add := func(id string, m []int) {
		if strict || inside(zones, m[0]) {
			out = append(out, Literal{ID: id, Start: m[0], End: m[1], Text: s[m[0]:m[1]]})
		}
	}
	for _, m := range numberWords.FindAllStringIndex(s, -1) {
		add("N04", m)
	}
	for _, m := range romanPattern.FindAllStringIndex(s, -1) {
		if m[0] == 0 || s[m[0]-1] != '\\' {
			add("N03", m)
		}
	}
	return out
}

func foreignDigits(s string, strict bool, zones [][2]int) []Literal {
	var out []Literal
	for i, c := range s {
		if c >= 0x80 && unicode.IsNumber(c) && (strict || inside(zones, i)) {
			out = append(out, Literal{ID: "N03", Start: i, End: i + utf8.RuneLen(c), Text: string(c)})
		}
	}
	return out
}

// candidates names up to three measured values that would print like the literal. They help a model; code never links a literal.
func (r *Record) candidates(text string) []string {
	n, err := strconv.ParseFloat(strings.NewReplacer(",", "", "{", "", "}", "", `\`, "").Replace(text), 64)
	if err != nil {
		return nil
	}
	_, frac, _ := strings.Cut(text, ".")
	half := 0.5
	for range frac {
		half /= 10
	}
	var out []string
	for _, id := range r.order {
		for _, run := range r.Runs {
			m, ok := r.cells[id].values[run.Number]
			if ok && len(out) < 3 && (close(m.Value, n, half) || close(-m.Value, n, half)) {
				out = append(out, `\measured{`+run.Name()+"/"+id+"}")
			}
		}
	}
	for _, s := range r.settings {
		if len(out) < 3 && s.Value == n {
			out = append(out, `\setting{`+s.ID+"}")
		}
	}
	for _, c := range r.counts {
		if len(out) < 3 && float64(c.Value) == n {
			out = append(out, `\counted{`+c.ID+"}")
		}
	}
	return out
}

func close(a, b, half float64) bool { d := a - b; return d <= half*1.0001 && d >= -half*1.0001 }

// MarkLiterals puts the raised question mark behind each literal that is no advice.
func MarkLiterals(src string, ls []Literal) string {
	var b strings.Builder
	last := 0
	for _, l := range ls {
		if l.Advice || l.End < last {
			continue
		}
		b.WriteString(src[last:l.End])
		if !strings.HasPrefix(src[l.End:], Mark) && !(l.Start == l.End && l.End == last) {
			b.WriteString(Mark)
		}
		last = l.End
	}
	return b.String() + src[last:]
}
