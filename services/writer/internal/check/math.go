package check

import (
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

func (w *weaver) closeMath(name string) {
	want := map[string]byte{")": 'p', "]": 'D'}[name]
	for k := len(w.stack) - 1; k >= 0; k-- {
		f := w.stack[k]
		if f.kind == want && !f.auto {
			w.closeTo(k+1, true)
			w.stack = w.stack[:k]
			w.rights(f)
			w.put(`\` + name)
			return
		}
		if f.kind == 'e' {
			return
		}
	}
}

func (w *weaver) delimiter(name string, end int) {
	w.i = end
	j := tex.SkipSpace(w.s, end)
	if j >= len(w.s) {
		return
	}
	delim := ""
	if w.s[j] == '\\' {
		n, stop := tex.CommandAt(w.s, j)
		if mathOnly[n] || n == "{" || n == "}" || n == "|" {
			delim = `\` + n
			j = stop
		}
	} else if strings.IndexByte("()[]|.<>/", w.s[j]) >= 0 {
		delim = w.s[j : j+1]
		j++
	}
	if len(w.stack) == 0 || !w.inMath() || delim == "" {
		w.l.mended("M02", `a \`+name+" outside a formula was removed")
		return
	}
	f := &w.stack[len(w.stack)-1]
	switch {
	case name == "left":
		f.lefts++
	case f.lefts == 0:
		w.l.mended("M02", `a lone \`+name+" was removed")
		if delim != "." {
			w.put(delim + " ")
		}
		w.i = j
		return
	case name == "right":
		f.lefts--
	}
	sep := ""
	if tex.IsLetter(delim[len(delim)-1]) && j < len(w.s) && tex.IsLetter(w.s[j]) {
		sep = " "
	}
	w.put(`\` + name + delim + sep)
	w.i = j
}

// inDisplay says whether the text stands in a display, outside its groups.
func (w *weaver) inDisplay() bool {
	for k := len(w.stack) - 1; k >= 0; k-- {
		switch f := w.stack[k]; f.kind {
		case 'm', 'p':
			return false
		case 'D':
			return true
		case 'e':
			return environments[f.name] && !innerMath[f.name]
		case 'g':
			return false
		}
	}
	return false
}

// mathInText wraps a mathematical command with its groups and scripts.
func (w *weaver) mathInText(name string, end int) {
	w.l.mended("M03", `\`+name+" in text became a formula")
	j := end
	for j < len(w.s) {
		switch w.s[j] {
		case '{':
			if _, stop, ok := tex.Group(w.s, j); ok && stop-j < 400 {
				j = stop
				continue
			}
		case '_', '^':
			if j+1 < len(w.s) && w.s[j+1] == '{' {
				j++
				continue
			}
			if j+1 < len(w.s) && (tex.IsLetter(w.s[j+1]) || w.s[j+1] >= '0' && w.s[j+1] <= '9') {
				j += 2
				continue
			}
		}
		break
	}
	inner := &weaver{l: w.l, own: w.own, s: w.s[w.i:j], atom: -1, stack: []frame{{kind: 'g', mode: 'm'}}}
	for inner.i < len(inner.s) {
		inner.step()
	}
	inner.closeTo(1, true)
	w.put(`\ensuremath{` + string(inner.out) + "}")
	w.i = j
}

// arity is the number of groups that mathematical commands cannot do without.
var arity = map[string]int{"frac": 2, "tfrac": 2, "dfrac": 2, "binom": 2, "overset": 2, "underset": 2, "stackrel": 2, "sqrt": 1, "hat": 1, "bar": 1, "tilde": 1,
	"vec": 1, "dot": 1, "ddot": 1, "widehat": 1, "widetilde": 1, "overline": 1, "overbrace": 1, "underbrace": 1, "mathbb": 1, "mathcal": 1, "mathbf": 1,
	"mathrm": 1, "mathit": 1, "mathsf": 1, "mathtt": 1, "mathfrak": 1, "boldsymbol": 1, "bm": 1, "operatorname": 1, "substack": 1, "pmod": 1}

// arguments makes sure that n groups follow; missing ones are empty.
func (w *weaver) arguments(n int) {
	if n <= 0 {
		return
	}
	j := tex.SkipSpace(w.s, w.i)
	switch rest := w.s[j:]; {
	case strings.HasPrefix(rest, "{"):
		w.wants, w.i = n, j
	case rest == "" || strings.IndexByte("}$&^_%\n", rest[0]) >= 0, strings.HasPrefix(rest, `\end`), strings.HasPrefix(rest, `\)`), strings.HasPrefix(rest, `\]`),
		strings.HasPrefix(rest, `\\`):
		w.l.mended("M02", "a command without its arguments got empty ones")
		w.put(strings.Repeat("{}", n))
	}
}
