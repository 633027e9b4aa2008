package main

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"nsrouter/perf/results"
)

// row is a value with its name to the left: a bar from zero, or a dot.
type row struct {
	name  string
	value results.Spread
	color color.Color
}

// rows stand below each other, the first on top.
type rows struct {
	rows []row
	dots bool // instead of bars
}

// Plot draws the rows.
func (r rows) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for i, one := range r.rows {
		middle := float64(len(r.rows) - 1 - i)
		at, low, high := x(one.value.Median), x(one.value.Low), x(one.value.High)
		if !r.dots {
			bar := vg.Rectangle{Min: vg.Point{X: x(0), Y: y(middle - 0.35)}, Max: vg.Point{X: at, Y: y(middle + 0.35)}}
			c.SetColor(one.color)
			c.Fill(bar.Path())
		}
		whisker(c, vg.Point{X: low, Y: y(middle)}, vg.Point{X: high, Y: y(middle)})
		if r.dots {
			dot := draw.GlyphStyle{Color: one.color, Radius: vg.Points(3.5), Shape: draw.CircleGlyph{}}
			c.DrawGlyph(dot, vg.Point{X: at, Y: y(middle)})
		}
		label := words(8, draw.XLeft, draw.YCenter)
		c.FillText(label, vg.Point{X: max(at, high) + vg.Points(6), Y: y(middle)}, digits(one.value.Median))
	}
}

// DataRange leaves room for the numbers to the right.
func (r rows) DataRange() (xmin, xmax, ymin, ymax float64) {
	for i, one := range r.rows {
		if r.dots && (i == 0 || one.value.Low < xmin) {
			xmin = one.value.Low
		}
		xmax = max(xmax, one.value.High)
	}
	if r.dots {
		return xmin / 1.15, xmax * 1.35, -0.6, float64(len(r.rows)) - 0.4
	}
	return 0, xmax * 1.12, -0.6, float64(len(r.rows)) - 0.4
}

// upright is a line through all rows.
type upright float64

// Plot draws the line.
func (u upright) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	line := draw.LineStyle{Color: gray(0x60), Width: vg.Points(1), Dashes: []vg.Length{vg.Points(4), vg.Points(2)}}
	c.StrokeLine2(line, x(float64(u)), c.Min.Y, x(float64(u)), c.Max.Y)
}

// DataRange keeps the line in the picture.
func (u upright) DataRange() (xmin, xmax, ymin, ymax float64) {
	return float64(u), float64(u), 0, 0
}

// rowFigure is one panel of rows, as high as it has to be.
func rowFigure(name, caption, title, x string, r rows) figure {
	p := newPlot(title, x, "")
	p.Add(r)
	ticks := make(plot.ConstantTicks, len(r.rows))
	for i, one := range r.rows {
		ticks[i] = plot.Tick{Value: float64(len(r.rows) - 1 - i), Label: one.name}
	}
	p.Y.Tick.Marker, p.Y.Tick.Length, p.X.Tick.Marker = ticks, 0, evenTicks{}
	height := vg.Length(len(r.rows))*vg.Points(16) + vg.Points(70)
	return figure{name: name, caption: caption, width: 10 * vg.Inch, height: height, panels: []*plot.Plot{p}}
}
