package results

import "slices"

// Spread is what some values are like.
type Spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"p25"` // quartiles
	High   float64 `json:"p75"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	N      int     `json:"n"`
}

// SpreadOf is the zero Spread if there are no values, whose order it leaves as it is.
func SpreadOf(values []float64) Spread {
	return Spread{
		Median: Quantile(values, .5), Low: Quantile(values, .25), High: Quantile(values, .75),
		Min: Quantile(values, 0), Max: Quantile(values, 1), N: len(values),
	}
}

// Once is what was counted, not measured again and again.
func Once(value float64) Spread { return SpreadOf([]float64{value}) }

// Quantile is the value that a share p of the values do not exceed, interpolated; zero if there are none.
func Quantile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	at := p * float64(len(s)-1)
	i := int(at)
	if i+1 == len(s) {
		return s[i]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// Ratios divides round by round.
func Ratios(over, under []float64) []float64 {
	out := make([]float64, len(over))
	for i := range out {
		out[i] = over[i] / under[i]
	}
	return out
}
