package llm

import (
	"bytes"
	"image"
	_ "image/jpeg" // registers the decoder of headers
	_ "image/png"  // registers the decoder of headers
)

// imageTokens estimates what an image costs from its size in pixels.
func imageTokens(data []byte) int64 {
	c, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return 1100 // about 1024 × 1024
	}
	w, h := min(c.Width, 1<<16), min(c.Height, 1<<16)
	return int64((w+31)/32)*int64((h+31)/32) + 100
}
