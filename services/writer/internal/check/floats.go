package check

import (
	"path"
	"regexp"
	"strconv"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

// Figures is what may be included: file name to description.
type Figures map[string]string

var (
	floatEnv    = regexp.MustCompile(`(?s)\\begin\{(figure\*?)\}.*?\\end\{(figure\*?)\}`)
	sizeOption  = regexp.MustCompile(`^\s*(width|height|scale)\s*=\s*(.+?)\s*$`)
	lineFactor  = regexp.MustCompile(`^(\d*\.?\d+)?\s*\\(?:linewidth|textwidth|columnwidth|hsize)$`)
	absolute    = regexp.MustCompile(`^(\d*\.?\d+)\s*(cm|mm|in|pt)$`)
	captionless = regexp.MustCompile(`\\caption\b`)
)

// Images mends the figures of all bodies: names that do not exist, second uses, sizes, captions. used spans the paper.
func (l *List) Images(s string, figures Figures, used map[string]bool) string {
	s = floatEnv.ReplaceAllStringFunc(s, func(f string) string { return l.figure(f, figures, used) })
	return tex.Replace(s, map[string]int{"includegraphics": 1}, func(c tex.Call) string { // outside floats
		name := nearest(c.Args, figures)
		if name == "" {
			l.mended("G01", "an image that does not exist was removed")
			return ""
		}
		used[name] = true
		return `\includegraphics[` + l.size(c.Option) + "]{" + name + "}"
	})
}

func (l *List) figure(f string, figures Figures, used map[string]bool) string {
	images, kept := 0, 0
	first := ""
	out := tex.Replace(f, map[string]int{"includegraphics": 1}, func(c tex.Call) string {
		images++
		name := nearest(c.Args, figures)
		switch {
		case name == "":
			l.mended("G01", "an image that does not exist was removed")
			return ""
		case used[name]:
			l.mended("G02", "an image that is included twice was removed the second time")
			return ""
		}
		if len(c.Args) > 0 && name != path.Base(strings.TrimSpace(c.Args[0])) {
			l.mended("G01", "an image's name was read as the nearest one")
		}
		used[name] = true
		kept++
		if first == "" {
			first = name
		}
		return `\includegraphics[` + l.size(c.Option) + "]{" + name + "}"
	})
	if images > 0 && kept == 0 || images == 0 && !strings.Contains(f, `\begin{tabular`) && !strings.Contains(f, `\begin{measuredtable`) {
		l.mended("G01", "a figure without an image was removed")
		return ""
	}
	if !captionless.MatchString(out) && first != "" {
		l.mended("G06", "a figure without a caption got its description")
		text := figures[first]
		if text == "" {
			text = strings.ReplaceAll(strings.TrimSuffix(first, path.Ext(first)), "_", " ")
		}
		at := strings.LastIndex(out, `\end{figure`)
		out = out[:at] + `\caption{` + tex.Escape(text) + "}\n" + out[at:]
	}
	return out
}

// nearest returns the figure that was meant.
func nearest(args []string, figures Figures) string {
	if len(args) == 0 {
		return ""
	}
	want := path.Base(strings.TrimSpace(strings.ReplaceAll(args[0], `\_`, "_")))
	if _, ok := figures[want]; ok {
		return want
	}
	best, score := "", 0.75
	for _, name := range keys(figures) {
		s := similarity(strings.ToLower(want), strings.ToLower(name))
		if t := similarity(strings.ToLower(want), strings.ToLower(strings.TrimSuffix(name, path.Ext(name)))); t > s {
			s = t
		}
		if s > score {
			best, score = name, s
		}
	}
	return best
}

// size keeps an image inside the line and the page.
func (l *List) size(option string) string {
	width, height := "", ""
	for f := range strings.SplitSeq(option, ",") {
		m := sizeOption.FindStringSubmatch(f)
		if m == nil {
			continue
		}
		switch m[1] {
		case "width":
			width = m[2]
		case "height":
			height = m[2]
		}
	}
	bounded := func(v, whole string, most float64) string {
		if m := lineFactor.FindStringSubmatch(strings.TrimSpace(v)); m != nil {
			k, err := strconv.ParseFloat(m[1], 64)
			if m[1] == "" {
				k, err = 1, nil
			}
			if err == nil && k > 0 && k <= most {
				return strconv.FormatFloat(k, 'f', -1, 64) + whole
			}
		} else if m := absolute.FindStringSubmatch(strings.TrimSpace(v)); m != nil {
			k, _ := strconv.ParseFloat(m[1], 64)
			if k*map[string]float64{"cm": 10, "mm": 1, "in": 25.4, "pt": 0.35}[m[2]] <= 160 && k > 0 {
				return v
			}
		}
		if v != "" {
			l.mended("G07", "an image larger than the page was made to fit")
		}
		return strconv.FormatFloat(most, 'f', -1, 64) + whole
	}
	if width == "" && height == "" {
		return `width=0.85\linewidth`
	}
	if width != "" {
		return "width=" + bounded(width, `\linewidth`, 1)
	}
	if strings.HasSuffix(strings.TrimSpace(height), `\textheight`) {
		return "height=" + strings.TrimSpace(height) + `,width=\linewidth,keepaspectratio`
	}
	return `width=0.85\linewidth`
}

func keys(f Figures) []string {
	out := make([]string, 0, len(f))
	for k := range f {
		out = append(out, k)
	}
	sortStrings(out)
	return out
}
