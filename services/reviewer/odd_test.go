package reviewer_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/llmtest"
	"nullius.dev/kit/sandbox"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer"
)

// TestService_Review_reads_odd_answers: what is meant is plain, so it is neither asked again nor lost.
func TestService_Review_reads_odd_answers(t *testing.T) {
	sound := review(7, located)
	strings7 := strings.NewReplacer(`"Overall":7`, `"Overall":"7/10"`, `"Confidence":4`, `"Confidence":"4: sure"`, `"Quality":3`, `"Quality":"3"`, `"Clarity":3`, `"Clarity":3.0`).Replace(sound)
	for name, tt := range map[string]struct {
		reply     string
		overall   float64
		severity  string
		weakness  string
		ethics    bool
		dropped   int32 // values of Quality
		commented int
	}{
		"prose first":             {"Let me think. The form {Overall: 3} asks much.\n\n" + sound + "\nI hope that helps!", 7, "major", "b", false, 0, 1},
		"in a fence":              {"```json\n" + sound + "\n```", 7, "major", "b", false, 0, 1},
		"several objects":         {`{"Thoughts":"first a draft"}` + "\n" + review(2, located) + "\nOn reflection:\n" + sound, 7, "major", "b", false, 0, 1},
		"a trailing comma":        {strings.TrimSuffix(sound, "}") + ",}", 7, "major", "b", false, 0, 1},
		"scores as strings":       {strings7, 7, "major", "b", false, 0, 1},
		"a list as one string":    {strings.Replace(sound, `"Weaknesses":["b"]`, `"Weaknesses":"1. first\n2. second\n   goes on"`, 1), 7, "major", "first", false, 0, 1},
		"a flag as a word":        {strings.Replace(sound, `"Ethical Concerns":false`, `"Ethical Concerns":"Yes, some"`, 1), 7, "major", "b", true, 0, 1},
		"another flag as a word":  {strings.Replace(sound, `"Ethical Concerns":false`, `"Ethical Concerns":"No."`, 1), 7, "major", "b", false, 0, 1},
		"an item out of range":    {strings.Replace(sound, `"Quality":3`, `"Quality":11`, 1), 7, "major", "b", false, 1, 1},
		"an item that is a word":  {strings.Replace(sound, `"Quality":3`, `"Quality":"good"`, 1), 7, "major", "b", false, 1, 1},
		"half a point":            {strings.Replace(sound, `"Quality":3`, `"Quality":3.5`, 1), 7, "major", "b", false, 1, 1},
		"a quote that is no list": {strings.Replace(sound, `"quotes":["`+located+`"]`, `"quotes":"`+located+`"`, 1), 7, "major", "b", false, 0, 1},
		"a comment that is text":  {strings.Replace(sound, `"Comments":[`, `"Comments":["Only words.",`, 1), 7, "minor", "b", false, 0, 2},
		"an invented quote":       {strings.Replace(sound, located, invented, 1), 7, "minor", "b", false, 0, 1},
		"nulls in a comment":      {strings.Replace(sound, `"absent":""`, `"absent":null`, 1), 7, "major", "b", false, 0, 1},
		"keys of another form":    {strings.Replace(sound, `"Summary":"s"`, `"Summary":"s","Technical Novelty":2,"Rating":3`, 1), 7, "major", "b", false, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			models := llmtest.New(t, map[string][]string{"reviewer-1/review": {tt.reply}, "chair/reflect-1": {`{"Changed":"no","Reason":"r","Items":[],"Scores":[],"Comments":[]}`}})
			r, err := ask(t.Context(), serve(t, models, nil, nil), &reviewerv1.ReviewPaperRequest{Paper: text(paper), Reviews: 1})
			if err != nil {
				t.Fatal(err)
			}
			models.Unused()
			if r.GetOutcome() != reviewerv1.Review_REVIEWED || overall(r).GetValue() != tt.overall || r.GetWeaknesses()[0] != tt.weakness || r.GetEthicalConcerns() != tt.ethics {
				t.Fatalf("review is %v", r)
			}
			if n := len(r.GetComments()); n != tt.commented || r.GetComments()[0].GetSeverity() != tt.severity {
				t.Errorf("comments are %v", r.GetComments())
			}
			for _, s := range r.GetScores() {
				if s.GetItem() == "Quality" && s.GetDropped() != tt.dropped {
					t.Errorf("quality is %v", s)
				}
			}
		})
	}
}

// TestService_Review_counts_what_failed: of five reviewers two fail, the others are averaged, and the failures are named.
func TestService_Review_counts_what_failed(t *testing.T) {
	s := script(7, 5, 6)
	s["reviewer-4/review"], s["reviewer-5/review"] = []string{`{"Summary":"only this"}`}, []string{"A fine paper."}
	for n := 1; n <= 2; n++ {
		s[fmt.Sprintf("reviewer-4/review/retry-%d", n)] = []string{`{"Rating":3,"Review":"the form of another venue"}`}
		s[fmt.Sprintf("reviewer-5/review/retry-%d", n)] = []string{"As I said, fine."}
	}
	models := llmtest.New(t, s)
	r, err := ask(t.Context(), serve(t, models, nil, nil), &reviewerv1.ReviewPaperRequest{Paper: text(paper)})
	if err != nil {
		t.Fatal(err)
	}
	models.Unused()
	o := overall(r)
	if r.GetOutcome() != reviewerv1.Review_REVIEWED || o.GetMean() != 6 || o.GetN() != 3 || o.GetMinimum() != 5 || o.GetMaximum() != 7 || o.GetStandardDeviation() != 1 {
		t.Errorf("overall is %v", o)
	}
	if r.GetDecision() != reviewerv1.Decision_ACCEPT {
		t.Errorf("decided %v: %s", r.GetDecision(), r.GetDecisionReason())
	}
	for i, raw := range r.GetRaw() {
		if raw.GetUsable() != (i < 3) || raw.GetUsable() == (raw.GetReason() != "") {
			t.Errorf("raw review %d is %v", i+1, raw)
		}
	}
	if !hasWarning(r, "form-not-compared") || !hasWarning(r, "uncalibrated") {
		t.Errorf("warnings are %v", r.GetWarnings())
	}
}

func hasWarning(r *reviewerv1.Review, code string) bool {
	for _, w := range r.GetWarnings() {
		if w.GetCode() == code {
			return true
		}
	}
	return false
}

func TestNew_takes_further_forms(t *testing.T) {
	form := "id: house-1\nversion: 1\nvenue: House\nchecked: \"2026-01-02\"\noverall: Overall\nthreshold: 2\nitems:\n  - {name: Summary, type: text, meaning: What it says.}\n  - {name: Weaknesses, type: list, meaning: What is wrong.}\n  - {name: Overall, type: score, minimum: 1, maximum: 3, meaning: All in all.}\n"
	d := reviewer.Deps{Log: slog.New(slog.DiscardHandler), Forms: fstest.MapFS{"house-1.yaml": {Data: []byte(form)}},
		Models: llmtest.New(t, map[string][]string{"reviewer-1/review": {`{"Summary":"s","Weaknesses":["w"],"Overall":2,"Comments":[]}`}, "chair/reflect-1": {unchanged}})}
	r, err := reviewer.Local(t.Context(), d, "p.tex", []byte(paper), &reviewerv1.ReviewPaperRequest{Form: "house-1", Models: []string{"m/x"}, Reviews: 1}, nil)
	if err != nil || r.GetDecision() != reviewerv1.Decision_ACCEPT || hasWarning(r, "form-not-compared") || !hasWarning(r, "no-example") {
		t.Errorf("review %v, %v", r, err)
	}
	d.Forms = fstest.MapFS{"house-1.yaml": {Data: []byte("id: other\n")}}
	if _, err := reviewer.New(reviewer.DefaultConfig(), d); fault.ReasonOf(err) != reviewer.ReasonInvalid || !strings.Contains(err.Error(), "house-1.yaml") {
		t.Errorf("a broken form gives %v", err)
	}
}

// typeset makes a PDF of LaTeX.
func typeset(t *testing.T, source string) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.tex"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "pdflatex", "-interaction=nonstopmode", "p.tex")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("LaTeX is needed: sudo apt-get install -y texlive-latex-base: %v\n%s", err, bytes.TrimSpace(out[max(0, len(out)-600):]))
	}
	data, err := os.ReadFile(filepath.Join(dir, "p.pdf"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestService_Review_reads_foreign_PDFs: papers of other people, whatever their layout and length.
func TestService_Review_reads_foreign_PDFs(t *testing.T) {
	box, err := sandbox.New(t.Context(), sandbox.DefaultConfig(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("the sandbox is needed: sudo apt-get install -y bubblewrap poppler-utils: %v", err)
	}
	filler := strings.Repeat("The regression on random features is repeated for every width that was planned, and nothing else is changed in between.\n", 12)
	columns := `\documentclass[twocolumn]{article}\begin{document}\title{T}\author{A}\maketitle\begin{abstract}We ask whether averaging removes a bias.\end{abstract}
\section{Introduction} ` + filler + ` In the left column stands the first half of a rather long sentence, and its second half follows without a break. ` + filler + `
\section{Results} ` + filler + located + ` in every run that was made. ` + filler + filler + ` The right column closes with a characteristic statement about unregularised estimators. \section{References} [1] A.\end{document}`
	long := `\documentclass{book}\begin{document}` + strings.Repeat(filler+`\newpage `, 299) + located + ` in every run that was made.\end{document}`
	short := typeset(t, `\documentclass{article}\begin{document}`+filler+located+` in every run.\end{document}`)
	for _, tc := range []struct {
		name       string
		data       []byte
		quotes     []string
		page       int32
		warning    string
		extraction string
	}{
		{"two columns", typeset(t, columns), []string{located, "In the left column stands the first half of a rather long sentence, and its second half follows without a break",
			"closes with a characteristic statement about unregularised estimators"}, 2, "", "pdf: good"},
		{"two columns that stand apart", typeset(t, strings.Replace(columns, `\begin{document}`, `\setlength{\columnsep}{18pt}\begin{document}`, 1)), []string{located,
			"In the left column stands the first half of a rather long sentence, and its second half follows without a break"}, 2, "", "pdf: good"},
		{"three hundred pages", typeset(t, long), []string{located}, 300, "paper-cut", "pdf: good"},
		{"bytes in front of the header", append([]byte("junk\n"), short...), []string{located}, 1, "", "pdf: good"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var comments []string
			for _, q := range tc.quotes {
				comments = append(comments, fmt.Sprintf(`{"claim":"c","severity":"major","quotes":[%q]}`, q))
			}
			reply := strings.Replace(review(6, located), `"Comments":[`, `"Comments":[`+strings.Join(comments, ",")+`,`, 1)
			models := llmtest.New(t, map[string][]string{"reviewer-1/review": {reply}, "chair/reflect-1": {unchanged}})
			r, err := ask(t.Context(), serve(t, models, nil, box), &reviewerv1.ReviewPaperRequest{Paper: &reviewerv1.ReviewPaperRequest_Pdf{Pdf: tc.data}, Reviews: 1})
			if err != nil {
				t.Fatal(err)
			}
			for i, q := range tc.quotes {
				if got := r.GetComments()[i].GetQuotes(); len(got) != 1 {
					t.Errorf("not found: %q", q)
				} else if i == 0 && got[0].GetPage() != tc.page {
					t.Errorf("found on page %d, want %d", got[0].GetPage(), tc.page)
				}
			}
			if tc.warning != "" && !hasWarning(r, tc.warning) {
				t.Errorf("warnings are %v", r.GetWarnings())
			}
			if r.GetExtraction() != tc.extraction {
				t.Errorf("read as %s", r.GetExtraction())
			}
		})
	}
}
