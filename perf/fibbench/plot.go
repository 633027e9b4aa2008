package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"nsrouter/fib/poptrie"
)

// points are the rates of one contender in tables of growing size, with the quartiles of the rounds.
type points struct {
	plotter.XYs
	plotter.YErrors
}

// savePlots draws how many million look-ups a second there are in tables of each size, for each family and stream.
func savePlots(dir string, rows []row) (files []string, err error) {
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		var panels []*plot.Plot
		var legend plot.Legend
		for _, s := range allStreams() {
			p, err := panel(f, s, rows)
			if err != nil {
				return nil, fmt.Errorf("plot %v %s: %w", f, s, err)
			}
			if p != nil {
				panels, legend = append(panels, p), p.Legend
				p.Legend = plot.NewLegend() // one for all
			}
		}
		if len(panels) == 0 {
			continue
		}
		name := filepath.Join(dir, fmt.Sprintf("lookup-ipv%d.png", uint8(f)))
		if err := savePanels(name, panels, legend); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
		files = append(files, name)
	}
	return files, nil
}

// panel is the plot of one stream, nil if there are no results of it.
func panel(f poptrie.Family, s stream, rows []row) (*plot.Plot, error) {
	lines := map[string]*points{}
	var names []string
	for _, r := range rows {
		if r.section != "lookup" || r.family != f || r.stream != string(s) || r.metric != "time" {
			continue
		}
		if !(r.Low > 0 && r.Median >= r.Low && r.High >= r.Median) {
			return nil, fmt.Errorf("%s takes %v to %v ns: cannot be", r.contender, r.Low, r.High)
		}
		if lines[r.contender] == nil {
			lines[r.contender] = &points{}
			names = append(names, r.contender)
		}
		lines[r.contender].add(r)
	}
	if len(names) == 0 {
		return nil, nil
	}
	p := plot.New()
	p.Title.Text = fmt.Sprintf("%v, stream %s", f, s)
	p.X.Label.Text, p.Y.Label.Text = "prefixes", "million look-ups/s"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Add(plotter.NewGrid())
	for i, name := range names {
		if err := lines[name].draw(p, name, i); err != nil {
			return nil, err
		}
	}
	// Whole decades: the axes need a label at either end, even if there is but one size of table.
	p.X.Min, p.X.Max = decade(p.X.Min, math.Floor), decade(p.X.Max, math.Ceil)
	p.Y.Min, p.Y.Max = decade(p.Y.Min, math.Floor), decade(p.Y.Max, math.Ceil)
	return p, nil
}

func decade(v float64, round func(float64) float64) float64 {
	return math.Pow(10, round(math.Log10(v)))
}

// add takes nanoseconds of a look-up as a rate.
func (p *points) add(r row) {
	rate := 1e3 / r.Median
	p.XYs = append(p.XYs, plotter.XY{X: float64(r.prefixes), Y: rate})
	p.YErrors = append(p.YErrors, struct{ Low, High float64 }{rate - 1e3/r.High, 1e3/r.Low - rate})
}

func (p *points) draw(to *plot.Plot, name string, i int) error {
	line, marks, err := plotter.NewLinePoints(p.XYs)
	if err != nil {
		return err
	}
	bars, err := plotter.NewYErrorBars(p)
	if err != nil {
		return err
	}
	line.Color, marks.Color, bars.Color = plotutil.Color(i), plotutil.Color(i), plotutil.Color(i)
	line.Dashes, marks.Shape = plotutil.Dashes(i/7), plotutil.Shape(i)
	to.Add(line, marks, bars)
	to.Legend.Add(name, line, marks)
	return nil
}

// savePanels puts plots with the same Y axis side by side into a PNG, and the legend to their right.
func savePanels(name string, panels []*plot.Plot, legend plot.Legend) error {
	const size, margin = 5 * vg.Inch, 2 * vg.Inch
	img := vgimg.New(vg.Length(len(panels))*size+margin, size)
	all := draw.New(img)
	low, high := math.Inf(1), math.Inf(-1)
	for _, p := range panels {
		low, high = min(low, p.Y.Min), max(high, p.Y.Max)
	}
	for _, p := range panels {
		p.Y.Min, p.Y.Max = low, high
	}
	tiles := draw.Tiles{Rows: 1, Cols: len(panels), PadX: vg.Points(12)}
	for i, canvas := range plot.Align([][]*plot.Plot{panels}, tiles, draw.Crop(all, 0, -margin, 0, 0))[0] {
		panels[i].Draw(canvas)
	}
	legend.Top, legend.Left = true, true
	legend.Draw(draw.Crop(all, vg.Length(len(panels))*size+vg.Points(12), 0, 0, -vg.Points(24)))
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.WriterTo(vgimg.PngCanvas{Canvas: img}).WriteTo(f)
	return errors.Join(err, f.Close())
}
