package check_test

import (
	"strings"
	"testing"

	"nullius.dev/services/reviewer/internal/check"
	"nullius.dev/services/reviewer/internal/document"
)

func TestNumbers(t *testing.T) {
	tests := []struct {
		name, in    string
		findings    int
		unexplained bool
	}{
		{"no verification says nothing", "", 0, false},
		{"a clean one says nothing", `{"unexplained":[],"comparisons":[{"ok":true}]}`, 0, false},
		{"a number without origin is found", `{"unexplained":[{"text":"0.93"}]}`, 1, true},
		{"a failed comparison is found and forces nothing", `{"comparisons":[{"a":"x","b":"y","words":"better","ok":false}]}`, 1, false},
		{"garbage is said to be unknown", `nonsense`, 1, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			found, unexplained := check.Numbers(tt.in)
			if len(found) != tt.findings || unexplained != tt.unexplained {
				t.Errorf("got %v, %v", found, unexplained)
			}
		})
	}
}

func TestStructure_names_what_is_missing_broken_and_double(t *testing.T) {
	d := document.FromLaTeX(`\begin{document}\section{Introduction} See \ref{fig:lost}. TODO write.
\includegraphics{a.png} \includegraphics{a.png}\end{document}`, "a.tex", nil)
	var all []string
	for _, f := range check.Structure(d) {
		all = append(all, f.Text)
	}
	got := strings.Join(all, "; ")
	for _, want := range []string{"abstract", "undefined label: fig:lost", "placeholder: TODO", "figure shown twice: a.png"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not among %q", want, got)
		}
	}
}
