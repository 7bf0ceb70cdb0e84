package ledger

import "strings"

// Stage is the first part of a step's name, without its try.
func Stage(step string) string {
	stage, _ := SplitTry(step)
	stage, _, _ = strings.Cut(stage, "/")
	return stage
}

// SplitTry takes the try out of a step's name: writing-2/draft becomes writing/draft, 2; the first try has no number.
func SplitTry(step string) (string, int) {
	stage, rest, more := strings.Cut(step, "/")
	i := strings.LastIndexByte(stage, '-')
	if i <= 0 || i == len(stage)-1 || len(stage)-i > 6 {
		return step, 1
	}
	n := 0
	for _, c := range stage[i+1:] {
		if c < '0' || c > '9' {
			return step, 1
		}
		n = n*10 + int(c-'0')
	}
	if n < 2 {
		return step, 1
	}
	if !more {
		return stage[:i], n
	}
	return stage[:i] + "/" + rest, n
}
