package results

import (
	"fmt"
	"math"
	"slices"
)

// Series names what is measured again and again: all records that have it in common can be summarized together.
type Series struct {
	Suite     string `json:"suite"`     // the program that measures; see names.go for the words of this and all that follow
	Scenario  string `json:"scenario"`  // the traffic and the tables
	Contender string `json:"contender"` // who forwards
	// Placement says which CPU pays for what; empty where there is no choice. A contender that is measured to be compared
	// with others carries the placement of those, even if it makes no difference to it.
	Placement string `json:"placement,omitempty"`
	Metric    string `json:"metric"`
	Unit      string `json:"unit"`
}

// Record is one measured value.
type Record struct {
	Series
	Round int // from 1 on; values of the same round are compared with each other
	Value float64
	Quiet bool // nobody else is known to have used the CPUs
}

// Setting is something that the values depend on, in words.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Run is what one run of a program has measured. It is not for concurrent use.
type Run struct {
	Machine  Machine
	Settings []Setting
	Missing  []string // what was not measured, why, and the mend: a sentence each
	Records  []Record
}

// Add adds a record. Values that are not finite, rounds below 1 and records without a name are faults of the program.
func (r *Run) Add(rec Record) {
	s := rec.Series
	if s.Suite == "" || s.Scenario == "" || s.Contender == "" || s.Metric == "" || s.Unit == "" || rec.Round < 1 ||
		math.IsNaN(rec.Value) || math.IsInf(rec.Value, 0) {
		panic(fmt.Sprintf("results: %+v is no record: want names, a round from 1 on and a finite value", rec))
	}
	r.Records = append(r.Records, rec)
}

// All are the series, in the order in which they come first.
func (r *Run) All() []Series {
	var all []Series
	seen := map[Series]bool{}
	for _, rec := range r.Records {
		if !seen[rec.Series] {
			seen[rec.Series] = true
			all = append(all, rec.Series)
		}
	}
	return all
}

// Of are the records of a series, by rounds.
func (r *Run) Of(s Series) []Record {
	var out []Record
	for _, rec := range r.Records {
		if rec.Series == s {
			out = append(out, rec)
		}
	}
	slices.SortStableFunc(out, func(a, b Record) int { return a.Round - b.Round })
	return out
}

// Summary is what a series, or a ratio, is like.
type Summary struct {
	Spread
	Quiet  int `json:"rounds_quiet"` // rounds that had the CPUs to themselves
	Rounds int `json:"rounds"`       // in all; those used are the quiet ones or, if there are none, all
}

// Summarize is the summary of a series.
func (r *Run) Summarize(s Series) Summary {
	var values []float64
	var quiet []bool
	for _, rec := range r.Of(s) {
		values, quiet = append(values, rec.Value), append(quiet, rec.Quiet)
	}
	return summarize(values, quiet)
}

// Ratio is the summary of over / under, divided round by round; a round that only one of them has, or in which under is
// zero, does not count.
func (r *Run) Ratio(over, under Series) Summary {
	divisors := map[int]Record{}
	for _, rec := range r.Of(under) {
		divisors[rec.Round] = rec
	}
	var values []float64
	var quiet []bool
	for _, rec := range r.Of(over) {
		if d, ok := divisors[rec.Round]; ok && d.Value != 0 {
			values, quiet = append(values, rec.Value/d.Value), append(quiet, rec.Quiet && d.Quiet)
		}
	}
	return summarize(values, quiet)
}

// summarize leaves out what was disturbed, unless all was.
func summarize(values []float64, quiet []bool) Summary {
	var undisturbed []float64
	for i, v := range values {
		if quiet[i] {
			undisturbed = append(undisturbed, v)
		}
	}
	used := undisturbed
	if len(used) == 0 {
		used = values
	}
	return Summary{SpreadOf(used), len(undisturbed), len(values)}
}

// Peers are the series that s is compared with: of the same scenario, placement, metric and suite, by other contenders that
// are not the router.
func (r *Run) Peers(s Series) []Series {
	if !IsRouter(s.Contender) {
		return nil
	}
	var peers []Series
	for _, other := range r.All() {
		mine := s
		mine.Contender = other.Contender
		if other == mine && !IsRouter(other.Contender) {
			peers = append(peers, other)
		}
	}
	return peers
}

// Merge puts the records of several runs together, to be compared with each other. Machine and settings are those of the first.
// A round of a series that two of them have is an error: which one counts?
func Merge(runs ...*Run) (*Run, error) {
	type key struct {
		Series
		round int
	}
	all := &Run{}
	seen := map[key]bool{}
	for i, r := range runs {
		if i == 0 {
			all.Machine, all.Settings = r.Machine, r.Settings
		}
		for _, rec := range r.Records {
			k := key{rec.Series, rec.Round}
			if seen[k] {
				return nil, fmt.Errorf("%s, round %d: is there twice: leave one of the files out", rec.Series, rec.Round)
			}
			seen[k] = true
		}
		all.Records = append(all.Records, r.Records...)
		all.Missing = append(all.Missing, r.Missing...)
	}
	return all, nil
}
