package main

import (
	"fmt"

	"nsrouter/perf/results"
)

// data are the results of all files, to be asked by names.
type data struct {
	runs  []*results.Run
	all   *results.Run
	units map[results.Series]string // the series without their units
	order []results.Series
}

// read reads files of results.
func read(paths []string) (*data, error) {
	d := &data{}
	for _, path := range paths {
		runs, err := results.ReadJSON(path)
		if err != nil {
			return nil, err
		}
		d.runs = append(d.runs, runs...)
	}
	return newData(d.runs)
}

func newData(runs []*results.Run) (*data, error) {
	all, err := results.Merge(runs...)
	if err != nil {
		return nil, err
	}
	d := &data{runs: runs, all: all, units: map[results.Series]string{}, order: all.All()}
	for _, s := range d.order {
		unit := s.Unit
		s.Unit = ""
		if other, ok := d.units[s]; ok {
			return nil, fmt.Errorf("%s: is in %s and in %s: one of the programs names it wrongly", s, other, unit)
		}
		d.units[s] = unit
	}
	return d, nil
}

// find completes a series by its unit; ok is whether it was measured.
func (d *data) find(s results.Series) (found results.Series, ok bool) {
	s.Unit = ""
	unit, ok := d.units[s]
	s.Unit = unit
	return s, ok
}

// summary is that of a series, however it is in units.
func (d *data) summary(s results.Series) (sum results.Summary, ok bool) {
	s, ok = d.find(s)
	if !ok {
		return sum, false
	}
	return d.all.Summarize(s), true
}

// ratio is that of two series, if both were measured in the same rounds.
func (d *data) ratio(over, under results.Series) (sum results.Summary, ok bool) {
	over, ok = d.find(over)
	under, okay := d.find(under)
	if !ok || !okay {
		return sum, false
	}
	sum = d.all.Ratio(over, under)
	return sum, sum.N > 0
}

// where are the values that part has in the series of a suite that have one of the metrics wanted.
func (d *data) where(suite string, wanted func(metric string) bool, part func(results.Series) string) []string {
	var out []string
	for _, s := range d.order {
		if s.Suite == suite && wanted(s.Metric) {
			out = append(out, part(s))
		}
	}
	return out
}

func (d *data) placements(suite string, wanted func(metric string) bool) []string {
	return inOrder(d.where(suite, wanted, func(s results.Series) string { return s.Placement }),
		[]string{results.AllOnOne, results.ReceiveApart})
}

func (d *data) scenarios(suite string, wanted func(metric string) bool) []string {
	return inOrder(d.where(suite, wanted, func(s results.Series) string { return s.Scenario }), knownScenarios())
}

func (d *data) contenders(suite string, wanted func(metric string) bool) []string {
	return inOrder(d.where(suite, wanted, func(s results.Series) string { return s.Contender }), knownContenders())
}

// is wants one metric.
func is(metric string) func(string) bool { return func(m string) bool { return m == metric } }
