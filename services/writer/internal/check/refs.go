package check

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

func sortStrings(s []string) { slices.Sort(s) }

var (
	refs  = map[string]int{"ref": 1, "eqref": 1, "pageref": 1, "autoref": 1, "cref": 1, "Cref": 1}
	cites = map[string]int{"cite": 1, "citep": 1, "citet": 1, "citealp": 1, "citealt": 1, "citeauthor": 1, "citeyear": 1, "citeyearpar": 1}

	tableLabel = regexp.MustCompile(`\blabel\s*=\s*\{?\s*([A-Za-z0-9_.:+/-]+)`)
	tableHead  = regexp.MustCompile(`\\begin\s*\{measuredtable\}\s*\{`)
	danglings  = regexp.MustCompile(`\s*\((?:see\s+)?(?:(?:Fig(?:ure|\.)?|Tab(?:le|\.)?|Sec(?:tion|\.)?|Eq(?:uation|\.)?|Algorithm|Appendix)s?)?[~\s]*\x00\s*\)|(?:(?:Fig(?:ure|\.)?|Tab(?:le|\.)?|Sec(?:tion|\.)?|Eq(?:uation|\.)?|Algorithm|Appendix)s?)?[~ ]*\x00`)
)

// Labels lists the labels of a text, those of generated tables too.
func Labels(s string) []string {
	var out []string
	for _, c := range tex.Calls(s, map[string]int{"label": 1}) {
		if len(c.Args) == 1 {
			out = append(out, c.Args[0])
		}
	}
	for _, m := range tableHead.FindAllStringIndex(s, -1) {
		if inside, _, ok := tex.Group(s, m[1]-1); ok {
			if l := tableLabel.FindStringSubmatch(inside); l != nil {
				out = append(out, l[1])
			}
		}
	}
	return out
}

// References mends references to labels that do not exist: the nearest label, else the reference goes.
func (l *List) References(s string, labels []string) string {
	s = tex.Replace(s, refs, func(c tex.Call) string {
		if len(c.Args) == 0 {
			return "\x00"
		}
		var kept []string
		for part := range strings.SplitSeq(c.Args[0], ",") {
			part = strings.TrimSpace(part)
			if slices.Contains(labels, part) {
				kept = append(kept, part)
				continue
			}
			if near := nearLabel(part, labels); near != "" {
				l.mended("R01", "a reference was read as the nearest label")
				kept = append(kept, near)
			}
		}
		if len(kept) == 0 {
			l.mended("R01", "a reference to nothing was removed: "+clip(c.Args[0]))
			return "\x00"
		}
		name := c.Name
		if name != "eqref" && name != "pageref" && !(len(kept) > 1 && (name == "cref" || name == "Cref")) && name != "autoref" {
			name = "ref"
		}
		if c.Name == "cref" || c.Name == "Cref" {
			return word(kept[0]) + `~\ref{` + strings.Join(kept, `}, \ref{`) + "}"
		}
		return `\` + name + "{" + strings.Join(kept, `}, \`+name+"{") + "}"
	})
	s = loneRef.ReplaceAllString(s, "$1")
	var b strings.Builder
	last := 0
	for _, m := range danglings.FindAllStringIndex(s, -1) {
		text := instead(s[m[0]:m[1]])
		if before := strings.TrimRight(s[:m[0]], " \n~"); text != "" && (before == "" || strings.ContainsRune(".!?", rune(before[len(before)-1])) || strings.HasSuffix(strings.TrimRight(s[:m[0]], " "), "\n\n")) {
			text = strings.ToUpper(text[:1]) + text[1:] // a sentence begins here
		}
		b.WriteString(s[last:m[0]] + text)
		last = m[1]
	}
	return b.String() + s[last:]
}

var loneRef = regexp.MustCompile(`,[~\s]*\x00(?:[~\s]*,[~\s]*\x00)*[~\s]*([,.;:])`)

// instead is what stands for a reference to nothing, with the word before it.
func instead(dangling string) string {
	switch low := strings.ToLower(dangling); {
	case strings.Contains(low, "("):
		return ""
	case strings.HasPrefix(low, "fig"):
		return "the figure"
	case strings.HasPrefix(low, "tab"):
		return "the table"
	case strings.HasPrefix(low, "sec"), strings.HasPrefix(low, "app"):
		return "this paper"
	case strings.HasPrefix(low, "eq"):
		return "the equation"
	}
	return ""
}

func word(label string) string {
	switch kind, _, _ := strings.Cut(label, ":"); strings.ToLower(kind) {
	case "fig":
		return "Figure"
	case "tab":
		return "Table"
	case "eq":
		return "Equation"
	case "alg":
		return "Algorithm"
	default:
		return "Section"
	}
}

func nearLabel(want string, labels []string) string {
	best, d := "", 3
	for _, l := range labels {
		if len(want) < 120 && len(l) < 120 {
			if k := distance(want, l); k < d {
				best, d = l, k
			}
		}
	}
	if best == "" { // the right name under another prefix
		_, name, ok := strings.Cut(want, ":")
		for _, l := range labels {
			if _, other, _ := strings.Cut(l, ":"); ok && len(name) > 3 && other == name {
				return l
			}
		}
	}
	return best
}

// Unlabel removes labels that stand in the paper already; seen spans it.
func (l *List) Unlabel(s string, seen map[string]bool) string {
	s = tex.Replace(s, map[string]int{"label": 1}, func(c tex.Call) string {
		if len(c.Args) == 0 {
			return ""
		}
		name := tex.CleanLabel(c.Args[0])
		if name == "" || seen[name] {
			l.mended("R02", "a label that stands twice was removed: "+clip(name))
			return ""
		}
		seen[name] = true
		return `\label{` + name + "}"
	})
	return l.tableLabels(s, seen)
}

// tableLabels gives the label of a generated table a number where the paper has the label already.
func (l *List) tableLabels(s string, seen map[string]bool) string {
	var b strings.Builder
	last := 0
	for _, m := range tableHead.FindAllStringIndex(s, -1) {
		inside, _, ok := tex.Group(s, m[1]-1)
		if !ok {
			continue
		}
		at := tableLabel.FindStringSubmatchIndex(inside)
		if at == nil {
			continue
		}
		name := inside[at[2]:at[3]]
		other := name
		for k := 2; seen[other]; k++ {
			other = name + "-" + strconv.Itoa(k)
		}
		seen[other] = true
		if other != name {
			l.mended("R02", "a label that stands twice got a number: "+clip(name))
			b.WriteString(s[last:m[1]+at[2]] + other)
			last = m[1] + at[3]
		}
	}
	return b.String() + s[last:]
}

// Cites drops keys outside the closed set, and citations that keep none. It returns the keys that stayed, in order of use.
func (l *List) Cites(s string, known func(string) (string, bool)) (string, []string) {
	var used []string
	s = tex.Replace(s, cites, func(c tex.Call) string {
		if len(c.Args) == 0 {
			return ""
		}
		var kept []string
		for k := range strings.SplitSeq(c.Args[0], ",") {
			k = strings.TrimSpace(k)
			if key, ok := known(k); ok {
				if !slices.Contains(kept, key) {
					kept = append(kept, key)
				}
				continue
			}
			if k != "" {
				l.mended("B01", "a citation outside the set was removed: "+clip(k))
			}
		}
		if len(kept) == 0 {
			if c.Name == "citet" || c.Name == "citeauthor" || c.Name == "citealt" { // part of its sentence
				if before := strings.TrimRight(s[:c.Start], " \n~"); before == "" || strings.HasSuffix(before, ".") || strings.HasSuffix(s[:c.Start], "\n\n") {
					return "Prior work"
				}
				return "prior work"
			}
			return "\x01"
		}
		used = append(used, kept...)
		out := `\` + c.Name
		if c.HasOption && len(c.Option) < 120 {
			out += "[" + c.Option + "]"
		}
		return out + "{" + strings.Join(kept, ",") + "}"
	})
	return DropEmptyCites(s), used
}

var emptyCite = regexp.MustCompile(`[~ \t\n]*\([~\s]*\x01[~\s]*\)|[~ ]*\x01`)

// DropEmptyCites removes the marks that stand where a citation was not found.
func DropEmptyCites(s string) string {
	s = loneComma.ReplaceAllString(s, "$1")
	return emptyCite.ReplaceAllString(s, "")
}

// loneComma is a place in a list that nothing is left for.
var loneComma = regexp.MustCompile(`,[~\s]*\x01(?:[~\s]*,[~\s]*\x01)*[~\s]*([,.;:])`)
