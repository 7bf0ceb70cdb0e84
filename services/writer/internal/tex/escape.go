package tex

import (
	"strings"

	"golang.org/x/text/unicode/norm"
)

var escaper = strings.NewReplacer(`\`, `\textbackslash{}`, "{", `\{`, "}", `\}`, "$", `\$`, "&", `\&`, "%", `\%`, "#", `\#`, "_", `\_`,
	"~", `\textasciitilde{}`, "^", `\textasciicircum{}`, "<", `\textless{}`, ">", `\textgreater{}`, "|", `\textbar{}`)

// Escape writes plain text for LaTeX: specials, then characters that the fonts lack.
func Escape(s string) string {
	s = escaper.Replace(strings.Join(strings.Fields(s), " "))
	out, _ := Unicode(s, false)
	return out
}

// CleanLabel keeps the characters that labels and keys may have.
func CleanLabel(s string) string {
	return strings.Map(func(c rune) rune {
		if c < 128 && (IsLetter(byte(c)) || c >= '0' && c <= '9' || strings.ContainsRune("_.:+-/", c)) {
			return c
		}
		return -1
	}, s)
}

var accents = map[rune]string{0x300: "`", 0x301: "'", 0x302: "^", 0x303: "~", 0x304: "=", 0x306: "u", 0x307: ".", 0x308: `"`, 0x30A: "r",
	0x30B: "H", 0x30C: "v", 0x323: "d", 0x327: "c", 0x328: "k", 0x331: "b"}

// Unicode replaces characters outside ASCII by LaTeX. Inside mathematics symbols need no \ensuremath. It returns how many it dropped.
func Unicode(s string, inMath bool) (string, int) {
	ascii := true
	for i := range len(s) {
		if s[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return s, 0
	}
	dropped := 0
	var b strings.Builder
	for _, c := range norm.NFC.String(strings.ToValidUTF8(s, "")) {
		if c < 0x80 {
			b.WriteRune(c)
			continue
		}
		if t, ok := unicodeText[c]; ok {
			b.WriteString(t)
			continue
		}
		if m, ok := unicodeMath[c]; ok {
			if inMath {
				b.WriteString(m + " ")
			} else {
				b.WriteString(`\ensuremath{` + m + `}`)
			}
			continue
		}
		if t, ok := accented(c); ok {
			b.WriteString(t)
			continue
		}
		if d := digitOf(c); d != "" {
			b.WriteString(d)
			continue
		}
		dropped++
	}
	return b.String(), dropped
}

func accented(c rune) (string, bool) {
	d := []rune(norm.NFD.String(string(c)))
	if len(d) == 1 {
		k := []rune(norm.NFKC.String(string(c)))
		plain := strings.Map(func(r rune) rune {
			if r >= 0x80 {
				return -1
			}
			return r
		}, string(k))
		return plain, len(plain) == len(k) && plain != ""
	}
	if d[0] >= 0x80 {
		return "", false
	}
	out := string(d[0])
	switch out {
	case "i":
		out = `\i`
	case "j":
		out = `\j`
	}
	for _, a := range d[1:] {
		cmd, ok := accents[a]
		if !ok {
			return "", false
		}
		out = `{\` + cmd + "{" + out + "}}"
	}
	return out, true
}

func digitOf(c rune) string {
	for _, zero := range []rune{0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xE50, 0xFF10} {
		if c >= zero && c < zero+10 {
			return string('0' + c - zero)
		}
	}
	return ""
}

var unicodeText = map[rune]string{
	'“': "``", '”': "''", '„': ",,", '«': "``", '»': "''", '‘': "`", '’': "'", '‚': ",", '–': "--", '—': "---", '‐': "-", '‑': "-", '−': "-",
	'…': `\ldots{}`, '\u00a0': "~", '\u2009': `\,`, '\u200a': " ", '\u2003': " ", '\u202f': `\,`, '•': `\textbullet{}`, '·': `\ensuremath{\cdot}`, '§': `\S{}`,
	'¶': `\P{}`, '©': `\textcopyright{}`, 'ß': `\ss{}`, 'ø': `\o{}`, 'Ø': `\O{}`, 'æ': `\ae{}`, 'Æ': `\AE{}`, 'œ': `\oe{}`, 'Œ': `\OE{}`,
	'ł': `\l{}`, 'Ł': `\L{}`, 'ı': `\i{}`, 'đ': "d", 'Đ': "D", 'ð': "d", 'þ': "th", 'å': `\aa{}`, 'Å': `\AA{}`, '′': "'", '″': "''",
	'⁰': `\textsuperscript{0}`, '¹': `\textsuperscript{1}`, '²': `\textsuperscript{2}`, '³': `\textsuperscript{3}`, '⁴': `\textsuperscript{4}`,
	'⁵': `\textsuperscript{5}`, '⁶': `\textsuperscript{6}`, '⁷': `\textsuperscript{7}`, '⁸': `\textsuperscript{8}`, '⁹': `\textsuperscript{9}`,
	'⁻': `\textsuperscript{-}`, '₀': `\textsubscript{0}`, '₁': `\textsubscript{1}`, '₂': `\textsubscript{2}`, '₃': `\textsubscript{3}`,
	'₄': `\textsubscript{4}`, '½': "1/2", '¼': "1/4", '¾': "3/4", '⅓': "1/3", '⅔': "2/3", '✓': `\ensuremath{\checkmark}`, '\uFFFD': "",
	'⁺': `\textsuperscript{+}`, 'ⁿ': `\textsuperscript{n}`, 'ᵀ': `\textsuperscript{T}`, '₅': `\textsubscript{5}`, '₆': `\textsubscript{6}`, '₇': `\textsubscript{7}`,
	'₈': `\textsubscript{8}`, '₉': `\textsubscript{9}`, '£': `\pounds{}`, '€': "EUR", '¥': "JPY", '†': `\dag{}`, '‡': `\ddag{}`, '‰': " per mille", '®': "(R)",
}

var unicodeMath = map[rune]string{
	'α': `\alpha`, 'β': `\beta`, 'γ': `\gamma`, 'δ': `\delta`, 'ε': `\epsilon`, 'ζ': `\zeta`, 'η': `\eta`, 'θ': `\theta`, 'ι': `\iota`,
	'κ': `\kappa`, 'λ': `\lambda`, 'μ': `\mu`, 'µ': `\mu`, 'ν': `\nu`, 'ξ': `\xi`, 'π': `\pi`, 'ρ': `\rho`, 'σ': `\sigma`, 'ς': `\varsigma`,
	'τ': `\tau`, 'υ': `\upsilon`, 'φ': `\phi`, 'ϕ': `\phi`, 'χ': `\chi`, 'ψ': `\psi`, 'ω': `\omega`, 'Γ': `\Gamma`, 'Δ': `\Delta`,
	'Θ': `\Theta`, 'Λ': `\Lambda`, 'Ξ': `\Xi`, 'Π': `\Pi`, 'Σ': `\Sigma`, 'Φ': `\Phi`, 'Ψ': `\Psi`, 'Ω': `\Omega`, '±': `\pm`, '∓': `\mp`,
	'×': `\times`, '÷': `\div`, '≤': `\leq`, '≥': `\geq`, '≠': `\neq`, '≈': `\approx`, '≡': `\equiv`, '∝': `\propto`, '∞': `\infty`,
	'∑': `\sum`, '∏': `\prod`, '∫': `\int`, '√': `\surd`, '∂': `\partial`, '∇': `\nabla`, '∈': `\in`, '∉': `\notin`, '⊂': `\subset`,
	'⊆': `\subseteq`, '∪': `\cup`, '∩': `\cap`, '∀': `\forall`, '∃': `\exists`, '→': `\rightarrow`, '←': `\leftarrow`, '↔': `\leftrightarrow`,
	'⇒': `\Rightarrow`, '⇔': `\Leftrightarrow`, '↑': `\uparrow`, '↓': `\downarrow`, '°': `^{\circ}`, '‖': `\|`, '⟨': `\langle`, '⟩': `\rangle`,
	'ℝ': `\mathbb{R}`, 'ℕ': `\mathbb{N}`, 'ℤ': `\mathbb{Z}`, '∼': `\sim`, '≪': `\ll`, '≫': `\gg`, '⊙': `\odot`, '⊗': `\otimes`, '⊕': `\oplus`,
	'∘': `\circ`, '∗': `\ast`, '⋅': `\cdot`, '⋯': `\cdots`, 'ℓ': `\ell`, '∅': `\emptyset`, '¬': `\neg`, '∧': `\wedge`, '∨': `\vee`, '★': `\star`,
	'⌊': `\lfloor`, '⌋': `\rfloor`, '⌈': `\lceil`, '⌉': `\rceil`, '∥': `\parallel`, '⟂': `\perp`, '⊥': `\perp`, '⊤': `\top`, '≲': `\lesssim`, '≳': `\gtrsim`,
	'∴': `\therefore`, 'ℙ': `\mathbb{P}`, '𝔼': `\mathbb{E}`, 'ℒ': `\mathcal{L}`, '𝒩': `\mathcal{N}`, '≃': `\simeq`, '≅': `\cong`, '≜': `\triangleq`, '⊃': `\supset`,
	'⊇': `\supseteq`, '↦': `\mapsto`, '⟶': `\longrightarrow`, '⟹': `\Longrightarrow`,
}
