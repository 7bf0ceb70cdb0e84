package writer

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"nullius.dev/kit/store"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/diff"
	"nullius.dev/services/writer/internal/tex"
)

// finish checks, mends, compiles and stores the paper. more are further files of the result.
func (w *work) finish(ctx context.Context, more map[string][]byte) (Result, error) {
	w.settle()
	if err := w.resolve(ctx, w.cited()); err != nil {
		return Result{}, err
	}
	best, err := w.mend(ctx)
	if err != nil {
		return Result{}, err
	}
	outcome, reason := Compiled, ""
	switch {
	case !w.s.compiler.Available():
		outcome, reason = NotCompiled, "there is no LaTeX on this machine; latex/template.tex is complete"
		best.findings = append(best.findings, check.Finding{ID: "L07", Severity: check.Advice, Text: reason})
	case best.result.PDF == nil:
		best, err = w.rescue(ctx, best)
		if err != nil {
			return Result{}, err
		}
		outcome, reason = LaTeXUncompilable, "LaTeX could not typeset "+w.failedNames()
		if best.result.PDF == nil {
			reason = "LaTeX gave no PDF, not even of an empty paper in the default article"
		}
	}
	return w.store(ctx, best, outcome, reason, more)
}

// failedNames says what could not be typeset, and what stands there.
func (w *work) failedNames() string {
	var out []string
	for _, r := range allRoles() {
		if _, ok := w.failed[r]; ok {
			out = append(out, string(r))
		}
	}
	if len(out) == 0 {
		return "the template's preamble; the default article stands in for it"
	}
	return strings.Join(out, ", ") + "; a framed note stands there"
}

// cause says what LaTeX stopped at, as far as it told; the log of that pass is not kept.
func cause(findings []check.Finding) string {
	for _, f := range findings {
		if f.ID == "L01" || f.ID == "L03" {
			return " (" + f.Text + ")"
		}
	}
	return ""
}

// rescue makes a paper that compiles: sections in turn become a framed note, then the preamble is replaced by the default article's.
func (w *work) rescue(ctx context.Context, last version) (version, error) {
	attempts := [][]tex.Role{}
	var suspects []tex.Role
	for _, f := range last.findings {
		if f.ID == "L01" && f.Section != "" && !slices.Contains(suspects, f.Section) {
			suspects = append(suspects, f.Section)
		}
	}
	for _, r := range append(suspects, tex.Sections()...) {
		attempts = append(attempts, []tex.Role{r})
	}
	if len(suspects) > 1 {
		attempts = append(attempts, suspects)
	}
	attempts = append(attempts, append([]tex.Role{tex.Abstract}, tex.Sections()...))
	try := func(roles []tex.Role) (version, error) {
		w.failed = map[tex.Role]string{}
		for _, r := range roles {
			w.failed[r] = w.parts[r]
		}
		return w.version(ctx)
	}
	old := w.frame
	seen := map[string]bool{}
	passes := []int{0, 1}
	if len(suspects) == 0 { // no section is to blame: the preamble first
		passes = []int{1}
	}
	w.rescuing = true
	defer func() { w.rescuing = false }()
	for _, pass := range passes {
		if pass == 1 { // the preamble is at fault
			w.frame = tex.Parse(tex.DefaultArticle)
			for i := range w.frame.Spans {
				if w.frame.Spans[i].Role != "" {
					w.frame.Spans[i].Body = ""
				}
			}
			w.found("L02", "the template's preamble could not be typeset"+cause(last.findings)+"; the default article is used")
			attempts = append([][]tex.Role{nil}, attempts...)
		}
		for _, roles := range attempts {
			key := fmt.Sprint(pass, roles)
			if seen[key] {
				continue
			}
			seen[key] = true
			v, err := try(roles)
			if err != nil {
				return last, err
			}
			if v.result.PDF != nil {
				return v, nil
			}
		}
	}
	w.frame = old
	return last, nil
}

// store writes the files of the result into a new snapshot.
func (w *work) store(ctx context.Context, v version, outcome Outcome, reason string, more map[string][]byte) (Result, error) {
	name, verify := w.in.Record.Idea.Name+".pdf", "verification.json"
	if w.in.Review != nil {
		name, verify = w.in.Record.Idea.Name+"_improved.pdf", "verification_improved.json"
	}
	cited := w.cited()
	w.cites.Kept = len(cited)
	findings := append(dedupe(w.mended), v.findings...)
	for _, k := range w.cites.Unresolved {
		findings = append(findings, check.Finding{ID: "B02", Severity: check.Advice, Text: "no engine knows the entry " + k})
	}
	slices.SortStableFunc(findings, func(a, b check.Finding) int { return int(a.Severity) - int(b.Severity) })
	set := map[string][]byte{
		"latex/template.tex":   []byte(v.built.template),
		"latex/source.tex":     []byte(v.built.source),
		"latex/references.bib": []byte(w.set.File(cited)),
		"provenance.json":      encode(w.provenance(v)),
	}
	for n, data := range w.latex {
		set["latex/"+n] = data
	}
	if v.compiled {
		set["latex/template.log"] = v.result.Log
	}
	for r, text := range w.failed {
		set["latex/failed/"+string(r)+".tex"] = []byte(text + "\n")
	}
	maps.Copy(set, more)
	res := Result{Outcome: outcome, Reason: reason, BodyPages: v.result.BodyPages, Pages: v.result.Pages, Findings: findings, Measured: len(v.built.numbers),
		Unexplained: len(v.built.typed), Citations: len(cited), VerificationPath: verify, Title: plainText(w.parts[tex.Title], w), Usage: w.usage, Warnings: w.warnings}
	if v.result.PDF != nil {
		set[name] = v.result.PDF
		res.PDFPath, res.PDFDigest = name, store.DigestOf(v.result.PDF)
	}
	if w.oldText != "" {
		set["latex/changes.diff"] = []byte(diff.Unified("before/source.tex", "after/source.tex", w.oldText, v.built.source))
	}
	set[verify] = encode(w.verification(v, res))
	snapshot, err := store.Edit(ctx, w.s.d.Blobs, w.in.Snapshot, set, nil)
	if err != nil {
		return Result{}, err
	}
	res.Snapshot = snapshot
	return res, nil
}

var commandWord = regexp.MustCompile(`\\(?:[A-Za-z]+\*?|[ ,;:!/\\-])`)

// plainText is a title as a list or a page shows it.
func plainText(s string, w *work) string {
	text, _, _ := w.rec.Render(s, nil)
	text = strings.NewReplacer(`\&`, "&", `\%`, "%", `\_`, "_", `\#`, "#", `\$`, "$", "$", "", "~", " ", "---", "—", "--", "–", "``", "“", "''", "”").Replace(text)
	text = commandWord.ReplaceAllStringFunc(text, func(c string) string {
		if strings.HasPrefix(c, `\times`) {
			return "×"
		} else if strings.HasPrefix(c, `\pm`) {
			return "±"
		} else if strings.ContainsAny(c, " ,;:") || c == `\\` {
			return " "
		}
		return ""
	})
	return oneLine(strings.NewReplacer("{", "", "}", "").Replace(text))
}

func dedupe(fs []check.Finding) []check.Finding {
	seen := map[check.Finding]bool{}
	var out []check.Finding
	for _, f := range fs {
		if !seen[f] {
			seen[f] = true
			out = append(out, f)
		}
	}
	return out[:min(len(out), 200)]
}
