package results

import (
	"slices"
	"testing"
)

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		p, want float64
	}{
		{nil, .5, 0}, {[]float64{7}, .999, 7}, {[]float64{3, 1, 2}, .5, 2}, {[]float64{4, 1, 3, 2}, .5, 2.5},
		{[]float64{5, 1, 2, 3, 4}, .25, 2}, {[]float64{5, 1, 2, 3, 4}, 1, 5}, {[]float64{5, 1, 2, 3, 4}, 0, 1},
	} {
		before := slices.Clone(c.values)
		if got := Quantile(c.values, c.p); got != c.want {
			t.Errorf("quantile %v of %v: %v, want %v", c.p, c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("%v was sorted to %v: rounds would be paired wrongly", before, c.values)
		}
	}
	if s := SpreadOf([]float64{10, 30, 20, 50, 40}); s != (Spread{Median: 30, Low: 20, High: 40, Min: 10, Max: 50, N: 5}) {
		t.Errorf("spread %+v", s)
	}
	if r := Ratios([]float64{6, 2}, []float64{3, 4}); !slices.Equal(r, []float64{2, .5}) {
		t.Errorf("ratios %v", r)
	}
}
