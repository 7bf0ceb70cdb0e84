package check

import (
	"regexp"
	"strconv"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

var rules = set("toprule midrule bottomrule hline cmidrule cline")

func (w *weaver) lineBreak(end int) {
	if end < len(w.s) && w.s[end] == '*' {
		end++
	}
	w.i = end
	e := w.environment()
	if e == nil && !w.inMath() {
		if m := breakSpace.FindString(w.s[end:]); m != "" {
			w.i += len(m)
		}
		w.put(" ")
		return
	}
	if e != nil {
		e.most, e.cells = max(e.most, e.cells), 0
	}
	w.put(`\\`)
	if j := tex.SkipSpace(w.s, end); j < len(w.s) && w.s[j] == '[' {
		inside, stop, ok := tex.Group(w.s, j)
		if ok && len(inside) < 12 && strings.Trim(inside, "0123456789.-ptexmc ") == "" {
			w.put("[" + inside + "]")
			w.i = stop
		} else {
			w.put("{}")
		}
	}
}

func (w *weaver) span(name string, end int) {
	c := tex.ReadCall(w.s, w.i, 2)
	e := w.environment()
	if len(c.Args) < 2 || e == nil || !alignedEnvs[e.name] || strings.Contains(w.s[c.Start+1:c.End], `\`) {
		w.l.mended("T01", `\`+name+" outside a table was removed")
		w.i = max(c.End, end)
		return
	}
	if name == "multicolumn" {
		if !w.cellBegins(e) {
			w.l.mended("T01", `a \multicolumn inside a cell was removed, its text kept`)
			w.i = c.End
			return
		}
		n := 0
		for _, d := range c.Args[0] {
			if d >= '0' && d <= '9' {
				n = min(n*10+int(d-'0'), 50)
			}
		}
		e.cells += max(0, n-1)
	}
	w.put(escapePercent(w.s[c.Start:c.End]))
	w.i = c.End
}

// cellBegins says whether nothing stands in the cell yet.
func (w *weaver) cellBegins(e *frame) bool {
	cell := string(w.out[e.at:])
	for _, sep := range []string{"&", `\\`} {
		if j := strings.LastIndex(cell, sep); j >= 0 {
			cell = cell[j+len(sep):]
		}
	}
	return strings.TrimSpace(leadingRules.ReplaceAllString(cell, "")) == ""
}

// rule puts a missing line end in front of a rule and says whether a rule may stand here.
func (w *weaver) rule(name string) bool {
	e := w.environment()
	if e == nil || !strings.HasPrefix(e.name, "tabular") && e.name != "array" {
		w.l.mended("T02", `\`+name+" outside a table was removed")
		return false
	}
	t := strings.TrimRight(string(w.out[e.at:]), " \t\n")
	if t == "" || strings.HasSuffix(t, `\\`) || ruleEnd(t) {
		return true
	}
	w.l.mended("T02", "a line end was put in front of a rule")
	w.put(` \\ `)
	e.most, e.cells = max(e.most, e.cells), 0
	return true
}

func ruleEnd(t string) bool {
	if strings.HasSuffix(t, "]") {
		return strings.Contains(t[max(0, len(t)-24):], `\\[`)
	}
	line := t[strings.LastIndexByte(t, '\\')+1:]
	for r := range rules {
		if strings.HasPrefix(line, r) {
			return true
		}
	}
	return false
}

var (
	breakSpace   = regexp.MustCompile(`^[ \t]*\[[0-9.\s-]*(?:pt|ex|em|mm|cm|in)\]`)
	leadingRules = regexp.MustCompile(`^(?:\s*(?:\[[^\]]*\]|\\(?:hline|toprule|midrule|bottomrule|(?:cline|cmidrule)(?:\([a-z]*\))?\{[^{}]*\})))*`)
	ruleRange    = regexp.MustCompile(`(\\(?:cline|cmidrule)(?:\([a-z]*\))?)\{(\d+)-(\d+)\}`)
)

// clampRules keeps rules that span columns inside the table.
func (w *weaver) clampRules(f frame) {
	if f.cols == 0 || f.at > len(w.out) || !strings.HasPrefix(f.name, "tabular") && f.name != "array" {
		return
	}
	body := ruleRange.ReplaceAllStringFunc(string(w.out[f.at:]), func(rule string) string {
		m := ruleRange.FindStringSubmatch(rule)
		from, err1 := strconv.Atoi(m[2])
		to, err2 := strconv.Atoi(m[3])
		if err1 == nil && err2 == nil && from >= 1 && from <= to && to <= f.cols {
			return rule
		}
		w.l.mended("T02", "a rule over columns that the table lacks was shortened")
		if err1 != nil || from < 1 || from > f.cols {
			return ""
		}
		return m[1] + "{" + m[2] + "-" + strconv.Itoa(f.cols) + "}"
	})
	w.out = append(w.out[:f.at], body...)
}
