package text

import (
	"strings"
	"unicode/utf8"
)

// accents maps LaTeX's accent commands to combining marks.
var accents = map[string]rune{
	"`": 0x300, "'": 0x301, "^": 0x302, "~": 0x303, "=": 0x304, "u": 0x306, ".": 0x307, `"`: 0x308, "r": 0x30A, "H": 0x30B,
	"v": 0x30C, "d": 0x323, "c": 0x327, "k": 0x328, "b": 0x331,
	"hat": 0x302, "tilde": 0x303, "bar": 0x304, "breve": 0x306, "dot": 0x307, "ddot": 0x308, "check": 0x30C, "acute": 0x301, "grave": 0x300,
}

// symbols maps commands that stand for letters and signs.
var symbols = map[string]string{
	"ss": "ß", "SS": "SS", "o": "ø", "O": "Ø", "l": "ł", "L": "Ł", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å",
	"i": "i", "j": "j", "dh": "ð", "DH": "Ð", "th": "þ", "TH": "Þ", "dj": "đ", "DJ": "Đ", "ell": "ℓ", "imath": "i", "jmath": "j",
	"&": "&", "%": "%", "#": "#", "_": "_", "$": "$", "{": "{", "}": "}", `\`: " ", " ": " ", ",": " ", ";": " ", ":": " ", "!": "", "/": "", "-": "",
	"textendash": "–", "textemdash": "—", "textquoteright": "’", "textquoteleft": "‘", "textquotedblleft": "“", "textquotedblright": "”",
	"textbackslash": `\`, "textasciitilde": "~", "textasciicircum": "^", "textunderscore": "_", "ldots": "…", "dots": "…",
	"times": "×", "infty": "∞", "to": "→", "rightarrow": "→", "leq": "≤", "geq": "≥", "le": "≤", "ge": "≥", "pm": "±", "cdot": "·",
	"LaTeX": "LaTeX", "TeX": "TeX", "quad": " ", "qquad": " ",
}

// greekNames pairs Greek letters with their names, small letters first.
var greekNames = []struct {
	letter rune
	name   string
}{
	{'α', "alpha"}, {'β', "beta"}, {'γ', "gamma"}, {'δ', "delta"}, {'ε', "epsilon"}, {'ζ', "zeta"}, {'η', "eta"}, {'θ', "theta"},
	{'ι', "iota"}, {'κ', "kappa"}, {'λ', "lambda"}, {'μ', "mu"}, {'ν', "nu"}, {'ξ', "xi"}, {'ο', "omicron"}, {'π', "pi"},
	{'ρ', "rho"}, {'σ', "sigma"}, {'τ', "tau"}, {'υ', "upsilon"}, {'φ', "phi"}, {'χ', "chi"}, {'ψ', "psi"}, {'ω', "omega"},
	{'Γ', "Gamma"}, {'Δ', "Delta"}, {'Θ', "Theta"}, {'Λ', "Lambda"}, {'Ξ', "Xi"}, {'Π', "Pi"}, {'Σ', "Sigma"}, {'Φ', "Phi"},
	{'Ψ', "Psi"}, {'Ω', "Omega"}, {'ε', "varepsilon"}, {'φ', "varphi"}, {'θ', "vartheta"}, {'ρ', "varrho"}, {'ς', "varsigma"},
}

// GreekLetter is the letter of a LaTeX command such as "alpha".
func GreekLetter(command string) (rune, bool) {
	for _, g := range greekNames {
		if g.name == command {
			return g.letter, true
		}
	}
	return 0, false
}

// GreekName is the LaTeX command of a Greek letter.
func GreekName(letter rune) (string, bool) {
	for _, g := range greekNames {
		if g.letter == letter {
			return g.name, true
		}
	}
	return "", false
}

type latexReader struct {
	in  string
	pos int
	out strings.Builder
	// math is set between dollar signs, where "_" and "^" are no characters.
	math bool
}

func latex(s string) string {
	r := &latexReader{in: s}
	for r.pos < len(r.in) {
		r.step()
	}
	return r.out.String()
}

func (r *latexReader) step() {
	c := r.in[r.pos]
	switch {
	case c == '\\':
		r.pos++
		r.command()
	case c == '{' || c == '}':
		r.pos++
	case c == '$':
		r.math = !r.math
		r.pos++
	case c == '~':
		r.out.WriteByte(' ')
		r.pos++
	case r.math && (c == '_' || c == '^'):
		r.pos++
	default:
		_, n := utf8.DecodeRuneInString(r.in[r.pos:])
		r.out.WriteString(r.in[r.pos : r.pos+n])
		r.pos += n
	}
}

// command reads what follows a backslash.
func (r *latexReader) command() {
	start := r.pos
	for r.pos < len(r.in) && isLetter(r.in[r.pos]) {
		r.pos++
	}
	name := r.in[start:r.pos]
	word := name != ""
	if !word && r.pos < len(r.in) {
		_, n := utf8.DecodeRuneInString(r.in[r.pos:])
		name = r.in[r.pos : r.pos+n]
		r.pos += n
	}
	if mark, ok := accents[name]; ok && (!word || r.argument(name)) {
		r.accented(mark)
		return
	}
	if word { // a space after a word command only ends it
		for r.pos < len(r.in) && (r.in[r.pos] == ' ' || r.in[r.pos] == '\n') && r.pos < len(r.in)-1 {
			r.pos++
		}
	}
	if s, ok := symbols[name]; ok {
		r.out.WriteString(s)
		return
	}
	if g, ok := GreekLetter(name); ok {
		r.out.WriteRune(g)
	}
}

// argument reports whether an accent command of letters has something to stand on: "\v{s}", "\v s", but no "\vec".
func (r *latexReader) argument(string) bool {
	return r.pos < len(r.in) && strings.IndexByte(`{ \`, r.in[r.pos]) >= 0
}

// accented writes the next letter with a mark; without a letter the mark is dropped.
func (r *latexReader) accented(mark rune) {
	for r.pos < len(r.in) && (r.in[r.pos] == '{' || r.in[r.pos] == ' ') {
		r.pos++
	}
	if r.pos >= len(r.in) || r.in[r.pos] == '}' {
		return
	}
	if r.in[r.pos] == '\\' {
		r.pos++
		start := r.pos
		for r.pos < len(r.in) && isLetter(r.in[r.pos]) {
			r.pos++
		}
		if s, ok := symbols[r.in[start:r.pos]]; ok && s != "" {
			r.out.WriteString(s)
			r.out.WriteRune(mark)
		}
		return
	}
	_, n := utf8.DecodeRuneInString(r.in[r.pos:])
	r.out.WriteString(r.in[r.pos : r.pos+n])
	r.out.WriteRune(mark)
	r.pos += n
}
