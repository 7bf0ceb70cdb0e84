package check

import (
	"regexp"
	"slices"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

var captionField = regexp.MustCompile(`\bcaption\s*=\s*\{`)

func (w *weaver) begin() {
	c := tex.ReadCall(w.s, w.i, 1)
	_, w.i = tex.CommandAt(w.s, w.i)
	if len(c.Args) == 0 || c.HasOption {
		w.l.mended("E02", `\begin without a name was removed`)
		return
	}
	w.i = c.End
	written := strings.TrimSpace(c.Args[0])
	if !w.own.Environments[written] {
		switch {
		case code[written]:
			w.verbatim(written)
			return
		case drawn[written]:
			w.dropEnvironment(written)
			return
		}
	}
	name := w.nameOf(written)
	switch {
	case name == "measuredtable":
		w.measuredTable()
		return
	case name == "" || w.misplaced(name):
		w.skipArguments(written)
		w.stack = append(w.stack, frame{kind: 'd', name: written, at: len(w.out)})
		return
	}
	if name != written {
		w.skipArguments(written)
	}
	isMath := environments[name]
	auto := false
	if !isMath || !innerMath[name] {
		w.leaveMath()
	} else if !w.inMath() {
		w.put(`\[`)
		w.stack = append(w.stack, frame{kind: 'D', auto: true, at: len(w.out)})
		auto = true
	}
	w.put(`\begin{` + name + "}")
	f := frame{kind: 'e', name: name, alias: written, loose: !closes(w.s[w.i:], written), auto: auto}
	w.envArguments(&f)
	f.at = len(w.out)
	w.stack = append(w.stack, f)
}

// closes says whether an environment that has begun ends in the rest of the text, those of its name inside it passed over.
func closes(rest, name string) bool {
	opening, closing := `\begin{`+name+"}", `\end{`+name+"}"
	for depth := 1; ; {
		end := strings.Index(rest, closing)
		if end < 0 {
			return false
		}
		if begin := strings.Index(rest[:end], opening); begin >= 0 {
			depth++
			rest = rest[begin+len(opening):]
			continue
		}
		if depth--; depth == 0 {
			return true
		}
		rest = rest[end+len(closing):]
	}
}

// skipArguments passes over the arguments of an environment that is not kept under its name.
func (w *weaver) skipArguments(written string) {
	other, known := foreignEnvironments[written]
	if j := tex.SkipSpace(w.s, w.i); j < len(w.s) && w.s[j] == '[' && (other.name == "" || other.skip > 0) {
		if _, end, ok := tex.Group(w.s, j); ok {
			w.i = end
		}
	}
	for range other.skip {
		j := tex.SkipSpace(w.s, w.i)
		if _, end, ok := tex.Group(w.s, j); known && ok {
			w.i = end
		}
	}
}

// nameOf returns the environment that was meant, empty if none comes near.
func (w *weaver) nameOf(name string) string {
	if _, ok := environments[name]; ok || w.own.Environments[name] {
		return name
	}
	if other, ok := foreignEnvironments[name]; ok {
		if other.name == "" {
			w.l.mended("E02", "the environment "+name+" was removed, its text kept")
		} else {
			w.l.mended("E02", "the environment "+name+" was read as "+other.name)
		}
		return other.name
	}
	best, score := "", 0.8
	names := make([]string, 0, len(environments))
	for n := range environments {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		if s := similarity(strings.ToLower(name), n); s >= score {
			best, score = n, s+1e-9
		}
	}
	if best != "" {
		w.l.mended("E02", "the environment "+clip(name)+" was read as "+best)
	} else {
		w.l.mended("E02", "the unknown environment "+clip(name)+" was removed, its text kept")
	}
	return best
}

func similarity(a, b string) float64 {
	n := max(len(a), len(b))
	if n == 0 || n > 80 {
		return 0
	}
	return 1 - float64(distance(a, b))/float64(n)
}

func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := prev
			if a[i] != b[j] {
				cost++
			}
			prev = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// misplaced says whether an environment may not stand here: floats in floats, display mathematics in mathematics, lists too deep.
func (w *weaver) misplaced(name string) bool {
	lists := 0
	for _, f := range w.stack {
		if f.kind != 'e' {
			continue
		}
		if floatEnvs[name] && (floatEnvs[f.name] || f.name == "minipage" || strings.HasPrefix(f.name, "tabular")) {
			w.l.mended("E04", "a float inside a float was opened out")
			return true
		}
		if environments[name] && !innerMath[name] && environments[f.name] {
			w.l.mended("M02", "a display inside a display was opened out")
			return true
		}
		if isList(f.name) {
			lists++
		}
	}
	if isList(name) && lists >= 4 {
		w.l.mended("E03", "a list nested more than four times was opened out")
		return true
	}
	return false
}

// leaveMath closes formulas in front of an environment that cannot stand in one.
func (w *weaver) leaveMath() {
	for k, f := range w.stack {
		if f.kind == 'm' || f.kind == 'p' || f.kind == 'D' {
			w.closeTo(k, true)
			return
		}
	}
}

// envArguments copies the arguments of an environment, kept to what is known to be harmless.
func (w *weaver) envArguments(f *frame) {
	if j := tex.SkipSpace(w.s, w.i); j < len(w.s) && w.s[j] == '[' && !environments[f.name] {
		if inside, end, ok := tex.Group(w.s, j); ok {
			w.i = end
			if t := cleanOption(f.name, inside); t != "" {
				w.put("[" + t + "]")
			}
		}
	}
	for range envArgCount[f.name] {
		j := tex.SkipSpace(w.s, w.i)
		if j >= len(w.s) || w.s[j] != '{' {
			if f.name == "tabular" || f.name == "array" {
				w.put("{")
				f.spec = len(w.out)
				w.put("}")
			}
			return
		}
		inside, end, ok := tex.Group(w.s, j)
		if !ok {
			w.put("{")
			f.spec = len(w.out)
			w.put("}")
			w.i = j + 1
			return
		}
		w.i = end
		if strings.HasPrefix(f.name, "tabular") || f.name == "array" {
			if strings.Contains(inside, "width") || strings.Trim(inside, "0123456789.ptcmen ") == "" && strings.ContainsAny(inside, "0123456789") {
				w.put("{" + width(inside) + "}")
				continue
			}
			inside = columns(inside)
			f.cols = countColumns(inside)
		} else {
			inside = width(inside)
		}
		w.put("{" + inside)
		f.spec = len(w.out)
		w.put("}")
	}
}

var plainWidth = regexp.MustCompile(`^\s*(\d*\.?\d*)\s*(\\(?:linewidth|textwidth|columnwidth|hsize)|cm|mm|pt|in|em)\s*$`)

// width keeps a width that fits the line.
func width(s string) string {
	m := plainWidth.FindStringSubmatch(s)
	if m == nil {
		return `\linewidth`
	}
	return strings.TrimSpace(s)
}

func cleanOption(env, s string) string {
	keep := func(chars string) string {
		return strings.Map(func(c rune) rune {
			if strings.ContainsRune(chars, c) {
				return c
			}
			return -1
		}, s)
	}
	switch {
	case env == "algorithmic":
		return keep("0123456789")
	case floatEnvs[env]:
		if t := keep("htbp!"); t != "" {
			return t
		}
		return "t"
	case strings.HasPrefix(env, "tabular"), env == "minipage", env == "subfigure":
		return keep("tbc")
	case strings.Contains(s, `\`), len(s) > 60:
		return ""
	}
	if strings.ContainsAny(s, "[]{}%$#&_^~") {
		return ""
	}
	return s
}

// columns keeps what a column specification may hold.
func columns(s string) string {
	if strings.Contains(s, `\`) && !strings.Contains(s, "width") && !strings.Contains(s, `@{\`) {
		s = strings.Map(func(c rune) rune {
			if strings.ContainsRune("lcr|X", c) {
				return c
			}
			return -1
		}, s)
	}
	for _, bad := range []string{`\input`, `\write`, `\csname`, `\special`, `\read`, "$", "#", "%", "\n\n"} {
		if strings.Contains(s, bad) {
			return ""
		}
	}
	return s
}

func countColumns(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case 'l', 'c', 'r', 'X', 'S':
			n++
		case 'p', 'm', 'b':
			n++
			if _, end, ok := tex.Group(s, i+1); ok {
				i = end - 1
			}
		case '@', '!', '>', '<':
			if _, end, ok := tex.Group(s, i+1); ok {
				i = end - 1
			}
		case '*':
			count, end, ok := tex.Group(s, i+1)
			inner, stop, ok2 := tex.Group(s, end)
			if ok && ok2 {
				k := 0
				for _, d := range count {
					if d >= '0' && d <= '9' {
						k = min(k*10+int(d-'0'), 50)
					}
				}
				n += k * countColumns(inner)
				i = stop - 1
			}
		}
	}
	return n
}

func (w *weaver) end() {
	c := tex.ReadCall(w.s, w.i, 1)
	_, w.i = tex.CommandAt(w.s, w.i)
	if len(c.Args) == 0 || c.HasOption {
		return
	}
	w.i = c.End
	name := strings.TrimSpace(c.Args[0])
	for k := len(w.stack) - 1; k >= 0; k-- {
		f := w.stack[k]
		if f.kind != 'e' && f.kind != 'd' || f.name != name && f.alias != name && !(f.kind == 'e' && similarity(f.name, name) >= 0.8 && !w.openNamed(name)) {
			continue
		}
		w.closeTo(k+1, true)
		w.stack = w.stack[:k]
		if f.kind == 'e' {
			w.endEnvironment(f)
		}
		return
	}
	w.l.mended("E01", `\end{`+clip(name)+"} without its beginning was removed")
}

func (w *weaver) openNamed(name string) bool {
	return slices.ContainsFunc(w.stack, func(f frame) bool { return (f.kind == 'e' || f.kind == 'd') && (f.name == name || f.alias == name) })
}

// endEnvironment writes the end of an environment, after what it lacks.
func (w *weaver) endEnvironment(f frame) {
	w.rights(f)
	f.lefts = 0
	if isList(f.name) {
		if t := strings.TrimSpace(string(w.out[f.at:])); !strings.HasPrefix(t, `\item`) {
			w.l.mended("E03", "a list without its first item got one")
			w.out = slices.Insert(w.out, f.at, []byte("\n\\item ")...)
		}
	}
	if f.name == "algorithmic" {
		w.endBlocks(f)
		if !startsStatement(strings.TrimSpace(string(w.out[f.at:]))) {
			w.l.mended("E03", "an algorithm without a first statement got one")
			w.out = slices.Insert(w.out, f.at, []byte("\n\\State ")...)
		}
	}
	if most := max(f.most, f.cells) + 1; f.spec > 0 && (strings.HasPrefix(f.name, "tabular") || f.name == "array") && most > f.cols {
		if f.cols > 0 {
			w.l.mended("T01", "a table with more cells than columns got more columns")
		}
		added := min(most-f.cols, 60)
		w.out = slices.Insert(w.out, f.spec, []byte(strings.Repeat("c", added))...)
		f.at, f.cols = f.at+added, f.cols+added
	}
	w.clampRules(f)
	if len(w.out) > 0 && w.out[len(w.out)-1] != '\n' && f.loose {
		w.put("\n")
	}
	w.put(`\end{` + f.name + "}")
	if f.auto && len(w.stack) > 0 && w.stack[len(w.stack)-1].auto {
		w.stack = w.stack[:len(w.stack)-1]
		w.put(`\]`)
	}
}

// measuredTable copies a generated table's description; its caption is text like any other.
func (w *weaver) measuredTable() {
	w.leaveMath()
	j := tex.SkipSpace(w.s, w.i)
	if j >= len(w.s) || w.s[j] != '{' {
		w.l.mended("E02", "a measuredtable without its description was removed")
		return
	}
	inside, end, ok := tex.Group(w.s, j)
	if !ok {
		w.l.mended("E04", "a measuredtable that never closes was removed")
		w.i = j + 1
		return
	}
	if m := captionField.FindStringIndex(inside); m != nil {
		if text, stop, ok := tex.Group(inside, m[1]-1); ok {
			inner := &weaver{l: w.l, own: w.own, s: text, atom: -1}
			for inner.i < len(inner.s) {
				inner.step()
			}
			inner.closeTo(0, true)
			inside = plainFields(inside[:m[1]]) + string(inner.out) + plainFields(inside[stop-1:])
		}
	} else {
		inside = plainFields(inside)
	}
	w.put(`\begin{measuredtable}{` + escapePercent(inside) + `}\end{measuredtable}`)
	w.i = end
	rest := w.s[end:]
	if t := strings.TrimLeft(rest, " \t\n"); strings.HasPrefix(t, `\end{measuredtable}`) {
		w.i = end + len(rest) - len(t) + len(`\end{measuredtable}`)
	}
}

// plainFields drops backslashes from the fields of a table's description: ids and labels need none but \_.
func plainFields(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && !(i+1 < len(s) && s[i+1] == '_') {
			if i+1 < len(s) && !tex.IsLetter(s[i+1]) { // an escaped brace goes whole
				i++
			}
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
