package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/results"
)

// row is one result.
type row struct {
	section   string // what was measured: lookup, build, churn, latency, memory, namespaces
	family    poptrie.Family
	prefixes  int
	stream    string // of look-ups
	contender string
	metric    string
	unit      string
	results.Spread
}

func (b *bench) add(r row, metric, unit string, s results.Spread) {
	r.metric, r.unit, r.Spread = metric, unit, s
	b.rows = append(b.rows, r)
}

// csv are the names of the columns of the CSV, and all rows.
func csv(rows []row) (columns []string, records [][]string) {
	for _, r := range rows {
		records = append(records, []string{
			r.section, r.family.String(), strconv.Itoa(r.prefixes), r.stream, r.contender, r.metric, r.unit,
			results.Float(r.Median), results.Float(r.Low), results.Float(r.High), strconv.Itoa(r.N),
		})
	}
	return strings.Split("section,family,prefixes,stream,contender,metric,unit,median,p25,p75,samples", ","), records
}

// save writes the CSV and the plots.
func (b *bench) save(dir string, header []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(dir, "results.csv")
	columns, records := csv(b.rows)
	if err := results.SaveTable(path, header, columns, records); err != nil {
		return err
	}
	plots, err := savePlots(dir, b.rows)
	if err != nil {
		return err
	}
	fmt.Println("\nwritten:", strings.Join(append([]string{path}, plots...), " "))
	return nil
}

// caption says what the columns of a section are.
func caption(section string) string {
	switch section {
	case "lookup":
		return "look-ups in batches of 256 (U uniform, R under a random prefix, Z Zipf): median (quartiles)"
	case "rivals":
		return "look-ups, ours as compared with DPDK's: median (quartiles)"
	case "build":
		return "building a table: median (quartiles)"
	case "churn":
		return "changes with a reader on the other CPU: median (quartiles)"
	case "latency":
		return "us until that reader sees a change (undisturbed: while neither lost its CPU), and until the call returns"
	case "memory":
		return "memory: what look-ups read, and all that the table takes (DPDK's is set up for a million routes)"
	case "namespaces":
		return fmt.Sprintf("%d namespaces of ten routes, in batches of %d: median (quartiles)", namespaces, burst)
	}
	return section
}

// printTables prints rows as tables, one for each section, family and number of prefixes: a line for each contender.
func printTables(w io.Writer, rows []row) error {
	for len(rows) > 0 {
		first := rows[0]
		same := func(r row) bool {
			return r.section == first.section && r.family == first.family && r.prefixes == first.prefixes
		}
		var group, rest []row
		for _, r := range rows {
			if same(r) {
				group = append(group, r)
			} else {
				rest = append(rest, r)
			}
		}
		fmt.Fprintf(w, "\n%v, %d routes: %s\n", first.family, first.prefixes, caption(first.section))
		if err := printTable(w, group); err != nil {
			return err
		}
		rows = rest
	}
	return nil
}

// printTable prints a line for each contender and a column for each stream and metric, in the order in which they come.
func printTable(w io.Writer, rows []row) error {
	var columns, lines []string
	cells := map[[2]string]string{}
	for _, r := range rows {
		if !slices.Contains(columns, r.column()) {
			columns = append(columns, r.column())
		}
		if !slices.Contains(lines, r.contender) {
			lines = append(lines, r.contender)
		}
		cells[[2]string{r.contender, r.column()}] = r.cell()
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	const name = "%-20s"
	fmt.Fprintf(t, name, "")
	for _, c := range columns {
		fmt.Fprint(t, "\t", c)
	}
	fmt.Fprintln(t, "\t")
	for _, line := range lines {
		fmt.Fprintf(t, name, line)
		for _, c := range columns {
			fmt.Fprint(t, "\t", cells[[2]string{line, c}])
		}
		fmt.Fprintln(t, "\t")
	}
	return t.Flush()
}

// column is the title of the column that the row stands in.
func (r row) column() string {
	switch {
	case r.stream != "":
		return r.stream + " " + r.unit
	case r.section == "latency" || r.unit == "" || r.unit == "bytes":
		return r.metric
	}
	return r.metric + ", " + r.unit
}

// cell is the row's value in print.
func (r row) cell() string {
	if r.unit == "bytes" {
		return size(r.Median)
	}
	if r.N == 1 || r.section == "latency" {
		return number(r.Median)
	}
	return fmt.Sprintf("%s (%s-%s)", number(r.Median), number(r.Low), number(r.High))
}

// number prints three digits, or all of a larger number's before the point.
func number(v float64) string {
	switch {
	case v >= 100 || v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// size prints bytes.
func size(v float64) string {
	switch {
	case v >= 1<<20:
		return number(v/(1<<20)) + " MiB"
	case v >= 1<<10:
		return number(v/(1<<10)) + " KiB"
	}
	return number(v) + " B"
}
