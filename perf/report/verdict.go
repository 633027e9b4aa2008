package main

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"

	"nsrouter/perf/results"
)

type verdict string

const (
	reached     verdict = "reached"
	missed      verdict = "missed"
	notMeasured verdict = "not measured"
)

// judgement is what came of a target.
type judgement struct {
	target
	sum     results.Summary
	verdict verdict
}

// judge compares what was measured with the target: the median, or the worst round if all count.
func (d *data) judge(t target) judgement {
	j := judgement{target: t, verdict: notMeasured}
	var ok bool
	if t.under == (results.Series{}) {
		j.sum, ok = d.summary(t.over)
	} else {
		j.sum, ok = d.ratio(t.over, t.under)
	}
	if !ok {
		return j
	}
	v := j.sum.Median
	if t.allOfIt {
		v = j.sum.Max
		if t.at == atLeast {
			v = j.sum.Min
		}
	}
	j.verdict = missed
	if t.at.holds(v, t.limit) {
		j.verdict = reached
	}
	return j
}

// peer is what the router is compared with, in words; empty if the target is a value or a comparison with itself.
func (t target) peer() string {
	if t.under.Contender == "" || results.IsRouter(t.under.Contender) {
		return ""
	}
	return contenderWords(t.under.Contender)
}

// goal is the target in words.
func (t target) goal() string {
	words := t.at.String() + " " + plain(t.limit)
	if t.at == atMost && t.limit == 0 {
		words = "0"
	}
	if t.asValue != "" {
		words += " " + t.asValue
	}
	return words
}

// value is what was measured, in words.
func (j judgement) value() string {
	switch {
	case j.verdict == notMeasured:
		return ""
	case j.allOfIt:
		return digits(j.sum.Max) + " in the worst of " + plain(float64(j.sum.N)) + " rounds"
	}
	return spread(j.sum.Spread, 1)
}

// disturbed tells whether no round had the CPUs to itself.
func (j judgement) disturbed() bool { return j.verdict != notMeasured && j.sum.Quiet == 0 }

// share is how far the target was reached, 1 and more: it was. ok is false for a target that has no ratio to what was measured.
func (j judgement) share() (s results.Spread, ok bool) {
	if j.verdict == notMeasured || j.limit <= 0 || j.sum.Min <= 0 {
		return s, false
	}
	of := func(v float64) float64 {
		if j.at == atLeast {
			return v / j.limit
		}
		return j.limit / v
	}
	a, b := of(j.sum.Low), of(j.sum.High)
	return results.Spread{Median: of(j.sum.Median), Low: min(a, b), High: max(a, b), N: j.sum.N}, true
}

func (d *data) judgements() []judgement {
	var all []judgement
	for _, t := range targets() {
		all = append(all, d.judge(t))
	}
	return all
}

// targetSection is the table of all targets, and the figure of those that were measured.
func (d *data) targetSection() ([]table, []figure, error) {
	tab := table{
		columns: []string{"What", "Contender", "Against", "Placement", "Target", "Reached: median (quartiles)", "Verdict"}, left: 4,
	}
	var shares rows
	shares.dots = true
	for _, j := range d.judgements() {
		value := j.value()
		if j.disturbed() {
			value += ", no round quiet"
		}
		tab.rows = append(tab.rows, []string{
			j.what, contenderWords(j.over.Contender), j.peer(), j.over.Placement, j.goal(), value, string(j.verdict),
		})
		if s, ok := j.share(); ok {
			shares.rows = append(shares.rows, row{j.figureName(), s, verdictColor(j.verdict)})
		}
	}
	if len(shares.rows) == 0 {
		return []table{tab}, nil, nil
	}
	f := rowFigure("targets", "How far each target was reached: median and quartiles. At 1 and to the right of it (blue) a target is "+
		"reached; for latencies, which shall be small, the target is divided by what was measured.",
		"What was reached, as a multiple of its target", "multiple of the target (logarithmic)", shares)
	p := f.panels[0]
	p.Add(upright(1))
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decadeTicks{}
	f.height += vg.Points(6)
	return []table{tab}, []figure{f}, nil
}

func (j judgement) figureName() string {
	name := j.what
	if j.over.Contender != results.Router && j.over.Contender != results.Router2 {
		name += ", " + contenderWords(j.over.Contender)
	}
	if peer := j.peer(); peer != "" {
		name += ", v. " + peer
	}
	if j.over.Placement != "" {
		name += ", " + j.over.Placement
	}
	return name
}

func verdictColor(v verdict) color.Color {
	if v == reached {
		return hue(results.Router)
	}
	return hue(results.Testpmd)
}

// counts are how many targets were reached, missed and not measured.
func counts(all []judgement) (hit, miss, none int) {
	for _, j := range all {
		switch j.verdict {
		case reached:
			hit++
		case missed:
			miss++
		default:
			none++
		}
	}
	return hit, miss, none
}
