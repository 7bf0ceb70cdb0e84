// Package fewshot holds example papers of our own with hand-written reviews.
package fewshot

import (
	"embed"
	"io/fs"
	"strings"
)

//go:embed papers/*.txt papers/*.json
var files embed.FS

// Pair is a paper with its review.
type Pair struct{ Paper, Review string }

// Pairs returns the first n examples, fewer if there are not so many.
func Pairs(n int) []Pair {
	names, _ := fs.Glob(files, "papers/*.txt") // the pattern is constant and well formed
	var out []Pair
	for _, name := range names {
		if len(out) >= n {
			break
		}
		paper, err := files.ReadFile(name)
		review, err2 := files.ReadFile(strings.TrimSuffix(name, ".txt") + ".json")
		if err == nil && err2 == nil {
			out = append(out, Pair{Paper: strings.TrimSpace(string(paper)), Review: strings.TrimSpace(string(review))})
		}
	}
	return out
}
