package tex

import "strings"

// SentenceAt returns the sentence of text around offset i, one line, at most 240 bytes.
func SentenceAt(text string, i int) string {
	i = min(max(i, 0), len(text))
	start, end := 0, len(text)
	for j := i - 1; j > 0; j-- {
		if ends(text, j-1) && (text[j] == ' ' || text[j] == '\n') || text[j] == '\n' && text[j-1] == '\n' {
			start = j
			break
		}
	}
	for j := i; j < len(text); j++ {
		if ends(text, j) && (j+1 == len(text) || text[j+1] == ' ' || text[j+1] == '\n') {
			end = j + 1
			break
		}
		if text[j] == '\n' && j+1 < len(text) && text[j+1] == '\n' {
			end = j
			break
		}
	}
	const most = 240
	if end-start > most { // what stands around the place
		from, to := max(start, i-most/2), min(end, i+most/2)
		before, after := "", ""
		if from > start {
			from += max(0, strings.IndexAny(text[from:i], " \n"))
			before = "..."
		}
		if to < end {
			if j := strings.LastIndexAny(text[i:to], " \n"); j > 0 {
				to = i + j
			}
			after = "..."
		}
		return before + strings.ToValidUTF8(strings.Join(strings.Fields(text[from:to]), " "), "") + after
	}
	return strings.Join(strings.Fields(text[start:end]), " ")
}

func ends(s string, i int) bool { return s[i] == '.' || s[i] == '?' || s[i] == '!' }

// Words counts the words of a body; commands and their braces count as blanks.
func Words(body string) int {
	masked := []byte(Mask(body))
	for i := 0; i < len(masked); i++ {
		if masked[i] == '\\' {
			_, end := CommandAt(string(masked), i)
			blank(masked[i:end])
			i = end - 1
		}
	}
	return len(strings.FieldsFunc(string(masked), func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r > 127)
	}))
}
