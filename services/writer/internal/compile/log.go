// Package compile turns a paper's files into a PDF inside the sandbox, with a pass loop of its own, and reads TeX's log.
package compile

import (
	"regexp"
	"strconv"
	"strings"
)

// Problem is one thing the log tells.
type Problem struct {
	ID      string // L01 to L06, P02, R01, B02 …
	Line    int    // of the main file; 0: unknown
	Text    string
	Excerpt string // source that TeX was reading, for problems without a line
	Points  float64
}

const maxProblems = 20

var (
	fileLine   = regexp.MustCompile(`^\.?/?([^\s:()]+\.[a-z]{2,4}):(\d+): (.*)$`)
	bang       = regexp.MustCompile(`^! ?(.*)$`)
	lineMark   = regexp.MustCompile(`^l\.(\d+) ?(.*)$`)
	endedBy    = regexp.MustCompile(`on input line (\d+) ended by`)
	inputLine  = regexp.MustCompile(`on input line (\d+)`)
	undefRef   = regexp.MustCompile("LaTeX Warning: Reference `([^']*)' on page .* undefined on input line (\\d+)")
	undefCite  = regexp.MustCompile("(?:LaTeX|Package natbib) Warning: Citation [`']([^']*)' .*undefined on input line (\\d+)")
	multiLabel = regexp.MustCompile("LaTeX Warning: Label `([^']*)' multiply defined")
	overfull   = regexp.MustCompile(`^Overfull \\[hv]box \(([0-9.]+)pt too (?:wide|high)\)(?:.*?at lines? (\d+))?`)
	missingSty = regexp.MustCompile("File `([^']+)' not found")
	tooLarge   = regexp.MustCompile(`LaTeX Warning: Float too large for page by ([0-9.]+)pt on input line (\d+)`)
	runaway    = regexp.MustCompile(`^Runaway (?:argument|text|definition|preamble)`)
	outputLine = regexp.MustCompile(`Output written on \S+ \((\d+) pages?`)
)

// ReadLog finds what is wrong in a log of pdflatex. It returns at most twenty errors, and the boxes that are too wide.
func ReadLog(log string) []Problem {
	if len(log) > 8<<20 {
		log = log[:4<<20] + log[len(log)-4<<20:]
	}
	lines := strings.Split(log, "\n")
	var out []Problem
	add := func(p Problem) {
		p.Text = clean(p.Text)
		for _, o := range out {
			if o.ID == p.ID && o.Line == p.Line && o.Text == p.Text {
				return
			}
		}
		if len(out) < maxProblems || p.ID == "P02" && len(out) < 2*maxProblems {
			out = append(out, p)
		}
	}
	excerpt := ""
	for i := 0; i < len(lines); i++ {
		line := strings.TrimRight(lines[i], "\r")
		switch {
		case runaway.MatchString(line) && i+1 < len(lines):
			excerpt = clean(lines[i+1])
		case fileLine.MatchString(line):
			m := fileLine.FindStringSubmatch(line)
			n, _ := strconv.Atoi(m[2])
			if !strings.HasSuffix(m[1], ".tex") {
				n = 0
			}
			add(errorAt(m[3], n, excerpt))
			excerpt = ""
		case bang.MatchString(line):
			text := bang.FindStringSubmatch(line)[1]
			n := 0
			for j := i + 1; j < min(i+14, len(lines)); j++ {
				if m := lineMark.FindStringSubmatch(lines[j]); m != nil {
					n, _ = strconv.Atoi(m[1])
					if strings.TrimSpace(m[2]) != "" && excerpt == "" {
						excerpt = clean(m[2])
					}
					break
				}
				if strings.HasPrefix(lines[j], "! ") {
					break
				}
			}
			add(errorAt(text, n, excerpt))
			excerpt = ""
		case strings.Contains(line, `(\end occurred`):
			add(Problem{ID: "L01", Text: line})
		case overfull.MatchString(line):
			m := overfull.FindStringSubmatch(line)
			pt, _ := strconv.ParseFloat(m[1], 64)
			n, _ := strconv.Atoi(m[2])
			if pt > 2 {
				add(Problem{ID: "P02", Line: n, Points: pt, Text: "a line or float is " + m[1] + " pt too wide or too high"})
			}
		case tooLarge.MatchString(line):
			m := tooLarge.FindStringSubmatch(line)
			pt, _ := strconv.ParseFloat(m[1], 64)
			n, _ := strconv.Atoi(m[2])
			add(Problem{ID: "P02", Line: n, Points: pt, Text: "a float is " + m[1] + " pt higher than the page, so its end cannot be read"})
		case undefRef.MatchString(line):
			m := undefRef.FindStringSubmatch(line)
			n, _ := strconv.Atoi(m[2])
			add(Problem{ID: "R01", Line: n, Text: "the reference " + m[1] + " is undefined"})
		case undefCite.MatchString(line):
			m := undefCite.FindStringSubmatch(line)
			n, _ := strconv.Atoi(m[2])
			add(Problem{ID: "B02", Line: n, Text: "the citation " + m[1] + " is undefined"})
		case multiLabel.MatchString(line):
			add(Problem{ID: "R02", Text: "the label " + multiLabel.FindStringSubmatch(line)[1] + " stands twice"})
		}
	}
	return out
}

func errorAt(text string, line int, excerpt string) Problem {
	p := Problem{ID: "L01", Line: line, Text: text, Excerpt: excerpt}
	if m := endedBy.FindStringSubmatch(text); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
	} else if line == 0 {
		if m := inputLine.FindStringSubmatch(text); m != nil {
			p.Line, _ = strconv.Atoi(m[1])
		}
	}
	if m := missingSty.FindStringSubmatch(text); m != nil && strings.HasSuffix(m[1], ".sty") {
		p.ID, p.Text, p.Excerpt = "L04", text, m[1]
	}
	return p
}

// MissingStyles names the style files that the log asks for.
func MissingStyles(ps []Problem) []string {
	var out []string
	for _, p := range ps {
		if p.ID == "L04" {
			out = append(out, p.Excerpt)
		}
	}
	return out
}

func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < 0x20 || c == 0x7f || c == 0xFFFD {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return s
}

// pagesOf reads the pages that the log says were written; 0 if none.
func pagesOf(log string) int {
	n := 0
	for _, m := range outputLine.FindAllStringSubmatch(log, -1) {
		n, _ = strconv.Atoi(m[1])
	}
	return n
}

// labelPage reads the page of a label from an .aux file.
func labelPage(aux, label string) int {
	p := regexp.MustCompile(`\\newlabel\{` + regexp.QuoteMeta(label) + `\}\{\{(?:[^{}]|\{[^{}]*\})*\}\{(\d+)\}`)
	if m := p.FindStringSubmatch(aux); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}
