package reviewer

import (
	"context"
	"errors"
	"path"
	"strings"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer/internal/document"
	"nullius.dev/services/reviewer/internal/pdf"
)

// paper is a paper with what came along with it.
type paper struct {
	doc          *document.Document
	digest       store.Digest // of the paper's own bytes
	verification string       // verification.json; empty: none
}

func (s *Service) read(ctx context.Context, in *reviewerv1.ReviewPaperRequest) (paper, error) {
	p := paper{verification: in.GetEvidence().GetVerificationJson()}
	var err error
	switch {
	case in.GetSnapshot() != nil:
		err = s.readSnapshot(ctx, in.GetSnapshot(), &p)
	case len(in.GetPdf()) > 0:
		err = s.readPDF(ctx, in.GetPdf(), &p)
	default:
		err = readText(in.GetText(), "paper.tex", nil, &p)
	}
	if err != nil {
		return p, err
	}
	if p.doc.Letters() < 40 {
		return p, fault.New(fault.Invalid, ReasonEmpty, "the paper holds no text to review")
	}
	return p, nil
}

func readText(text, name string, load document.Loader, p *paper) error {
	if len(text) > MaxText {
		return fault.New(fault.Exhausted, ReasonTooLarge, "the text has %d bytes; at most %d are taken", len(text), MaxText)
	}
	p.digest = store.DigestOf([]byte(text))
	if document.IsLaTeX(text) {
		p.doc = document.FromLaTeX(text, name, load)
	} else {
		p.doc = document.FromText(text)
	}
	return nil
}

func (s *Service) readPDF(ctx context.Context, data []byte, p *paper) error {
	p.digest = store.DigestOf(data)
	if len(data) > MaxPDF {
		return fault.New(fault.Exhausted, ReasonTooLarge, "the PDF has %d bytes; at most %d are taken", len(data), MaxPDF)
	}
	if s.d.Sandbox == nil {
		return fault.New(fault.Precondition, "SANDBOX_TOO_WEAK", "PDFs are read inside the sandbox, and there is none here").WithNext("nullius doctor")
	}
	pages, err := pdf.Poppler{Sandbox: s.d.Sandbox}.Pages(ctx, data)
	var bad *pdf.Unreadable
	switch {
	case errors.As(err, &bad):
		return fault.New(fault.Invalid, bad.Reason, "%s", bad.Message)
	case err != nil:
		return err
	}
	p.doc = document.FromPages(pages)
	return nil
}

func (s *Service) readSnapshot(ctx context.Context, snap *reviewerv1.Snapshot, p *paper) error {
	if s.d.Blobs == nil {
		return fault.New(fault.Invalid, ReasonInvalid, "snapshot: this reviewer has no blob store").WithField("snapshot", "send pdf or text")
	}
	tree := store.Digest(snap.GetDigest())
	m, err := store.LoadManifest(ctx, s.d.Blobs, tree)
	if err != nil {
		return err
	}
	name := snap.GetPath()
	if name == "" {
		name = paperIn(m)
	}
	load := func(file string) ([]byte, bool) {
		b, err := store.ReadFile(ctx, s.d.Blobs, tree, file, MaxText)
		return b, err == nil
	}
	if p.verification == "" {
		for _, file := range []string{"verification_improved.json", "verification.json"} {
			if b, ok := load(file); ok {
				p.verification = string(b)
				break
			}
		}
	}
	data, err := store.ReadFile(ctx, s.d.Blobs, tree, name, MaxPDF)
	if err != nil {
		return err
	}
	if strings.EqualFold(path.Ext(name), ".pdf") {
		return s.readPDF(ctx, data, p)
	}
	return readText(string(data), name, load, p)
}

// paperIn finds the paper of a tree: the rendered source first, else a PDF or text.
func paperIn(m store.Manifest) string {
	if _, ok := m.Find("latex/template.tex"); ok {
		return "latex/template.tex"
	}
	for _, ext := range []string{".tex", ".pdf", ".md", ".txt"} {
		for _, f := range m {
			if path.Ext(f.Path) == ext && path.Base(f.Path) != "notes.txt" {
				return f.Path
			}
		}
	}
	return "latex/template.tex"
}
