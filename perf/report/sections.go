package main

import (
	"fmt"
	"strings"

	"nsrouter/perf/results"
)

// section is a part of the report that is made of the results; the same in HTML and in the documentation.
type section struct {
	id, title string
	tables    []table
	figures   []figure
}

// table has its first columns to the left, and the others, which are numbers, to the right.
type table struct {
	caption string
	columns []string
	left    int
	rows    [][]string
}

// builders are all sections, in the order of the report. To add one, add it here and its markers to docs/performance.md.
func (d *data) builders() []struct {
	id, title string
	build     func() ([]table, []figure, error)
} {
	type list = []struct {
		id, title string
		build     func() ([]table, []figure, error)
	}
	return list{
		{"machine", "Machine and settings", d.machineSection},
		{"targets", "Targets, and what was reached", d.targetSection},
		{"throughput", "Throughput between veths", d.throughputSection},
		{"no-drop-rate", "The highest rate without loss", d.noDropSection},
		{"overload", "Overload", d.overloadSection},
		{"latency", "Latency", d.latencySection},
		{"changes", "Changes of routes while forwarding", d.changesSection},
		{"idle", "Idle", d.idleSection},
		{"pipeline", "The pipeline in memory", d.pipelineSection},
		{"transmit", "Transmit alone", d.transmitSection},
	}
}

// sections are all, whether there is anything in them or not.
func (d *data) sections() ([]section, error) {
	var all []section
	for _, b := range d.builders() {
		tables, figures, err := b.build()
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", b.id, err)
		}
		all = append(all, section{b.id, b.title, tables, figures})
	}
	return all, nil
}

// machineSection has a table for each run: it may have been made at another time, and of another commit.
func (d *data) machineSection() ([]table, []figure, error) {
	var tables []table
	for _, r := range d.runs {
		m := r.Machine
		t := table{columns: []string{"", ""}, left: 2, caption: "Of " + suites(r)}
		t.rows = [][]string{
			{"machine", fmt.Sprintf("%s, %d CPUs", m.CPU, m.CPUs)},
			{"kernel", "Linux " + m.Kernel},
			{"built with", m.Go + " " + m.Platform},
			{"commit", m.Commit},
			{"when", fmt.Sprintf("%s, load average before %s", m.Time.Format("2006-01-02 15:04 MST"), m.Load)},
		}
		for _, s := range r.Settings {
			t.rows = append(t.rows, []string{s.Name, s.Value})
		}
		for _, missing := range r.Missing {
			t.rows = append(t.rows, []string{"not measured", missing})
		}
		tables = append(tables, t)
	}
	return tables, nil, nil
}

// suites are those of a run, with the scenarios if there is one only.
func suites(r *results.Run) string {
	var names []string
	for _, s := range r.All() {
		names = append(names, s.Suite)
	}
	if len(names) == 0 {
		return "a run that measured nothing"
	}
	return strings.Join(inOrder(names, nil), ", ")
}

// throughputSection compares what is delivered at all that the source offers.
func (d *data) throughputSection() ([]table, []figure, error) {
	return d.compared("throughput", results.Bench, results.Throughput, "Packets delivered per second at all that the source offers")
}

func (d *data) noDropSection() ([]table, []figure, error) {
	return d.compared("no-drop-rate", results.Bench, results.NoDropRate, "The highest rate offered at which no packet is lost")
}

// compared has a table and a figure for each placement: contenders by scenarios, with the router's ratio to each peer.
func (d *data) compared(name, suite, metric, caption string) (tables []table, figures []figure, err error) {
	for _, placement := range d.placements(suite, is(metric)) {
		title, file := caption, name
		if placement != "" {
			title, file = caption+", "+placement, name+"-"+placement
		}
		t := table{
			caption: title + ".", left: 2,
			columns: []string{"Traffic", "Contender", "Mpps", "quartiles", "nsrouter / it", "quartiles", "quiet rounds"},
		}
		b := bars{scale: 1e6}
		for _, scenario := range d.scenarios(suite, is(metric)) {
			group := barGroup{name: twoLines(scenarioWords(scenario))}
			for _, contender := range d.contenders(suite, is(metric)) {
				s := results.Series{Suite: suite, Scenario: scenario, Contender: contender, Placement: placement, Metric: metric}
				sum, ok := d.summary(s)
				if !ok {
					continue
				}
				group.bars = append(group.bars, bar{contender, sum.Spread})
				t.rows = append(t.rows, d.compare(s, sum))
			}
			if len(group.bars) > 0 {
				b.groups = append(b.groups, group)
			}
		}
		tables = append(tables, t)
		about := title + ": median, and whiskers from quartile to quartile."
		figures = append(figures, barFigure(file, about, title, "million packets/s", b))
	}
	return tables, figures, nil
}

// compare is the line of a contender: what it did, and the router's ratio to it.
func (d *data) compare(s results.Series, sum results.Summary) []string {
	line := []string{
		scenarioWords(s.Scenario), contenderWords(s.Contender), digits(sum.Median / 1e6), quartiles(sum.Spread, 1e6), "", "",
		fmt.Sprintf("%d of %d", sum.Quiet, sum.Rounds),
	}
	ours := s
	ours.Contender = results.Router
	if ratio, ok := d.ratio(ours, s); ok && s.Contender != results.Router {
		line[4], line[5] = digits(ratio.Median), quartiles(ratio.Spread, 1)
	}
	return line
}

// idleSection and changesSection list values.
func (d *data) idleSection() ([]table, []figure, error) {
	return d.values(results.Bench, results.IdleCPU, results.FirstPacket), nil, nil
}

func (d *data) changesSection() ([]table, []figure, error) {
	return d.values(results.Bench, results.SteadyLost, results.ReloadLost, results.ChurnLost, results.ReloadBlock, results.ChurnBlock,
		results.SteadyTail, results.ReloadTail, results.ChurnTail, results.ChurnRate), nil, nil
}

// metricWords say what is plain in no name.
func metricWords(metric string) string {
	switch metric {
	case results.IdleCPU:
		return "CPU time while idle"
	case results.FirstPacket:
		return "latency of the first packet after idling, worst of a round"
	case results.SteadyLost:
		return "lost while nothing changes"
	case results.ReloadLost:
		return "lost while the full table is loaded anew"
	case results.ChurnLost:
		return "lost while routes change"
	case results.ReloadBlock:
		return "effective blocked time, table loaded anew"
	case results.ChurnBlock:
		return "effective blocked time, routes change"
	case results.SteadyTail:
		return "latency p99.9 while nothing changes"
	case results.ReloadTail:
		return "latency p99.9 while the table is loaded anew"
	case results.ChurnTail:
		return "latency p99.9 while routes change"
	case results.ChurnRate:
		return "changes made"
	}
	return metric
}

// values is a table of the series that have one of the metrics, in their order.
func (d *data) values(suite string, metrics ...string) []table {
	t := table{
		columns: []string{"What", "Traffic", "Contender", "Placement", "median", "quartiles", "most", "unit", "quiet rounds"}, left: 4,
	}
	for _, metric := range metrics {
		for _, s := range d.order {
			if s.Suite != suite || s.Metric != metric {
				continue
			}
			sum := d.all.Summarize(s)
			t.rows = append(t.rows, []string{
				metricWords(metric), scenarioWords(s.Scenario), contenderWords(s.Contender), s.Placement,
				digits(sum.Median), quartiles(sum.Spread, 1), digits(sum.Max), s.Unit, fmt.Sprintf("%d of %d", sum.Quiet, sum.Rounds),
			})
		}
	}
	if len(t.rows) == 0 {
		return nil
	}
	return []table{t}
}
