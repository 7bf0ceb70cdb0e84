package figure_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"nullius.dev/services/writer/internal/figure"
)

func pngOf(t *testing.T, w, h int) []byte {
	t.Helper()
	img := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.White, color.Black})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// claiming is an image whose header tells other sides than it has (PNG, section 11.2.2: IHDR).
func claiming(data []byte, w, h uint32) []byte {
	out := bytes.Clone(data)
	binary.BigEndian.PutUint32(out[16:], w)
	binary.BigEndian.PutUint32(out[20:], h)
	binary.BigEndian.PutUint32(out[29:], crc32.ChecksumIEEE(out[12:29]))
	return out
}

func TestCheck(t *testing.T) {
	var photo bytes.Buffer
	if err := jpeg.Encode(&photo, image.NewGray(image.Rect(0, 0, 40, 30)), nil); err != nil {
		t.Fatal(err)
	}
	small := pngOf(t, 40, 30)
	for _, tc := range []struct {
		name, file string
		data       []byte
		staged     string // empty: dropped
		why        string
		sides      image.Point
	}{
		{"a PNG", "a.png", small, "a.png", "", image.Pt(40, 30)},
		{"an odd name", "my figure (1) ü.PNG", small, "my-figure--1---.png", "", image.Pt(40, 30)},
		{"a name of nothing", "%%.png", small, "figure.png", "", image.Pt(40, 30)},
		{"a JPEG", "a.jpeg", photo.Bytes(), "a.jpeg", "", image.Pt(40, 30)},
		{"a JPEG that is called PNG", "a.png", photo.Bytes(), "a.png", "another kind", image.Pt(40, 30)},
		{"too many pixels", "a.png", pngOf(t, 25_100, 1_000), "a.png", "scaled", image.Pt(1930, 76)},
		{"far too many pixels", "a.png", claiming(small, 29_000, 8_000), "", "too many pixels", image.Point{}},
		{"a PNG cut short", "a.png", small[:len(small)/2], "", "broken", image.Point{}},
		{"no image", "a.png", []byte("hello"), "", "broken", image.Point{}},
		{"nothing", "a.png", nil, "", "broken", image.Point{}},
		{"SVG", "a.svg", []byte("<svg/>"), "", "kind", image.Point{}},
		{"EPS", "a.eps", []byte("%!PS"), "", "kind", image.Point{}},
		{"a broken PDF", "a.pdf", []byte("%PDF-1.5 cut"), "", "broken", image.Point{}},
		{"a PDF", "a.pdf", []byte("%PDF-1.5\n%%EOF\n"), "a.pdf", "", image.Point{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			img, why := figure.Check(tc.file, tc.data)
			if (img != nil) != (tc.staged != "") || img != nil && img.Name != tc.staged {
				t.Fatalf("got %v, %q", img, why)
			}
			if (why != "") != (tc.why != "") || !strings.Contains(why, tc.why) {
				t.Errorf("why %q, want %q", why, tc.why)
			}
			if img == nil || tc.sides == (image.Point{}) {
				return
			}
			cfg, format, err := image.DecodeConfig(bytes.NewReader(img.Data))
			if err != nil || image.Pt(cfg.Width, cfg.Height) != tc.sides {
				t.Errorf("sides %d x %d, %v", cfg.Width, cfg.Height, err)
			}
			if want := map[string]string{"png": "png", "peg": "jpeg"}[img.Name[len(img.Name)-3:]]; format != want {
				t.Errorf("%s holds %s", img.Name, format) // pdfTeX goes by the name
			}
		})
	}
}
