package numbers

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Options are what stands in the brackets of \measured.
type Options struct {
	PM, CI, Sign, Abs, Percent bool
	Digits                     int
	Word                       string // \counted only: "word" or "Word"
}

// ParseOptions reads them; unknown ones are named in the error.
func ParseOptions(s string) (Options, error) {
	var o Options
	for f := range strings.SplitSeq(s, ",") {
		switch f = strings.TrimSpace(f); f {
		case "":
		case "pm":
			o.PM = true
		case "ci":
			o.CI = true
		case "sign":
			o.Sign = true
		case "abs":
			o.Abs = true
		case "percent":
			o.Percent = true
		case "word", "Word":
			o.Word = f
		default:
			n, err := strconv.Atoi(strings.TrimPrefix(f, "digits="))
			if err != nil || n < 1 || n > 6 {
				return o, bad("%q is no option; options are pm, ci, sign, abs, percent, digits=1 to 6", f)
			}
			o.Digits = n
		}
	}
	return o, nil
}

// Format writes a value for LaTeX, without \ensuremath around it.
func Format(v Value, o Options) (string, error) {
	if o.Abs {
		v.V = math.Abs(v.V)
	}
	percent := v.Percent
	if o.Percent && !v.Percent {
		if v.V < -1 || v.V > 1 {
			return "", bad("percent is for values from -1 to 1")
		}
		v.V, v.SE, percent, v.Integer = 100*v.V, 100*v.SE, true, false
	}
	if (o.PM || o.CI) && !v.SEKnown {
		o.PM, o.CI = false, false
	}
	power := 0
	if a := math.Abs(v.V); a != 0 && !percent && (a >= 1e6 || a < 1e-3) && !(v.SEKnown && a < 1e-3 && v.SE >= 1e-3) {
		power = int(math.Floor(math.Log10(a)))
		v.V, v.SE, v.Integer = v.V/math.Pow10(power), v.SE/math.Pow10(power), false
	}
	decimals := Decimals(v, o)
	out := fixed(v.V, decimals)
	if o.Sign && v.V > 0 {
		out = "+" + out
	}
	suffix := ""
	if percent {
		suffix = `\%`
	}
	switch {
	case o.CI && v.N > 1:
		half := tQuantile(float64(v.N-1)) * v.SE
		out = fmt.Sprintf("[%s, %s]", fixed(v.V-half, decimals), fixed(v.V+half, decimals))
		if percent {
			out += `\,` + suffix
		}
		suffix = ""
	case o.PM:
		out += ` \pm ` + fixed(v.SE, decimals)
		if power != 0 || percent {
			out = "(" + out + ")"
		}
	}
	if power != 0 {
		out += ` \times 10^{` + strconv.Itoa(power) + "}"
	}
	return out + suffix, nil
}

// Decimals says how many places a value gets: two significant digits of its standard error, else three of its own.
func Decimals(v Value, o Options) int {
	d := 0
	switch {
	case v.Integer:
		return 0
	case v.SEKnown && v.SE > 0:
		d = places(v.SE, 2)
	case v.V != 0:
		d = places(v.V, 3)
	default:
		d = 1
	}
	if o.Digits > 0 && v.V != 0 {
		d = min(d, max(0, places(v.V, o.Digits)))
	}
	return min(max(d, 0), 8)
}

// places returns the decimals that show n significant digits of x, after rounding.
func places(x float64, n int) int {
	s := strconv.FormatFloat(math.Abs(x), 'e', n-1, 64)
	_, e, _ := strings.Cut(s, "e")
	k, _ := strconv.Atoi(e)
	return n - 1 - k
}

// fixed writes x with that many decimals, no negative zero, thousands grouped from 10,000.
func fixed(x float64, decimals int) string {
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	if strings.Trim(s, "0.") == "" {
		sign = ""
	}
	whole, frac, dot := strings.Cut(s, ".")
	if len(whole) >= 5 {
		var b strings.Builder
		for i, c := range whole {
			if i > 0 && (len(whole)-i)%3 == 0 {
				b.WriteString("{,}")
			}
			b.WriteRune(c)
		}
		whole = b.String()
	}
	if dot {
		return sign + whole + "." + frac
	}
	return sign + whole
}

// Word writes a small count as a word.
func Word(n int) string {
	words := []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}
	if n >= 0 && n < len(words) {
		return words[n]
	}
	return strconv.Itoa(n)
}
