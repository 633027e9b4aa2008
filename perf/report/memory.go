package main

import (
	"fmt"

	"nsrouter/perf/results"
)

// pipelineSection compares what is forwarded in memory, and says where a packet's cycles go.
func (d *data) pipelineSection() ([]table, []figure, error) {
	tables, figures, err := d.compared("pipeline", results.Pipeline, results.Throughput, "Packets forwarded per second in memory")
	if err != nil {
		return nil, nil, err
	}
	tables = append(tables, d.values(results.Pipeline, results.Cycles)...)
	node := func(metric string) bool { _, ok := results.ParseNode(metric); return ok }
	for _, scenario := range d.scenarios(results.Pipeline, node) {
		var r rows
		t := table{
			caption: "Cycles of a packet by node, " + scenarioWords(scenario) + ".", left: 1,
			columns: []string{"Node", "cycles/packet", "quartiles"},
		}
		for _, s := range d.order {
			name, ok := results.ParseNode(s.Metric)
			if !ok || s.Suite != results.Pipeline || s.Scenario != scenario || s.Contender != results.Router {
				continue
			}
			sum := d.all.Summarize(s)
			r.rows = append(r.rows, row{name, sum.Spread, hue(results.Router)})
			t.rows = append(t.rows, []string{name, digits(sum.Median), quartiles(sum.Spread, 1)})
		}
		if len(r.rows) == 0 {
			continue
		}
		tables = append(tables, t)
		figures = append(figures, rowFigure("nodes-"+scenario, t.caption, "Where a packet's cycles go: "+scenarioWords(scenario),
			"cycles/packet", r))
	}
	return tables, figures, nil
}

// transmitSection lists all that the microbenchmark of transmit measures.
func (d *data) transmitSection() (tables []table, figures []figure, err error) {
	all := func(string) bool { return true }
	for _, metric := range inOrder(d.where(results.Transmit, all, func(s results.Series) string { return s.Metric }), nil) {
		var r rows
		t := table{left: 2, columns: []string{"Variant", "Contender", "", "quartiles", "quiet rounds"}}
		for _, s := range d.order {
			if s.Suite != results.Transmit || s.Metric != metric {
				continue
			}
			sum := d.all.Summarize(s)
			t.columns[2] = s.Unit
			name := s.Scenario
			if s.Contender != results.Router {
				name += ", " + s.Contender
			}
			r.rows = append(r.rows, row{name, sum.Spread, hue(s.Contender)})
			t.rows = append(t.rows, []string{
				s.Scenario, s.Contender, digits(sum.Median), quartiles(sum.Spread, 1), fmt.Sprintf("%d of %d", sum.Quiet, sum.Rounds),
			})
		}
		t.caption = "Transmit alone: " + metric + " in " + t.columns[2] + "."
		tables = append(tables, t)
		figures = append(figures, rowFigure("transmit-"+metric, t.caption, "Transmit alone: "+metric, t.columns[2], r))
	}
	return tables, figures, nil
}
