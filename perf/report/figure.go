package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"

	"nsrouter/perf/results"
)

// figure is a picture: plots beside each other, and one legend for all to their right.
type figure struct {
	name          string // of its file, without the suffix
	caption       string
	width, height vg.Length // of all
	margin        vg.Length // for the legend
	side          string    // what the Y axes of all panels show; empty: the panels say it themselves
	panels        []*plot.Plot
	legend        plot.Legend
}

// draw draws the figure over the whole canvas.
func (f *figure) draw(c draw.Canvas) {
	c.SetColor(color.White)
	c.Fill(c.Rectangle.Path())
	pad := vg.Points(8)
	tiles := draw.Tiles{Rows: 1, Cols: len(f.panels), PadX: vg.Points(18)}
	area := draw.Crop(c, pad, -f.margin-pad, pad, -pad)
	if f.side != "" {
		label := words(10, draw.XCenter, draw.YTop)
		label.Rotation = math.Pi / 2
		c.FillText(label, vg.Point{X: pad, Y: f.height / 2}, f.side)
		area = draw.Crop(area, vg.Points(14), 0, 0, 0)
	}
	for i, p := range f.panels {
		p.Draw(tiles.At(area, i, 0))
	}
	if f.margin > 0 {
		f.legend.Draw(draw.Crop(c, f.width-f.margin, 0, 0, -vg.Points(28)))
	}
}

// measured notes how wide each text was when the figure was laid out.
type measured struct {
	*vgsvg.Canvas
	widths []vg.Length
}

// FillString draws a text.
func (m *measured) FillString(f font.Face, at vg.Point, s string) {
	m.widths = append(m.widths, f.Width(s))
	m.Canvas.FillString(f, at, s)
}

// svg is the figure as an SVG document. Fonts are named, not embedded: those named first have the metrics by which it was laid
// out; any other is made to fit by the width that each text is given.
func (f *figure) svg() ([]byte, error) {
	canvas := &measured{Canvas: vgsvg.New(f.width, f.height)}
	f.draw(draw.New(canvas))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	const own = "font-family:Liberation Sans;font-variant:normal;font-weight:normal;font-style:normal;"
	parts := strings.Split(strings.ReplaceAll(out.String(), own, ""), "<text ")
	if len(parts) != len(canvas.widths)+1 {
		return nil, fmt.Errorf("%d texts were drawn, and %d are there", len(canvas.widths), len(parts)-1)
	}
	svg := strings.Replace(parts[0], "<svg ", `<svg font-family="Liberation Sans,Arial,Helvetica,sans-serif" `, 1)
	for i, width := range canvas.widths {
		svg += fmt.Sprintf(`<text textLength="%.1f" lengthAdjust="spacingAndGlyphs" %s`, width.Points(), parts[i+1])
	}
	return []byte(svg), nil
}

// inline is the part of an SVG document that stands in HTML.
func inline(svg []byte) []byte {
	return svg[max(0, bytes.Index(svg, []byte("<svg"))):]
}

func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

func words(size vg.Length, x text.XAlignment, y text.YAlignment) text.Style {
	return text.Style{
		Color: color.Black, Font: sans(size), Handler: plot.DefaultTextHandler, XAlign: x, YAlign: y,
	}
}

// newPlot is an empty plot in our style.
func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font, p.Title.Padding = sans(11), vg.Points(6)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font, axis.Tick.Label.Font = sans(10), sans(9)
		axis.LineStyle.Color, axis.Tick.Color = gray(0x80), gray(0x80)
	}
	return p
}

func newLegend() plot.Legend {
	l := plot.NewLegend()
	l.TextStyle.Font, l.Top, l.Left, l.Padding = sans(9), true, true, vg.Points(4)
	return l
}

func gray(v uint8) color.Color { return color.Gray{Y: v} }

// hue is the colour that a contender has in all figures: of Okabe and Ito's palette, which the colour-blind can tell apart.
func hue(contender string) color.Color {
	switch contender {
	case results.Router:
		return color.RGBA{0x00, 0x72, 0xb2, 0xff} // blue
	case results.RouterBusy, results.Router2:
		return color.RGBA{0x56, 0xb4, 0xe9, 0xff} // sky
	case results.RouterInterrupt:
		return color.RGBA{0x00, 0x9e, 0x73, 0xff} // green
	case results.Linux:
		return color.RGBA{0xe6, 0x9f, 0x00, 0xff} // orange
	case results.Testpmd:
		return color.RGBA{0xd5, 0x5e, 0x00, 0xff} // vermilion
	case results.L3fwd:
		return color.RGBA{0xcc, 0x79, 0xa7, 0xff} // purple
	case results.MemoryPort:
		return gray(0xcc)
	}
	return gray(0x99)
}

// dashes tell lines apart without colours: ours are whole.
func dashes(contender string) []vg.Length {
	switch contender {
	case results.Router:
		return nil
	case results.RouterBusy:
		return []vg.Length{vg.Points(8), vg.Points(2)}
	case results.RouterInterrupt:
		return []vg.Length{vg.Points(8), vg.Points(2), vg.Points(2), vg.Points(2)}
	case results.Linux:
		return []vg.Length{vg.Points(5), vg.Points(3)}
	}
	return []vg.Length{vg.Points(2), vg.Points(2)}
}

// swatch is the filled square of a bar in a legend.
type swatch struct{ color.Color }

func (s swatch) Thumbnail(c *draw.Canvas) {
	size := c.Max.Y - c.Min.Y
	r := vg.Rectangle{Min: vg.Point{X: c.Max.X - size, Y: c.Min.Y}, Max: c.Max}
	c.SetColor(s.Color)
	c.Fill(r.Path())
}
