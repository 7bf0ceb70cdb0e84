package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

var letters = map[rune]string{
	'ß': "ss", 'ø': "o", 'ł': "l", 'æ': "ae", 'œ': "oe", 'ı': "i", 'đ': "d", 'ð': "d", 'þ': "th", 'ŋ': "n", 'ς': "sigma",
}

// Norm is the form in which titles and names are compared: plain, folded, without marks, Greek by name, "&" as "and", inner
// apostrophes dropped, all other signs as spaces.
func Norm(s string) string {
	s = strings.ToLower(Plain(s))
	s = norm.NFKD.String(s)
	var b strings.Builder
	b.Grow(len(s))
	rs := []rune(s)
	space := false
	for i, r := range rs {
		w := ""
		switch {
		case unicode.Is(unicode.Mn, r):
			continue
		case r == '&':
			w, space = "and", true
		case isApostrophe(r) && i > 0 && i+1 < len(rs) && unicode.IsLetter(rs[i-1]) && unicode.IsLetter(rs[i+1]):
			continue
		case letters[r] != "":
			w = letters[r]
		case unicode.IsLetter(r), unicode.IsDigit(r):
			w = string(unicode.ToLower(r))
			if name, ok := GreekName(unicode.ToLower(r)); ok {
				w = name
			}
		}
		if w == "" {
			space = b.Len() > 0
			continue
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = r == '&'
		b.WriteString(w)
	}
	return b.String()
}

func isApostrophe(r rune) bool {
	return r == '\'' || r == '’' || r == '‘' || r == 'ʼ' || r == '`' || r == '´'
}

// british maps spellings to the ones they are compared by.
var british = map[string]string{
	"modelling": "modeling", "behaviour": "behavior", "colour": "color", "labelled": "labeled", "labelling": "labeling",
	"neighbour": "neighbor", "centre": "center", "optimisation": "optimization", "generalisation": "generalization",
	"regularisation": "regularization",
}

// Words are the words of a title as they are compared: normed, American, singular.
func Words(s string) []string {
	ws := strings.Fields(Norm(s))
	for i, w := range ws {
		ws[i] = Stem(w)
	}
	return ws
}

// Stem is the comparable form of one normed word.
func Stem(w string) string {
	if us, ok := british[w]; ok {
		return us
	}
	if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && !strings.HasSuffix(w, "us") && !strings.HasSuffix(w, "is") {
		w = w[:len(w)-1]
		if us, ok := british[w]; ok {
			return us
		}
	}
	return w
}

// stopWords are the words that tell nothing about a title.
var stopWords = map[string]bool{
	"a": true, "an": true, "the": true, "of": true, "for": true, "in": true, "on": true, "and": true, "or": true, "to": true,
	"with": true, "by": true, "from": true, "at": true, "as": true, "is": true, "are": true, "via": true, "into": true, "its": true,
	"it": true, "be": true, "towards": true, "toward": true, "using": true, "do": true, "does": true, "that": true, "this": true, "how": true, "what": true, "we": true,
}

// IsStop reports whether a normed word is one of those that are left out of comparisons and queries.
func IsStop(w string) bool { return stopWords[w] }

// Content are the words of s without stop words; all words if nothing else is left.
func Content(s string) []string {
	ws := Words(s)
	out := make([]string, 0, len(ws))
	for _, w := range ws {
		if !stopWords[w] {
			out = append(out, w)
		}
	}
	if len(out) == 0 {
		return ws
	}
	return out
}

// Distance is the edit distance of two texts in characters, looked at up to 1,000 characters each.
func Distance(a, b string) int {
	x, y := []rune(Clip(a, 4000)), []rune(Clip(b, 4000))
	if len(x) > 1000 {
		x = x[:1000]
	}
	if len(y) > 1000 {
		y = y[:1000]
	}
	row := make([]int, len(y)+1)
	for j := range row {
		row[j] = j
	}
	for i, r := range x {
		diagonal := row[0]
		row[0] = i + 1
		for j, q := range y {
			cost := 1
			if r == q {
				cost = 0
			}
			next := min(row[j]+1, row[j+1]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(y)]
}

// Likeness is 1 less the edit distance over the longer one's length; two empty texts are alike.
func Likeness(a, b string) float64 {
	n := max(len([]rune(a)), len([]rune(b)))
	if n == 0 {
		return 1
	}
	return max(0, 1-float64(Distance(a, b))/float64(n))
}

// Dice is the overlap of two multisets of words.
func Dice(a, b []string) float64 {
	if len(a)+len(b) == 0 {
		return 1
	}
	count := make(map[string]int, len(a))
	for _, w := range a {
		count[w]++
	}
	both := 0
	for _, w := range b {
		if count[w] > 0 {
			count[w]--
			both++
		}
	}
	return 2 * float64(both) / float64(len(a)+len(b))
}
