package gateway

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

const (
	maxPagePixels = 1400 // longer side of a page's image
	maxPageBytes  = 8 << 20
	maxSheets     = 60 // pages that a paper shows as images
	maxImages     = 2000
)

// pageImages turns pages of papers into PNGs, inside the sandbox: a PDF made of a model's text is hostile. What was made is kept as blobs.
type pageImages struct {
	box   sandbox.Runner // nil: no images, only the PDF
	blobs store.Blobs
	turn  chan struct{} // bounds how many are made at once

	mu   sync.Mutex
	made map[string]store.Digest // "<snapshot>/<n>/<path>"
}

func newPageImages(box sandbox.Runner, blobs store.Blobs) *pageImages {
	return &pageImages{box: box, blobs: blobs, turn: make(chan struct{}, 2), made: map[string]store.Digest{}}
}

func (g *pageImages) get(ctx context.Context, v *gatewayv1.PaperView, n int) ([]byte, error) {
	if g.box == nil {
		return nil, fault.New(fault.NotFound, "FILE_UNKNOWN", "this server makes no images of pages: it has no sandbox").WithNext("nullius doctor")
	}
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	key := fmt.Sprintf("%s/%d/%s", v.GetSnapshot(), n, v.GetPdfPath())
	g.mu.Lock()
	d, ok := g.made[key]
	g.mu.Unlock()
	if ok {
		return store.GetBytes(ctx, g.blobs, d, maxPageBytes)
	}
	data, err := g.make(ctx, v, n)
	if err != nil {
		return nil, err
	}
	if d, err = store.PutBytes(ctx, g.blobs, data); err != nil {
		return nil, err
	}
	g.mu.Lock()
	if len(g.made) >= maxImages {
		clear(g.made)
	}
	g.made[key] = d
	g.mu.Unlock()
	return data, nil
}

func (g *pageImages) make(ctx context.Context, v *gatewayv1.PaperView, n int) (_ []byte, err error) {
	pdf, err := store.ReadFile(ctx, g.blobs, store.Digest(v.GetSnapshot()), v.GetPdfPath(), maxReviewPDF)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nullius-page-")
	if err != nil {
		return nil, fmt.Errorf("folder for a PDF: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // best effort: the folder is temporary
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, fmt.Errorf("folder for a PDF: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "paper.pdf"), pdf, 0o644); err != nil {
		return nil, fmt.Errorf("store a PDF: %w", err)
	}
	page := strconv.Itoa(n)
	out := &capped{limit: maxPageBytes}
	res, err := g.box.Run(ctx, sandbox.Spec{
		Argv: []string{"pdftoppm", "-png", "-q", "-singlefile", "-f", page, "-l", page, "-scale-to", strconv.Itoa(maxPagePixels), "/paper/paper.pdf"},
		Env:  []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", "HOME=/tmp"}, Dir: "/tmp", Binds: []sandbox.Bind{{Source: dir, Target: "/paper"}}, Stdout: out, Grace: time.Second,
		Limits: sandbox.Limits{Wall: 20 * time.Second, MemoryBytes: 600 << 20, FileBytes: 16 << 20, DiskBytes: 16 << 20, Processes: 16, OpenFiles: 64, TmpBytes: 32 << 20},
	})
	if err != nil {
		return nil, err
	}
	c, bad := png.DecodeConfig(bytes.NewReader(out.data))
	if res.End != sandbox.Exited || res.ExitCode != 0 || bad != nil || c.Width > maxPagePixels+1 || c.Height > maxPagePixels+1 {
		return nil, fault.New(fault.NotFound, "PDF_UNREADABLE", "page %d cannot be shown (%s, exit code %d); read the PDF instead", n, res.End, res.ExitCode).WithNext("nullius doctor")
	}
	return out.data, nil
}

// capped keeps the first bytes of what a program writes.
type capped struct {
	data  []byte
	limit int
}

func (c *capped) Write(b []byte) (int, error) {
	c.data = append(c.data, b[:min(len(b), c.limit-len(c.data))]...)
	return len(b), nil
}

// sheet is a page of a paper as its image.
type sheet struct {
	N    int
	Href string
}

// sheets lists a paper's pages; none without a sandbox.
func (p *pageSet) sheets(base, id string, v *gatewayv1.PaperView) (out []sheet) {
	if p.images.box == nil || v.GetPdfPath() == "" {
		return nil
	}
	for n := 1; n <= min(int(v.GetPages()), maxSheets); n++ {
		// The snapshot makes the address change with the paper, so that a browser may keep the image.
		out = append(out, sheet{n, fmt.Sprintf("%s/pages/%d.png?of=%s&snapshot=%s", base, n, id, v.GetSnapshot())})
	}
	return out
}

// sheet serves a page of an idea's paper as PNG.
func (p *pageSet) sheet(w http.ResponseWriter, r *http.Request) {
	i, k, _, err := p.ideaFrame(r, "paper", "")
	if err != nil {
		p.fail(w, err)
		return
	}
	v := i.GetPaper()
	if r.URL.Query().Get("of") == "improved" {
		v = i.GetImprovedPaper()
	}
	name, isPNG := strings.CutSuffix(r.PathValue("n"), ".png")
	n, err := strconv.Atoi(name)
	if err != nil || !isPNG || n < 1 || n > int(v.GetPages()) || n > maxSheets || v.GetPdfPath() == "" {
		p.fail(w, fault.New(fault.NotFound, "FILE_UNKNOWN", "the paper of %s has no page %s", k, shorten(r.PathValue("n"), 40)).WithNext("nullius open "+k.String()))
		return
	}
	data, err := p.images.get(r.Context(), v, n)
	if err != nil {
		p.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	if r.URL.Query().Get("snapshot") == v.GetSnapshot() {
		w.Header().Set("Cache-Control", "private, max-age=86400, immutable")
	}
	_, _ = w.Write(data)
}
