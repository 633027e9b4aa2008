package main

import (
	"fmt"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"nsrouter/perf/results"
)

// curve is a line of one contender through medians, with whiskers from quartile to quartile.
type curve struct {
	contender string
	at        []float64
	values    []results.Spread
}

// XY and YError are what gonum asks.
func (c *curve) Len() int                { return len(c.at) }
func (c *curve) XY(i int) (x, y float64) { return c.at[i], c.values[i].Median }
func (c *curve) YError(i int) (low, high float64) {
	return c.values[i].Median - c.values[i].Low, c.values[i].High - c.values[i].Median
}

// draw adds the curve to a plot, and returns what its legend shows.
func (c *curve) draw(to *plot.Plot) ([]plot.Thumbnailer, error) {
	line, marks, err := plotter.NewLinePoints(c)
	if err != nil {
		return nil, err
	}
	whiskers, err := plotter.NewYErrorBars(c)
	if err != nil {
		return nil, err
	}
	line.Color, marks.Color, whiskers.Color = hue(c.contender), hue(c.contender), hue(c.contender)
	line.Width, line.Dashes = vg.Points(1.5), dashes(c.contender)
	marks.Shape, marks.Radius = draw.CircleGlyph{}, vg.Points(2)
	to.Add(line, marks, whiskers)
	return []plot.Thumbnailer{line, marks}, nil
}

// panel is a plot of curves that is not drawn yet.
type panel struct {
	title  string
	curves []curve
}

// curveFigure puts panels with the same axes beside each other; style sets their axes up, y says
// what the Y axes show.
func curveFigure(name, caption, y string, panels []panel, style func(p *plot.Plot)) (figure, error) {
	f := figure{
		name: name, caption: caption, side: y, width: 10 * vg.Inch, height: 3.8 * vg.Inch, margin: 1.7 * vg.Inch, legend: newLegend(),
	}
	low, high := math.Inf(1), math.Inf(-1)
	known := map[string]bool{}
	for _, one := range panels {
		p := newPlot(one.title, "", "")
		for _, c := range one.curves {
			thumbs, err := c.draw(p)
			if err != nil {
				return figure{}, fmt.Errorf("plot %s of %s: %w", name, c.contender, err)
			}
			if !known[c.contender] {
				f.legend.Add(contenderWords(c.contender), thumbs...)
				known[c.contender] = true
			}
		}
		low, high = min(low, p.Y.Min), max(high, p.Y.Max)
		f.panels = append(f.panels, p)
	}
	for _, p := range f.panels {
		p.Y.Min, p.Y.Max = low, high
		style(p)
		p.Add(plotter.NewGrid())
	}
	return f, nil
}

// nines is a scale on which each nine of a percentile takes the same room: its values are percentiles below 100.
type nines struct{}

// Normalize places x between low and high, as plot.Normalizer says.
func (nines) Normalize(low, high, x float64) float64 {
	return (ninesOf(x) - ninesOf(low)) / (ninesOf(high) - ninesOf(low))
}

func ninesOf(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

// evenTicks are a few round numbers at even distances, without an exponent.
type evenTicks struct{}

// Ticks are for a linear axis.
func (evenTicks) Ticks(low, high float64) []plot.Tick {
	step := math.Pow(10, math.Floor(math.Log10(high-low)))
	for _, m := range []float64{0.1, 0.2, 0.5, 1} {
		if (high-low)/(step*m) <= 7 {
			step *= m
			break
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(low / step); i*step <= high; i++ {
		v, _ := strconv.ParseFloat(strconv.FormatFloat(i*step, 'g', 6, 64), 64) // 0.3, not 0.30000000000000004
		ticks = append(ticks, plot.Tick{Value: v, Label: plain(v)})
	}
	return ticks
}

// decadeTicks label whole powers of ten, and mark two and five of them.
type decadeTicks struct{}

// Ticks are for a logarithmic axis.
func (decadeTicks) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for _, m := range []float64{1, 2, 5} {
			v := m * math.Pow(10, e)
			if v < low*0.999 || v > high*1.001 {
				continue
			}
			label := ""
			if m == 1 || high/low < 50 {
				label = plain(v)
			}
			ticks = append(ticks, plot.Tick{Value: v, Label: label})
		}
	}
	return ticks
}
