package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
)

// verification is what of verification.json (writer.md section 8) the paper page shows.
type verification struct {
	Numbers     []verifiedNumber `json:"numbers"`
	Unexplained []struct {
		Section   string `json:"section"`
		Paragraph int    `json:"paragraph"`
		Text      string `json:"text"`
		Sentence  string `json:"sentence"`
	} `json:"unexplained"`
	Citations struct {
		Engine     string   `json:"engine"`
		Kept       int      `json:"kept"`
		Removed    []string `json:"removed"`
		Unresolved []string `json:"unresolved"`
	} `json:"citations"`
	Findings []verifiedFinding `json:"findings"`
}

type verifiedFinding struct {
	ID        string `json:"id"`
	Severity  string `json:"severity"`
	Section   string `json:"section"`
	Paragraph int    `json:"paragraph"`
	Line      int    `json:"line"`
	Text      string `json:"text"`
	MendedBy  string `json:"mended_by"`
}

type verifiedNumber struct {
	Section   string   `json:"section"`
	Paragraph int      `json:"paragraph"`
	Text      string   `json:"text"`
	Kind      string   `json:"kind"`
	Expr      string   `json:"expr"`
	Value     *float64 `json:"value"`
	SE        *float64 `json:"se"`
	N         int      `json:"n"`
	Runs      []int32  `json:"runs"`
}

// numberView is one number of a paper with the way back to where it was measured.
type numberView struct {
	ID, Place, Shown, Expr, Stored, Kind string
	Refs                                 []refView
	Runs                                 []*runRow
}

// refView leads to a measurement; Href empty: the run has none of that name.
type refView struct{ Text, Href string }

// findingView is an open finding, or one that was mended.
type findingView struct{ ID, Severity, Class, Place, Text, MendedBy string }

type paperPart struct {
	ID, Name, PDF, Record string
	Outcome               stateView
	View                  *gatewayv1.PaperView
	Open, Mended          []findingView
	Numbers               []numberView
	Traced, Settings      int
	Check                 verification
	Sheets                []sheet
	Replaced              bool // by an improved one
}

type reviewPart struct {
	ID, Name, Decision, Reason, Summary string
	Scores                              []*reviewerv1.Score
	Weak, Strong                        []commentView
	Questions, Limits                   []string
	Checks                              []*reviewerv1.CheckFinding
}

type commentView struct {
	Claim, Severity, Item, Absent string
	Quotes                        []quoteView
}

// quoteView is a passage of the paper; Href leads to the image of its page, when that is known.
type quoteView struct{ Text, Place, Href string }

func (p *pageSet) paper(w http.ResponseWriter, r *http.Request) {
	i, k, f, err := p.ideaFrame(r, "paper", "nullius open")
	if err != nil {
		p.fail(w, err)
		return
	}
	s := i.GetSummary()
	d := struct {
		frame
		State   stateView
		Papers  []paperPart
		Reviews []reviewPart
	}{frame: f, State: withReason(stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), s.GetReason())}
	paths := p.filePaths(r.Context(), k)
	for _, x := range []struct {
		id, name, suffix string
		view             *gatewayv1.PaperView
	}{{"improved", "Improved paper", "_improved", i.GetImprovedPaper()}, {"first", "Paper", "", i.GetPaper()}} {
		if x.view != nil {
			d.Papers = append(d.Papers, p.paperPart(r.Context(), f.Base, x.id, x.name, x.suffix, i, x.view, paths))
		}
	}
	for _, x := range []struct {
		id, name string
		of       string
		view     *gatewayv1.ReviewView
		paper    *gatewayv1.PaperView
	}{{"second", "Second review", "improved", i.GetSecondReview(), i.GetImprovedPaper()}, {"first", "Review", "first", i.GetReview(), i.GetPaper()}} {
		rev, err := p.s.storedReview(r.Context(), x.view.GetReviewDigest())
		if err != nil || rev == nil {
			continue
		}
		d.Reviews = append(d.Reviews, p.reviewPart(x.id, x.name, rev, p.sheets(f.Base, x.of, x.paper)))
	}
	if len(d.Papers) > 1 {
		d.Papers[1].Replaced = true
	}
	p.render(w, "paper", http.StatusOK, d)
}

// filePaths lists an idea's result files; none when they cannot be read now.
func (p *pageSet) filePaths(ctx context.Context, k journal.Key) (out []string) {
	files, err := p.s.Files(ctx, k)
	if err != nil {
		p.s.log.WarnContext(ctx, "list result files", "error", err)
	}
	for _, f := range files {
		out = append(out, f.Path)
	}
	return out
}

func (p *pageSet) paperPart(ctx context.Context, base, id, name, suffix string, i *gatewayv1.Idea, view *gatewayv1.PaperView, paths []string) paperPart {
	part := paperPart{ID: id, Name: name, View: view, Sheets: p.sheets(base, id, view), Outcome: stateView{"ok", view.GetOutcome(), ""}}
	if view.GetOutcome() != "COMPILED" {
		part.Outcome.Class = "failed"
	}
	files := "/v1" + base + "/files/"
	if view.GetPdfPath() != "" {
		part.PDF = files + view.GetPdfPath()
	}
	b, err := store.ReadFile(ctx, p.s.d.Blobs, store.Digest(view.GetSnapshot()), "verification"+suffix+".json", maxReviewText)
	if err != nil || json.Unmarshal(b, &part.Check) != nil { // a file of another shape shows nothing
		part.Check = verification{}
		return part
	}
	part.Record = files + "verification" + suffix + ".json"
	part.findings()
	runs := runRows(base, i, paths)
	for n, num := range part.Check.Numbers {
		v := numberOf(base, num, i.GetRuns(), runs)
		v.ID = fmt.Sprintf("n-%s-%d", id, n+1)
		part.Numbers = append(part.Numbers, v)
		if num.Kind == "measured" {
			part.Traced++
		} else {
			part.Settings++
		}
	}
	return part
}

// findings sorts them, the worst first.
func (part *paperPart) findings() {
	rank := map[string]int{"B": 0, "W": 1, "A": 2}
	word := map[string]string{"B": "DEFECT", "W": "WARNING", "A": "ADVICE"}
	class := map[string]string{"B": "failed", "W": "waiting", "A": "pending"}
	all := slices.Clone(part.Check.Findings)
	slices.SortStableFunc(all, func(a, b verifiedFinding) int { return cmp.Compare(rank[a.Severity], rank[b.Severity]) })
	for _, f := range all {
		v := findingView{f.ID, or(word[f.Severity], f.Severity), class[f.Severity], placeOf(f.Section, f.Paragraph), f.Text, f.MendedBy}
		if v.Place == "" && f.Line > 0 {
			v.Place = fmt.Sprintf("line %d", f.Line)
		}
		if f.MendedBy == "" {
			part.Open = append(part.Open, v)
		} else {
			part.Mended = append(part.Mended, v)
		}
	}
}

func placeOf(section string, paragraph int) string {
	if section != "" && paragraph > 0 {
		return fmt.Sprintf("%s ¶%d", section, paragraph)
	}
	return section
}

// reference is run/dataset/metric in an expression (writer.md section 4.1).
var reference = regexp.MustCompile(`(run_(?:\d+|\*)|best|bestnew)/([^/,()\s]+)/([^/,()\s\[\]]+)`)

// numberOf leads a number back: to the measurements its expression names, and to the runs, steps and logs that made them.
func numberOf(base string, n verifiedNumber, runs []*recordv1.Run, rows []runRow) numberView {
	v := numberView{Place: placeOf(n.Section, n.Paragraph), Shown: plainTeX(n.Text), Expr: n.Expr, Kind: n.Kind}
	if n.Value != nil {
		v.Stored = fmt.Sprintf("%.6g", *n.Value)
		if n.SE != nil {
			v.Stored += fmt.Sprintf(" ± %.3g", *n.SE)
		}
		v.Stored = minus(v.Stored)
		if n.N > 0 {
			v.Stored += fmt.Sprintf(", n = %d", n.N)
		}
	}
	for _, m := range reference.FindAllStringSubmatch(n.Expr, -1) {
		v.Refs = append(v.Refs, refOf(base, m, n.Runs, runs))
	}
	for _, number := range n.Runs {
		for i := range rows {
			if rows[i].Number == number {
				v.Runs = append(v.Runs, &rows[i])
			}
		}
	}
	return v
}

func refOf(base string, m []string, of []int32, runs []*recordv1.Run) refView {
	ref := refView{Text: m[0]}
	for _, r := range runs {
		if fmt.Sprintf("run_%d", r.GetNumber()) != m[1] && !(len(of) == 1 && of[0] == r.GetNumber()) {
			continue
		}
		for _, x := range r.GetMeasurements() {
			if x.GetDataset() == m[2] && x.GetMetric() == m[3] {
				ref.Href = base + "#" + anchor(r.GetNumber(), x.GetDataset(), x.GetMetric())
			}
		}
	}
	return ref
}

var texPower = regexp.MustCompile(`10\^\{?(-?\d+)\}?`)

// plainTeX writes a number as the paper prints it, without its commands.
func plainTeX(text string) string {
	text = texPower.ReplaceAllString(text, "10^$1")
	return strings.NewReplacer(`\pm`, "±", `\times`, "×", `\ensuremath`, "", `\%`, "%", `{,}`, ",", "{", "", "}", "", "$", "", `\,`, " ", "-", "−").Replace(text)
}

func (p *pageSet) reviewPart(id, name string, rev *reviewerv1.Review, sheets []sheet) reviewPart {
	part := reviewPart{
		ID: id, Name: name, Decision: or(decisionWord(rev.GetDecision()), rev.GetOutcome().String()), Reason: or(rev.GetDecisionReason(), rev.GetReason()), Summary: rev.GetSummary(), Scores: rev.GetScores(),
		Questions: rev.GetQuestions(), Limits: rev.GetLimitations(), Checks: rev.GetChecks(),
	}
	for _, c := range rev.GetComments() {
		v := commentView{Claim: c.GetClaim(), Severity: or(c.GetSeverity(), "unrated"), Item: c.GetItem(), Absent: c.GetAbsent()}
		for _, q := range c.GetQuotes() {
			qv := quoteView{Text: q.GetText(), Place: q.GetPlace()}
			if n := int(q.GetPage()); n > 0 {
				qv.Place = fmt.Sprintf("p. %d", n)
				if n <= len(sheets) {
					qv.Href = sheets[n-1].Href
				}
			}
			v.Quotes = append(v.Quotes, qv)
		}
		if c.GetStrength() {
			part.Strong = append(part.Strong, v)
		} else {
			part.Weak = append(part.Weak, v)
		}
	}
	if len(part.Weak) == 0 { // a reviewer without comments still says what it holds
		for _, text := range rev.GetWeaknesses() {
			part.Weak = append(part.Weak, commentView{Claim: text, Severity: "unrated"})
		}
	}
	if len(part.Strong) == 0 {
		for _, text := range rev.GetStrengths() {
			part.Strong = append(part.Strong, commentView{Claim: text})
		}
	}
	return part
}

// storedReview reads a review from its blob; nil: there is none.
func (s *Service) storedReview(ctx context.Context, digest string) (*reviewerv1.Review, error) {
	if digest == "" {
		return nil, nil
	}
	b, err := store.GetBytes(ctx, s.d.Blobs, store.Digest(digest), maxReviewPDF)
	if err != nil {
		return nil, err
	}
	r := &reviewerv1.Review{}
	return r, (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, r)
}
