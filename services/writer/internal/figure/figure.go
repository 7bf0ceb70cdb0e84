// Package figure looks at image files before TeX does: pdfTeX ends at a broken one and takes long over a huge one.
package figure

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg" // also registers the decoder
	"image/png"
	"path"
	"strings"

	"nullius.dev/services/writer/internal/tex"
)

const (
	maxBytes  = 20 << 20
	maxPixels = 25_000_000
	hugeSide  = 30_000
)

// Image is an image that may be included, under a safe name.
type Image struct {
	Name string
	Data []byte
}

// Check decodes an image. It returns it as it may be staged, and what was wrong; a nil image is dropped.
func Check(name string, data []byte) (*Image, string) {
	safe := SafeName(name)
	switch strings.ToLower(path.Ext(name)) {
	case ".pdf":
		if len(data) > maxBytes {
			return nil, "larger than 20 MB"
		}
		if !bytes.HasPrefix(data, []byte("%PDF-")) || !bytes.Contains(data[max(0, len(data)-2048):], []byte("%%EOF")) {
			return nil, "a broken PDF"
		}
		return &Image{safe, data}, ""
	case ".png", ".jpg", ".jpeg":
	default:
		return nil, "of a kind that pdfTeX cannot include"
	}
	cfg, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || cfg.Width <= 0 || cfg.Height <= 0 {
		return nil, "a broken image"
	}
	if cfg.Width > hugeSide || cfg.Height > hugeSide || cfg.Width*cfg.Height > 8*maxPixels {
		return nil, "too many pixels to be read"
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, "a broken image"
	}
	want := map[string]string{".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}[strings.ToLower(path.Ext(name))]
	if len(data) <= maxBytes && cfg.Width*cfg.Height <= maxPixels && format == want {
		return &Image{safe, data}, ""
	}
	why := "too large, so it was scaled"
	if format != want {
		why = "of another kind than its name says, so it was written anew"
	}
	small := img
	if len(data) > maxBytes || cfg.Width*cfg.Height > maxPixels {
		small = shrink(img, 2000)
	}
	var b bytes.Buffer
	if want == "jpeg" {
		err = jpeg.Encode(&b, small, &jpeg.Options{Quality: 90})
	} else {
		err = png.Encode(&b, small)
	}
	if err != nil {
		return nil, "a broken image"
	}
	return &Image{safe, b.Bytes()}, why
}

// SafeName is a file name that LaTeX takes without quoting.
func SafeName(name string) string {
	ext := path.Ext(name)
	base := strings.TrimSuffix(path.Base(name), ext)
	base = strings.Map(func(c rune) rune {
		if c < 128 && (tex.IsLetter(byte(c)) || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return c
		}
		return '-'
	}, base)
	if base == "" || strings.Trim(base, "-") == "" {
		base = "figure"
	}
	return base + strings.ToLower(ext)
}

// shrink averages an image down so that its longer side has at most n pixels.
func shrink(img image.Image, n int) image.Image {
	b := img.Bounds()
	k := max((b.Dx()+n-1)/n, (b.Dy()+n-1)/n, 1)
	out := image.NewRGBA(image.Rect(0, 0, max(1, b.Dx()/k), max(1, b.Dy()/k)))
	for y := range out.Rect.Dy() {
		for x := range out.Rect.Dx() {
			var r, g, bl, a, m uint32
			for dy := range min(k, 4) {
				for dx := range min(k, 4) {
					pr, pg, pb, pa := img.At(b.Min.X+x*k+dx*k/min(k, 4), b.Min.Y+y*k+dy*k/min(k, 4)).RGBA()
					r, g, bl, a, m = r+pr>>8, g+pg>>8, bl+pb>>8, a+pa>>8, m+1
				}
			}
			out.SetRGBA(x, y, color.RGBA{uint8(r / m), uint8(g / m), uint8(bl / m), uint8(a / m)})
		}
	}
	return out
}
