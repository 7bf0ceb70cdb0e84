package numbers

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Setting is a number that the code of the runs sets.
type Setting struct {
	ID    string
	Text  string // as LaTeX prints it
	Value float64
	Where string // file:line
}

var (
	numberWord     = `[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?`
	assignPattern  = regexp.MustCompile(`\b([A-Za-z_][A-Za-z0-9_]*)\s*(?::\s*[A-Za-z_\[\]., ]+)?=\s*(` + numberWord + `)\s*(?:[,)\]}#;\n]|$)`)
	listPattern    = regexp.MustCompile(`\b([A-Za-z_][A-Za-z0-9_]*)\s*=\s*[\[(]\s*(` + numberWord + `(?:\s*,\s*` + numberWord + `)+)\s*,?\s*[\])]`)
	dictPattern    = regexp.MustCompile(`["']([A-Za-z_][A-Za-z0-9_.-]*)["']\s*:\s*(` + numberWord + `)\s*[,}\n#]`)
	defaultPattern = regexp.MustCompile(`add_argument\(\s*["']--?([A-Za-z][A-Za-z0-9_-]*)["'][^)]*?default\s*=\s*(` + numberWord + `)`)
	tuplePattern   = regexp.MustCompile(`(?m)^([ \t]*)([A-Za-z_]\w*(?:[ \t]*,[ \t]*[A-Za-z_]\w*)+)[ \t]*=[ \t]*([^=\n][^\n]*)$`)
	commentPattern = regexp.MustCompile(`(?m)#.*$`)
)

// ReadSettings finds the numbers that Python code sets, by name. A second value under one name gets ":2".
func ReadSettings(code string) []Setting {
	code = tuplePattern.ReplaceAllStringFunc(commentPattern.ReplaceAllString(code, ""), untuple)
	if len(code) > 1<<20 {
		code = code[:1<<20]
	}
	type hit struct {
		at       int
		id, text string
	}
	var hits []hit
	for _, p := range []*regexp.Regexp{defaultPattern, listPattern, assignPattern, dictPattern} {
		for _, m := range p.FindAllStringSubmatchIndex(code, -1) {
			hits = append(hits, hit{m[2], code[m[2]:m[3]], code[m[4]:m[5]]})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return a.at - b.at })
	seen := map[string][]string{}
	var out []Setting
	for _, h := range hits {
		id := CleanID(h.id)
		text := strings.Join(strings.Fields(h.text), " ")
		if id == "default" || slices.Contains(seen[id], text) || len(seen[id]) >= 4 {
			continue
		}
		seen[id] = append(seen[id], text)
		if k := len(seen[id]); k > 1 {
			id += ":" + strconv.Itoa(k)
		}
		if strings.Contains(text, ",") {
			out = append(out, listSettings(id, text)...)
			continue
		}
		if f, ok := pythonNumber(text); ok {
			out = append(out, Setting{ID: id, Text: settingText(f), Value: f})
		}
	}
	return out
}

// untuple writes "a, b = 1, 2" as one assignment a line. Read as it stands, the last name would get the first value; what cannot be taken apart is left out.
func untuple(line string) string {
	m := tuplePattern.FindStringSubmatch(line)
	names, values := strings.Split(m[2], ","), strings.Split(strings.Trim(m[3], "() \t"), ",")
	if len(names) != len(values) {
		return ""
	}
	var b strings.Builder
	for i, v := range values {
		if _, ok := pythonNumber(strings.TrimSpace(v)); ok {
			b.WriteString(m[1] + strings.TrimSpace(names[i]) + " = " + strings.TrimSpace(v) + "\n")
		}
	}
	return b.String()
}

func pythonNumber(s string) (float64, bool) {
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return f, err == nil && !math.IsInf(f, 0)
}

// listSettings makes a list referable whole, by its length and by its ends.
func listSettings(id, text string) []Setting {
	var texts []string
	var values []float64
	for part := range strings.SplitSeq(text, ",") {
		if f, ok := pythonNumber(strings.TrimSpace(part)); ok {
			texts, values = append(texts, settingText(f)), append(values, f)
		}
	}
	if len(values) == 0 {
		return nil
	}
	last := len(values) - 1
	whole := texts
	if len(whole) > 16 {
		whole = append(slices.Clone(texts[:8]), `\ldots`, texts[last])
	}
	return []Setting{
		{ID: id, Text: strings.Join(whole, `,\allowbreak\ `), Value: math.NaN()},
		{ID: id + ".len", Text: strconv.Itoa(len(values)), Value: float64(len(values))},
		{ID: id + ".first", Text: texts[0], Value: values[0]},
		{ID: id + ".last", Text: texts[last], Value: values[last]},
	}
}

// settingText prints a setting exactly: settings have no error to round by.
func settingText(f float64) string {
	a := math.Abs(f)
	if a != 0 && (a >= 1e6 || a < 1e-3) {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		mantissa, e, _ := strings.Cut(s, "e")
		k, _ := strconv.Atoi(e)
		power := "10^{" + strconv.Itoa(k) + "}"
		if mantissa == "1" {
			return power
		}
		return mantissa + ` \times ` + power
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		return fixed(f, 0)
	}
	return s
}

// SetSettings takes the settings of each run's code. What all runs share has its plain name; what differs is also there as run_k:name.
func (r *Record) SetSettings(perRun map[int][]Setting) {
	runs := make([]int, 0, len(perRun))
	for n := range perRun {
		runs = append(runs, n)
	}
	slices.Sort(runs)
	add := func(s Setting) {
		if _, taken := r.setting[s.ID]; !taken {
			r.setting[s.ID] = s
			r.settings = append(r.settings, s)
		}
	}
	base := map[string]string{}
	for i, n := range runs {
		for _, s := range perRun[n] {
			text, known := base[s.ID]
			if !known && i == 0 || !known && !r.laterDiffers(perRun, runs[i:], s) {
				base[s.ID] = s.Text
				add(s)
				continue
			}
			if text != s.Text {
				s.ID = "run_" + strconv.Itoa(n) + ":" + s.ID
				add(s)
			}
		}
	}
}

// laterDiffers says whether a setting that the baseline lacks has more than one value.
func (r *Record) laterDiffers(perRun map[int][]Setting, runs []int, s Setting) bool {
	for _, n := range runs {
		for _, o := range perRun[n] {
			if o.ID == s.ID && o.Text != s.Text {
				return true
			}
		}
	}
	return false
}

// SettingLines lists the settings for a model, within a number of bytes.
func (r *Record) SettingLines(limit int) string {
	var parts []string
	n := 0
	for _, s := range r.settings {
		p := s.ID + "=" + strings.ReplaceAll(s.Text, `\allowbreak\ `, "")
		if n += len(p) + 2; n > limit {
			break
		}
		parts = append(parts, p)
	}
	return strings.Join(parts, "; ")
}
