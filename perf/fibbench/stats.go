package main

import "slices"

// spread is the median and the quartiles of some values.
type spread struct {
	median, low, high float64
	n                 int
}

func spreadOf(values []float64) spread {
	return spread{quantile(values, .5), quantile(values, .25), quantile(values, .75), len(values)}
}

// once is what was counted, not measured again and again.
func once(value float64) spread { return spread{value, value, value, 1} }

// quantile is the value that a share p of the values do not exceed, interpolated; zero if there are none.
func quantile(values []float64, p float64) float64 {
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

// ratios divides round by round.
func ratios(over, under []float64) []float64 {
	out := make([]float64, len(over))
	for i := range out {
		out[i] = over[i] / under[i]
	}
	return out
}
