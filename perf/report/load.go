package main

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot"

	"nsrouter/perf/results"
)

// overloadSection is what is delivered while more and more is offered.
func (d *data) overloadSection() ([]table, []figure, error) {
	overload := func(metric string) bool { _, ok := results.ParseOverload(metric); return ok }
	t := table{
		columns: []string{"Traffic", "Placement", "Contender", "peak, Mpps", "at 10x, Mpps", "at 10x / peak", "quartiles"}, left: 3,
	}
	var figures []figure
	for _, scenario := range d.scenarios(results.Bench, overload) {
		var panels []panel
		for _, placement := range d.placements(results.Bench, overload) {
			one := panel{title: scenarioWords(scenario) + ", " + placement}
			for _, contender := range d.contenders(results.Bench, overload) {
				s := veth(scenario, contender, placement, "")
				c := d.curve(s, results.ParseOverload, 1e6)
				if len(c.at) == 0 {
					continue
				}
				one.curves = append(one.curves, c)
				t.rows = append(t.rows, d.collapse(s))
			}
			if len(one.curves) > 0 {
				panels = append(panels, one)
			}
		}
		f, err := curveFigure("overload-"+scenario,
			scenarioWords(scenario)+": what is delivered when multiples of a contender's own peak rate are offered to it.",
			"delivered, million packets/s", panels, overloadAxes)
		if err != nil {
			return nil, nil, err
		}
		figures = append(figures, f)
	}
	if len(t.rows) == 0 {
		return nil, nil, nil
	}
	return []table{t}, figures, nil
}

// collapse is the line of a contender under overload.
func (d *data) collapse(s results.Series) []string {
	line := []string{scenarioWords(s.Scenario), s.Placement, contenderWords(s.Contender), "", "", "", ""}
	peak, ten := s, s
	peak.Metric, ten.Metric = results.OverloadPeak, results.Overload(10)
	if sum, ok := d.summary(peak); ok {
		line[3] = digits(sum.Median / 1e6)
	}
	if sum, ok := d.summary(ten); ok {
		line[4] = digits(sum.Median / 1e6)
	}
	if sum, ok := d.ratio(ten, peak); ok {
		line[5], line[6] = digits(sum.Median), quartiles(sum.Spread, 1)
	}
	return line
}

// curve collects the series that differ from s in a number in their metric; values are divided by scale.
func (d *data) curve(s results.Series, number func(metric string) (float64, bool), scale float64) curve {
	type point struct {
		at     float64
		spread results.Spread
	}
	var points []point
	for _, other := range d.order {
		at, ok := number(other.Metric)
		s.Metric, s.Unit = other.Metric, other.Unit
		if !ok || other != s {
			continue
		}
		v := d.all.Summarize(other).Spread
		v.Median, v.Low, v.High = v.Median/scale, v.Low/scale, v.High/scale
		points = append(points, point{at, v})
	}
	slices.SortFunc(points, func(a, b point) int {
		if a.at < b.at {
			return -1
		}
		return 1
	})
	c := curve{contender: s.Contender}
	for _, p := range points {
		c.at, c.values = append(c.at, p.at), append(c.values, p.spread)
	}
	return c
}

func overloadAxes(p *plot.Plot) {
	p.X.Label.Text = "offered, in peak rates (logarithmic)"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decadeTicks{}
	p.Y.Min, p.Y.Max, p.Y.Tick.Marker = 0, p.Y.Max*1.05, evenTicks{}
}

// latencySection is latency at shares of the no-drop rate: a table, and a figure of all percentiles for each placement.
func (d *data) latencySection() (tables []table, figures []figure, err error) {
	latency := func(metric string) bool { _, _, ok := results.ParseLatency(metric); return ok }
	columns := []float64{50, 90, 99, 99.9, 100}
	for _, scenario := range d.scenarios(results.Bench, latency) {
		for _, placement := range d.placements(results.Bench, latency) {
			t := table{
				caption: fmt.Sprintf("Latency in us, %s, %s: medians of the rounds.", scenarioWords(scenario), placement), left: 2,
				columns: []string{"Load", "Contender", "p50", "p90", "p99", "p99.9", "most", "quiet rounds"},
			}
			var panels []panel
			for _, load := range d.loads() {
				one := panel{title: plain(load) + " % of the no-drop rate"}
				for _, contender := range d.contenders(results.Bench, latency) {
					s := veth(scenario, contender, placement, "")
					if line := d.latencies(s, load, columns); line != nil {
						t.rows = append(t.rows, line)
						one.curves = append(one.curves, d.curve(s, below100(load), 1))
					}
				}
				if len(one.curves) > 0 {
					panels = append(panels, one)
				}
			}
			if len(panels) == 0 {
				continue
			}
			tables = append(tables, t)
			f, err := curveFigure("latency-"+scenario+"-"+placement,
				fmt.Sprintf("Latency by percentile, %s, %s: median of the rounds, whiskers from quartile to quartile. "+
					"The axis gives each nine of a percentile the same room.", scenarioWords(scenario), placement),
				"latency, us (logarithmic)", panels, latencyAxes)
			if err != nil {
				return nil, nil, err
			}
			figures = append(figures, f)
		}
	}
	return tables, figures, nil
}

// loads are the shares of the no-drop rate that latency was measured at, ascending.
func (d *data) loads() []float64 {
	var loads []float64
	for _, s := range d.order {
		if load, _, ok := results.ParseLatency(s.Metric); ok && !slices.Contains(loads, load) {
			loads = append(loads, load)
		}
	}
	slices.Sort(loads)
	return loads
}

// below100 reads percentiles at a load, without the highest, which is at no distance from it on a scale of nines.
func below100(load float64) func(string) (float64, bool) {
	return func(metric string) (float64, bool) {
		at, p, ok := results.ParseLatency(metric)
		return p, ok && at == load && p < 100
	}
}

// latencies is the line of a contender at a load, nil if it was not measured.
func (d *data) latencies(s results.Series, load float64, percentiles []float64) []string {
	line := []string{plain(load) + " %", contenderWords(s.Contender)}
	var quiet results.Summary
	for _, p := range percentiles {
		s.Metric = results.Latency(load, p)
		sum, ok := d.summary(s)
		if !ok {
			line = append(line, "")
			continue
		}
		quiet = sum
		line = append(line, digits(sum.Median))
	}
	if quiet.N == 0 {
		return nil
	}
	return append(line, fmt.Sprintf("%d of %d", quiet.Quiet, quiet.Rounds))
}

func latencyAxes(p *plot.Plot) {
	p.X.Label.Text = "percentile"
	p.X.Scale, p.X.Min, p.X.Max = nines{}, 0, 99.99
	p.X.Tick.Marker = plot.ConstantTicks{
		{Value: 50, Label: "50"}, {Value: 90, Label: "90"}, {Value: 99, Label: "99"},
		{Value: 99.9, Label: "99.9"}, {Value: 99.99, Label: "99.99"},
	}
	p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decadeTicks{}
	if p.Y.Min <= 0 {
		p.Y.Min = 0.1 // the scale has no zero
	}
	p.Y.Min, p.Y.Max = p.Y.Min/1.1, p.Y.Max*1.1
}
