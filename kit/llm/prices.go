package llm

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Model is what the door knows of a model.
type Model struct {
	Name      string // resolved
	Provider  string
	Title     string // of the provider, as people write it
	BaseURL   string
	KeyVar    string // environment variable of the key; empty: none is needed
	Known     bool   // some line of models.yaml matches
	Origin    string // where its last line stands
	Context   int64
	MaxOutput int64
	Supports  map[string]bool
	CacheMin  int64 // tokens before a mark from which the provider caches; 0: unknown
	Extra     map[string]bool
	Rename    map[string]string
	Reasoning int64 // allowance added to the visible output
	FirstByte time.Duration
	Free      bool
	Retired   string
	Successor string
	Recording bool // recording/<hex>: answers without provider, key or budget

	prices  []price
	wire    string // the name the provider knows
	query   string // of its address
	region  string // of a cloud
	missing string // variable that its address needs
	listed  bool   // a line of the table is of this name alone
	local   providerLine
}

// price holds pico-dollars per token.
type price struct {
	asOf, source                             string
	from, until                              time.Time
	input, output, cacheRead, cacheWrite     int64
	cacheWrite1h                             int64
	above                                    int64 // input tokens; 0: no second tier
	input2, output2, cacheRead2, cacheWrite2 int64
}

func (p priceLine) parse() (price, error) {
	out := price{asOf: p.AsOf, source: p.Source}
	if _, err := time.Parse(time.DateOnly, p.AsOf); err != nil || p.Source == "" {
		return price{}, fmt.Errorf("a price needs as_of (year-month-day) and source")
	}
	var err error
	num := func(dst *int64, s string, def int64) {
		*dst = def
		if s == "" || err != nil {
			return
		}
		*dst, err = picoPerToken(s)
	}
	num(&out.input, p.Input, 0)
	num(&out.output, p.Output, 0)
	num(&out.cacheRead, p.CacheRead, out.input)
	write := p.CacheWrite
	if write == "" {
		write = p.CacheWrite5m
	}
	num(&out.cacheWrite, write, 2*out.input)
	num(&out.cacheWrite1h, p.CacheWrite1h, max(out.cacheWrite, 2*out.input))
	if a := p.Above; a != nil {
		out.above = a.Tokens
		num(&out.input2, a.Input, out.input)
		num(&out.output2, a.Output, out.output)
		num(&out.cacheRead2, a.CacheRead, out.input2)
		num(&out.cacheWrite2, a.CacheWrite, 2*out.input2)
	}
	day := func(dst *time.Time, s string) {
		if s == "" || err != nil {
			return
		}
		*dst, err = time.Parse(time.DateOnly, s)
	}
	day(&out.from, p.From)
	day(&out.until, p.Until)
	if err == nil && (p.Input == "" || p.Output == "") {
		err = fmt.Errorf("a price needs input and output")
	}
	return out, err
}

// Priced reports whether the model's cost is known today.
func (m Model) Priced() bool {
	_, ok := m.price(time.Now())
	return ok || m.Free || m.Recording
}

// PriceAsOf is the day the price was read, and the page; empty without one.
func (m Model) PriceAsOf(at time.Time) (day, source string) {
	p, ok := m.price(at)
	if !ok {
		return "", ""
	}
	return p.asOf, p.source
}

// price is the last one that holds at a time.
func (m Model) price(at time.Time) (price, bool) {
	for i := len(m.prices) - 1; i >= 0; i-- {
		p := m.prices[i]
		if !at.Before(p.from) && (p.until.IsZero() || at.Before(p.until)) {
			return p, true
		}
	}
	return price{}, false
}

// Cost is what a usage costs at a time, in pico-dollars; ok is false without a price.
func (m Model) Cost(u Usage, at time.Time) (pico int64, asOf string, ok bool) {
	if m.Free || m.Recording {
		return 0, "", true
	}
	p, ok := m.price(at)
	if !ok {
		return 0, "", false
	}
	in, out, read, write := p.input, p.output, p.cacheRead, p.cacheWrite
	hour := p.cacheWrite1h - p.cacheWrite // what an hour costs more than five minutes
	if p.above > 0 && u.Input+u.CacheRead+u.CacheWrite > p.above {
		in, out, read, write = p.input2, p.output2, p.cacheRead2, p.cacheWrite2
	}
	return u.Input*in + u.CacheRead*read + u.CacheWrite*write + u.CacheWrite1h*hour + u.Output*out, p.asOf, true
}

// worst is the most that a call can cost: input at the dearer of input and cache write, and all allowed output.
func (m Model) worst(input, output int64, at time.Time) (pico int64, ok bool) {
	asWrite, _, ok := m.Cost(Usage{CacheWrite: input, Output: output}, at)
	if !ok {
		return 0, false
	}
	asInput, _, _ := m.Cost(Usage{Input: input, Output: output}, at)
	return max(asWrite, asInput), true
}

// Dollars writes pico-dollars as people do: $0.40, $0.0012, $10.
func Dollars(pico int64) string {
	sign := ""
	if pico < 0 {
		sign, pico = "-", -pico
	}
	const unit = 1_000_000_000_000
	whole, frac := pico/unit, pico%unit
	switch {
	case frac == 0:
		return fmt.Sprintf("%s$%d", sign, whole)
	case whole > 0 || frac >= unit/100:
		cents := (pico + unit/200) / (unit / 100)
		return fmt.Sprintf("%s$%d.%02d", sign, cents/100, cents%100)
	default:
		v := float64(frac) / unit
		small := strconv.FormatFloat(v, 'f', int(math.Ceil(-math.Log10(v)))+1, 64) // two digits that count, never an exponent
		return sign + "$" + strings.TrimRight(small, "0")
	}
}

// decimal writes pico-dollars exactly: 0.01006.
func decimal(pico int64) string {
	s := fmt.Sprintf("%d.%012d", pico/1_000_000_000_000, pico%1_000_000_000_000)
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}
