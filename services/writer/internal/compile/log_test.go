package compile_test

import (
	"testing"

	"nullius.dev/services/writer/internal/compile"
)

func TestReadLog(t *testing.T) {
	for _, tc := range []struct {
		name, log, id string
		line          int
	}{
		{"an error with its line", "./template.tex:42: Undefined control sequence.\nl.42 \\foo", "L01", 42},
		{"an error in the old form", "! Missing $ inserted.\n<inserted text>\nl.17 a_b", "L01", 17},
		{"an environment that ended elsewhere", "./template.tex:90: LaTeX Error: \\begin{itemize} on input line 80 ended by \\end{document}.", "L01", 80},
		{"a style that is missing", "./template.tex:3: LaTeX Error: File `foo.sty' not found.", "L04", 3},
		{"a box that is too wide", "Overfull \\hbox (31.5pt too wide) in paragraph at lines 12--14", "P02", 12},
		{"a float that is too high", "LaTeX Warning: Float too large for page by 211.2pt on input line 88.", "P02", 88},
		{"an undefined reference", "LaTeX Warning: Reference `fig:x' on page 1 undefined on input line 7.", "R01", 7},
		{"an undefined citation", "Package natbib Warning: Citation `k' on page 1 undefined on input line 9.", "B02", 9},
		{"the end within a group", "(\\end occurred inside a group at level 1)", "L01", 0},
		{"no font", "!pdfTeX error: pdflatex (file tcrm1000): Font tcrm1000 at 600 not found", "L01", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ps := compile.ReadLog("This is pdfTeX\n" + tc.log + "\n")
			if len(ps) != 1 || ps[0].ID != tc.id || ps[0].Line != tc.line {
				t.Errorf("got %+v", ps)
			}
		})
	}
}

func FuzzReadLog(f *testing.F) {
	f.Add("! x\nl.1 y\nRunaway argument?\n{abc\n./template.tex:99999999999999999999: z\nOverfull \\hbox (1e9pt too wide")
	f.Fuzz(func(t *testing.T, s string) {
		if n := len(compile.ReadLog(s)); n > 40 {
			t.Errorf("%d problems", n)
		}
	})
}
