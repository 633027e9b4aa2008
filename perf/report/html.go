package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"

	"nsrouter/perf/results"
)

//go:embed report.html
var page string

// htmlReport is one page with all in it: styles and figures too.
func (d *data) htmlReport(sections []section) ([]byte, error) {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return nil, err
	}
	type picture struct {
		Caption string
		SVG     template.HTML
	}
	type grid struct {
		Caption string
		Columns []string
		Left    int
		Rows    [][]string
	}
	type part struct {
		ID, Title string
		Pictures  []picture
		Tables    []grid
	}
	var parts []part
	for _, s := range append(sections, d.everything()) {
		p := part{ID: s.id, Title: s.title}
		for _, f := range s.figures {
			svg, err := f.svg()
			if err != nil {
				return nil, fmt.Errorf("draw %s: %w", f.name, err)
			}
			// Drawn here, with texts escaped.
			p.Pictures = append(p.Pictures, picture{f.caption, template.HTML(inline(svg))})
		}
		for _, one := range s.tables {
			p.Tables = append(p.Tables, grid{one.caption, one.columns, one.left, one.rows})
		}
		parts = append(parts, p)
	}
	hit, miss, none := counts(d.judgements())
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Machine": d.all.Machine, "Parts": parts, "Reached": hit, "Missed": miss, "NotMeasured": none,
	})
	return out.Bytes(), err
}

// everything is a table of all series, so that nothing that was measured is left out.
func (d *data) everything() section {
	t := table{
		columns: []string{
			"Suite", "Scenario", "Contender", "Placement", "Metric", "min", "p25", "median", "p75", "max", "unit", "quiet rounds",
		},
		left: 5,
	}
	for _, s := range d.order {
		sum := d.all.Summarize(s)
		line := []string{s.Suite, s.Scenario, s.Contender, s.Placement, s.Metric}
		for _, v := range []float64{sum.Min, sum.Low, sum.Median, sum.High, sum.Max} {
			line = append(line, results.Float(v))
		}
		t.rows = append(t.rows, append(line, s.Unit, fmt.Sprintf("%d of %d", sum.Quiet, sum.Rounds)))
	}
	return section{id: "everything", title: "All series", tables: []table{t}}
}
