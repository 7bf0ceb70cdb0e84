package edit

import "unicode/utf8"

// maxCompare bounds the length of lines that are compared character by character.
const maxCompare = 400

// similarity is 1 - Levenshtein / longer length, in characters.
func similarity(a, b string) float64 {
	if a == b {
		return 1
	}
	x, y := []rune(a), []rune(b)
	if len(x) > maxCompare {
		x = x[:maxCompare]
	}
	if len(y) > maxCompare {
		y = y[:maxCompare]
	}
	if len(x) < len(y) {
		x, y = y, x
	}
	if len(x) == 0 {
		return 1
	}
	if 2*len(y) < len(x) {
		return float64(len(y)) / float64(len(x)) / 2 // too unlike for the exact figure to matter
	}
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(x); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := diag
			if x[i-1] != y[j-1] {
				cost = min(diag, row[j], row[j-1]) + 1
			}
			diag, row[j] = row[j], cost
		}
	}
	return 1 - float64(row[len(y)])/float64(len(x))
}

// clip shortens a line for a message, at a character's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
