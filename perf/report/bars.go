package main

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"nsrouter/perf/results"
)

// bars are groups of bars: a bar is a median, the whisker on it reaches from quartile to quartile, the number above is the median.
type bars struct {
	groups []barGroup
	scale  float64 // what values are divided by
}

type barGroup struct {
	name string
	bars []bar
}

type bar struct {
	contender string
	results.Spread
}

const barWidth = 0.8 // of the distance of two groups, shared by the bars of the largest group

// Plot draws the bars.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	most := 1
	for _, g := range b.groups {
		most = max(most, len(g.bars))
	}
	width := barWidth / float64(most)
	for i, g := range b.groups {
		left := float64(i) - width*float64(len(g.bars))/2
		for j, one := range g.bars {
			from := left + width*float64(j)
			r := vg.Rectangle{
				Min: vg.Point{X: x(from), Y: y(0)}, Max: vg.Point{X: x(from + width*0.92), Y: y(one.Median / b.scale)},
			}
			c.SetColor(hue(one.contender))
			c.Fill(r.Path())
			middle := (r.Min.X + r.Max.X) / 2
			low, high := y(one.Low/b.scale), y(one.High/b.scale)
			whisker(c, vg.Point{X: middle, Y: low}, vg.Point{X: middle, Y: high})
			at := vg.Point{X: middle, Y: max(high, r.Max.Y) + vg.Points(2)}
			c.FillText(words(7, draw.XCenter, draw.YBottom), at, digits(one.Median/b.scale))
		}
	}
}

// whisker is a line with a short one across either end.
func whisker(c draw.Canvas, from, to vg.Point) {
	line := draw.LineStyle{Color: color.Black, Width: vg.Points(0.8)}
	across := vg.Point{X: vg.Points(2)}
	if from.Y == to.Y {
		across = vg.Point{Y: vg.Points(2)}
	}
	c.StrokeLine2(line, from.X, from.Y, to.X, to.Y)
	for _, end := range []vg.Point{from, to} {
		c.StrokeLine2(line, end.X-across.X, end.Y-across.Y, end.X+across.X, end.Y+across.Y)
	}
}

// DataRange leaves room for the numbers above the bars.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, g := range b.groups {
		for _, one := range g.bars {
			ymax = max(ymax, one.High/b.scale, one.Median/b.scale)
		}
	}
	return -0.5, float64(len(b.groups)) - 0.5, 0, ymax * 1.08
}

// barFigure is one panel of bars.
func barFigure(name, caption, title, y string, b bars) figure {
	f := figure{name: name, caption: caption, width: 10 * vg.Inch, height: 3.6 * vg.Inch, margin: 1.7 * vg.Inch, legend: newLegend()}
	// As wide as the words below the groups want.
	f.width = max(f.width, f.margin+vg.Points(50)+vg.Length(len(b.groups))*vg.Points(78))
	p := newPlot(title, "", y)
	p.Add(horizontals{}, b)
	ticks := make(plot.ConstantTicks, len(b.groups))
	var contenders []string
	for i, g := range b.groups {
		ticks[i] = plot.Tick{Value: float64(i), Label: g.name}
		for _, one := range g.bars {
			contenders = append(contenders, one.contender)
		}
	}
	p.X.Tick.Marker, p.X.Tick.Length, p.Y.Tick.Marker = ticks, 0, evenTicks{}
	for _, c := range inOrder(contenders, knownContenders()) {
		f.legend.Add(contenderWords(c), swatch{hue(c)})
	}
	f.panels = []*plot.Plot{p}
	return f
}

// inOrder are the names without repetition: first the known ones, in their order, then the others as they come.
func inOrder(names, known []string) []string {
	var out []string
	for _, name := range slices.Concat(known, names) {
		if slices.Contains(names, name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// horizontals are the grid lines of the Y axis.
type horizontals struct{}

// Plot draws a line at each tick that has a label.
func (horizontals) Plot(c draw.Canvas, p *plot.Plot) {
	_, y := p.Transforms(&c)
	for _, tick := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if !tick.IsMinor() && tick.Value >= p.Y.Min && tick.Value <= p.Y.Max {
			c.StrokeLine2(draw.LineStyle{Color: gray(0xdd), Width: vg.Points(0.5)}, c.Min.X, y(tick.Value), c.Max.X, y(tick.Value))
		}
	}
}
