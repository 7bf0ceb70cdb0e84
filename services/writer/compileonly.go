package writer

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"nullius.dev/kit/store"
	"nullius.dev/services/writer/internal/bib"
	"nullius.dev/services/writer/internal/check"
	"nullius.dev/services/writer/internal/compile"
	"nullius.dev/services/writer/internal/numbers"
	"nullius.dev/services/writer/internal/tex"
)

// compileOnly checks and compiles what is there, byte for byte, without a model.
func (s *Service) compileOnly(ctx context.Context, in Request, p Progress) (Result, error) {
	if err := in.check(false); err != nil {
		return Result{}, err
	}
	m, err := store.LoadManifest(ctx, s.d.Blobs, in.Snapshot)
	if err != nil {
		return Result{}, err
	}
	w := &work{s: s, in: in, progress: p, manifest: m, latex: map[string][]byte{}, figures: check.Figures{}, images: map[string][]byte{}, set: bib.NewSet(),
		papers: map[string]Paper{}, parts: parts{}, failed: map[tex.Role]string{}, seen: map[string]bool{}}
	if err := w.load(ctx, false); err != nil {
		return Result{}, err
	}
	if err := w.record(ctx); err != nil {
		return Result{}, err
	}
	data, err := w.read(ctx, "latex/template.tex", maxTeX)
	if err != nil {
		return Result{}, err
	}
	template := string(data)
	typed := w.typedByHand(ctx, template)
	res := Result{Outcome: NotCompiled, Snapshot: in.Snapshot, Unexplained: len(typed), VerificationPath: "verification.json", Title: plainText(titleOf(template), w)}
	v := version{built: built{template: template, source: template, typed: typed}}
	for _, t := range typed {
		v.findings = append(v.findings, check.Finding{ID: "N01", Severity: check.Blocking, Section: t.Section, Paragraph: t.Paragraph,
			Text: fmt.Sprintf("the typed number %q in %q leads to no measurement", t.Text, t.Sentence)})
	}
	if !s.compiler.Available() {
		res.Reason, res.Findings = "there is no LaTeX on this machine", v.findings
		return res, nil
	}
	w.say("compiling", "")
	job, err := w.filesAsTheyAre(ctx, template)
	if err != nil {
		return Result{}, err
	}
	if v.result, err = s.compiler.Run(ctx, job); err != nil {
		return Result{}, err
	}
	v.findings = append(v.findings, w.texFindings(v.built, v.result)...)
	if !strings.Contains(template, compile.EndLabel) { // not our rendering: nothing marks its end
		v.findings = dropID(v.findings, "P04")
	}
	res.Outcome, res.Findings, res.Pages, res.BodyPages = Compiled, v.findings, v.result.Pages, v.result.BodyPages
	set := map[string][]byte{"latex/template.log": v.result.Log}
	if v.result.PDF == nil {
		res.Outcome, res.Reason = LaTeXUncompilable, "LaTeX gave no PDF"
	} else {
		res.PDFPath, res.PDFDigest = in.Record.Idea.Name+".pdf", store.DigestOf(v.result.PDF)
		set[res.PDFPath] = v.result.PDF
	}
	set[res.VerificationPath] = encode(w.verification(v, res))
	if res.Snapshot, err = store.Edit(ctx, s.d.Blobs, in.Snapshot, set, nil); err != nil {
		return Result{}, err
	}
	return res, nil
}

func dropID(fs []check.Finding, id string) []check.Finding {
	var out []check.Finding
	for _, f := range fs {
		if f.ID != id {
			out = append(out, f)
		}
	}
	return out
}

func titleOf(template string) string {
	d := tex.Parse(template)
	if p := d.Part(tex.Title); p != nil {
		return p.Body
	}
	return ""
}

// filesAsTheyAre stages the latex folder and the images beside it.
func (w *work) filesAsTheyAre(ctx context.Context, template string) (compile.Job, error) {
	job := compile.Job{Latex: map[string][]byte{"template.tex": []byte(template)}, Root: map[string][]byte{}, Epoch: w.in.Record.Created}
	for name, data := range w.images {
		job.Root[name] = data
	}
	for _, f := range w.manifest {
		dir, name := splitPath(f.Path)
		switch {
		case dir == "latex" && latexFile(name) && f.Size <= maxTeX:
			data, err := w.read(ctx, f.Path, maxTeX)
			if err != nil {
				return job, err
			}
			job.Latex[name] = data
		case dir == "" && isImage(name) && f.Size <= 20<<20 && len(job.Root) < maxImages && strings.Contains(template, name):
			data, err := w.read(ctx, f.Path, 20<<20)
			if err != nil {
				return job, err
			}
			job.Root[name] = data
		}
	}
	return job, nil
}

func splitPath(p string) (dir, name string) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p
	}
	return p[:i], p[i+1:]
}

func isImage(name string) bool {
	return strings.HasSuffix(name, ".png") || strings.HasSuffix(name, ".pdf") || strings.HasSuffix(name, ".jpg") || strings.HasSuffix(name, ".jpeg")
}

var digits = regexp.MustCompile(`[0-9]+(?:[.,][0-9]+)*`)

// typedByHand finds numbers of the strict parts that no reference printed: those that the rendering of source.tex does not hold in that part.
func (w *work) typedByHand(ctx context.Context, template string) []unexplained {
	printed := map[tex.Role]map[string]int{}
	if f, ok := w.manifest.Find("latex/source.tex"); ok && f.Size <= maxTeX {
		if data, err := w.read(ctx, f.Path, maxTeX); err == nil {
			for _, sp := range tex.Parse(string(data)).Spans {
				if sp.Role == "" {
					continue
				}
				text, _, _ := w.rec.Render(sp.Body, w.abstracts())
				printed[sp.Role] = map[string]int{}
				for _, d := range digits.FindAllString(text, -1) {
					printed[sp.Role][d]++
				}
			}
		}
	}
	var out []unexplained
	for _, sp := range tex.Parse(template).Spans {
		if sp.Role == "" {
			continue
		}
		body := strings.ReplaceAll(sp.Body, numbers.Mark, "")
		known := printed[sp.Role]
		for _, l := range w.rec.Literals(body, strictRole(sp.Role)) {
			if l.Advice {
				continue
			}
			ok := known != nil
			for _, d := range digits.FindAllString(l.Text, -1) {
				if known[d] == 0 {
					ok = false
					continue
				}
				known[d]--
			}
			if !ok || l.ID != "N01" {
				out = append(out, unexplained{sp.Role, paragraphAt(body, l.Start), l.Text, tex.SentenceAt(body, l.Start)})
			}
		}
	}
	return out
}
