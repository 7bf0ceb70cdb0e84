package numbers

import "math"

// pValue is two-sided: paired where the record's seeds pair up, else Welch.
func (r *Record) pValue(v, x, y Value) (Value, error) {
	t, df, err := r.tTest(x, y)
	if err != nil {
		return Value{}, err
	}
	v.V, v.SE, v.SEKnown, v.Integer = tailProbability(t, df), 0, false, false
	return v, nil
}

func (r *Record) tTest(x, y Value) (t, df float64, err error) {
	if r.Paired && len(x.PerSeed) == len(y.PerSeed) && len(x.PerSeed) >= 3 {
		mean, se, n := meanDifference(x.PerSeed, y.PerSeed)
		if se == 0 {
			return 0, 0, bad("the difference does not vary, so it cannot be tested")
		}
		return mean / se, float64(n - 1), nil
	}
	if !x.SEKnown || !y.SEKnown || x.N < 2 || y.N < 2 {
		return 0, 0, bad("standard errors or seeds are not known, so nothing can be tested")
	}
	vx, vy := x.SE*x.SE, y.SE*y.SE
	if vx+vy == 0 {
		return 0, 0, bad("neither value varies, so nothing can be tested")
	}
	df = (vx + vy) * (vx + vy) / (vx*vx/float64(x.N-1) + vy*vy/float64(y.N-1))
	return (x.V - y.V) / math.Sqrt(vx+vy), df, nil
}

// tailProbability is P(|T| ≥ |t|) for Student's t.
func tailProbability(t, df float64) float64 {
	return incompleteBeta(df/2, 0.5, df/(df+t*t))
}

// tQuantile is the value that |T| stays under with 95 %.
func tQuantile(df float64) float64 {
	lo, hi := 0.0, 1e3
	for range 80 {
		mid := (lo + hi) / 2
		if tailProbability(mid, df) > 0.05 {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

// incompleteBeta is the regularised incomplete beta function, by its continued fraction.
func incompleteBeta(a, b, x float64) float64 {
	if x <= 0 {
		return 0
	}
	if x >= 1 {
		return 1
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab - la - lb + a*math.Log(x) + b*math.Log1p(-x))
	if x > (a+1)/(a+b+2) {
		return 1 - front*fraction(b, a, 1-x)/b
	}
	return front * fraction(a, b, x) / a
}

func fraction(a, b, x float64) float64 {
	const tiny = 1e-300
	c, d := 1.0, 1-(a+b)*x/(a+1)
	if math.Abs(d) < tiny {
		d = tiny
	}
	d = 1 / d
	h := d
	step := func(term float64) {
		d = 1 + term*d
		if math.Abs(d) < tiny {
			d = tiny
		}
		c = 1 + term/c
		if math.Abs(c) < tiny {
			c = tiny
		}
		d = 1 / d
		h *= d * c
	}
	for m := 1.0; m <= 300; m++ {
		before := h
		step(m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m)))
		step(-(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1)))
		if math.Abs(h-before) < 1e-13*math.Abs(h) {
			break
		}
	}
	return h
}
