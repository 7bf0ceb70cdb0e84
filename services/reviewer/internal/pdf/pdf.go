// Package pdf takes the text out of PDF files. Files come from strangers, so that the
// program which parses them runs inside the sandbox.
package pdf

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

// Unreadable says that a file is no PDF with text.
type Unreadable struct{ Reason, Message string }

func (u *Unreadable) Error() string { return u.Message }

// maxOutput bounds the text of a file.
const maxOutput = 16 << 20

// Poppler reads with pdftotext.
type Poppler struct{ Sandbox sandbox.Runner }

// Available says whether PDFs can be read here.
func (p Poppler) Available() bool { return p.Sandbox != nil && sandbox.Program("pdftotext") != "" }

// Pages returns the text of each page in reading order.
func (p Poppler) Pages(ctx context.Context, data []byte) ([]string, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, &Unreadable{"PAPER_EMPTY", "the PDF is empty"}
	}
	if !bytes.Contains(data[:min(len(data), 1024)], []byte("%PDF-")) {
		return nil, &Unreadable{"PDF_UNREADABLE", "the file is no PDF: it does not begin with %PDF-"}
	}
	dir, err := os.MkdirTemp("", "nullius-pdf-")
	if err != nil {
		return nil, fmt.Errorf("folder for a PDF: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // best effort: the folder is temporary
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder for a PDF: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "paper.pdf"), data, 0o644); err != nil {
		return nil, fmt.Errorf("store a PDF: %w", err)
	}
	text, err := p.text(ctx, dir)
	if err != nil {
		return nil, err
	}
	if !hasText(text) {
		return nil, p.withoutText(ctx, dir)
	}
	drawn, err := p.text(ctx, dir, "-raw")
	if err != nil {
		return nil, err
	}
	return unmix(split(text), split(drawn)), nil
}

func split(text string) []string { return strings.Split(strings.TrimSuffix(text, "\f"), "\f") }

// unmix takes a page in the order in which it was drawn where the reader took two near columns for one: lines then run over both, far longer than
// any that was drawn.
func unmix(pages, drawn []string) []string {
	if len(pages) != len(drawn) {
		return pages
	}
	for i := range pages {
		lengths := lineLengths(drawn[i])
		if len(lengths) < 10 {
			continue
		}
		slices.Sort(lengths)
		usual, over := lengths[len(lengths)*9/10], 0
		for _, n := range lineLengths(pages[i]) {
			if n > 60 && n*10 > usual*15 {
				over++
			}
		}
		if over >= 2 {
			pages[i] = drawn[i]
		}
	}
	return pages
}

// lineLengths lists the lengths of a page's lines in characters; short ones are no running text.
func lineLengths(page string) []int {
	var out []int
	for line := range strings.Lines(page) {
		if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 20 {
			out = append(out, n)
		}
	}
	return out
}

func (p Poppler) text(ctx context.Context, dir string, options ...string) (string, error) {
	out, complaint := &capped{limit: maxOutput}, &capped{limit: 8 << 10}
	argv := append(append([]string{"pdftotext", "-q", "-enc", "UTF-8", "-eol", "unix"}, options...), "/paper/paper.pdf", "-")
	res, err := p.run(ctx, dir, out, complaint, argv...)
	if err != nil {
		return "", err
	}
	if res.End != sandbox.Exited {
		return "", &Unreadable{"PDF_UNREADABLE", "reading the PDF ended early: " + res.End.String()}
	}
	if res.ExitCode == 0 && res.Signal == 0 {
		return out.String(), nil
	}
	if res.ExitCode == 127 {
		return "", fault.New(fault.Precondition, "TOOL_MISSING", "pdftotext is not installed, so PDFs cannot be read").WithNext("sudo apt-get install -y poppler-utils")
	}
	if res.ExitCode == 3 || bytes.Contains(data(dir), []byte("/Encrypt")) {
		return "", &Unreadable{"PDF_ENCRYPTED", "the PDF is encrypted and asks for a password"}
	}
	return "", &Unreadable{"PDF_UNREADABLE", "the PDF is damaged and cannot be read"}
}

// data reads the file again: only failures need it.
func data(dir string) []byte {
	b, err := os.ReadFile(filepath.Join(dir, "paper.pdf"))
	if err != nil {
		return nil
	}
	return b
}

// withoutText tells pages of images from empty ones.
func (p Poppler) withoutText(ctx context.Context, dir string) error {
	out := &capped{limit: 64 << 10}
	if _, err := p.run(ctx, dir, out, &capped{}, "pdfimages", "-list", "/paper/paper.pdf"); err != nil {
		return err
	}
	if strings.Count(out.String(), "\n") > 2 {
		return &Unreadable{"PDF_UNREADABLE", "the PDF holds images of pages and no text; run it through text recognition first"}
	}
	return &Unreadable{"PAPER_EMPTY", "the PDF's pages are empty"}
}

func (p Poppler) run(ctx context.Context, dir string, out, complaint *capped, argv ...string) (sandbox.Result, error) {
	return p.Sandbox.Run(ctx, sandbox.Spec{
		Argv: argv, Env: []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=/tmp"}, Dir: "/tmp",
		Binds:  []sandbox.Bind{{Source: dir, Target: "/paper"}},
		Limits: sandbox.Limits{Wall: 30 * time.Second, MemoryBytes: 600 << 20, FileBytes: 64 << 20, DiskBytes: 64 << 20, Processes: 16, OpenFiles: 64, TmpBytes: 32 << 20},
		Grace:  time.Second, Stdout: out, Stderr: complaint,
	})
}

func hasText(s string) bool {
	n := 0
	for _, r := range s {
		if unicode.IsLetter(r) {
			if n++; n >= 40 {
				return true
			}
		}
	}
	return false
}

// capped keeps the first bytes and drops the rest.
type capped struct {
	bytes.Buffer
	limit int
}

func (c *capped) Write(b []byte) (int, error) {
	if room := c.limit - c.Len(); room > 0 {
		c.Buffer.Write(b[:min(room, len(b))])
	}
	return len(b), nil
}
