package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// file is a Run as JSON: the records of a series stand together, a line each, so that files stay small and differences readable.
type file struct {
	Machine  Machine   `json:"machine"`
	Settings []Setting `json:"settings"`
	Missing  []string  `json:"missing,omitempty"`
	Series   []rounds  `json:"series"`
}

// rounds are all records of a series. The summary is for readers of the file: it is not read back.
type rounds struct {
	Series
	Rounds  []int     `json:"rounds"`
	Values  []float64 `json:"values"`
	Quiet   []bool    `json:"quiet"`
	Summary *Summary  `json:"summary,omitempty"`
}

// quotient is a ratio, for readers of the file too.
type quotient struct {
	Series
	Peer    string  `json:"peer"`
	Summary Summary `json:"summary"`
}

// JSON is the run as a file: an object.
func (r *Run) JSON() ([]byte, error) {
	settings := r.Settings
	if settings == nil {
		settings = []Setting{}
	}
	head, err := json.MarshalIndent(file{Machine: r.Machine, Settings: settings, Missing: r.Missing}, "", "  ")
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(bytes.TrimSuffix(head, []byte("null\n}"))) // the series come a line each
	var series, ratios []any
	for _, s := range r.All() {
		one := rounds{Series: s, Summary: new(r.Summarize(s).rounded())}
		for _, rec := range r.Of(s) {
			one.Rounds, one.Values = append(one.Rounds, rec.Round), append(one.Values, sixDigits(rec.Value))
			one.Quiet = append(one.Quiet, rec.Quiet)
		}
		series = append(series, one)
		for _, peer := range r.Peers(s) {
			of := s
			of.Unit = RatioUnit
			ratios = append(ratios, quotient{of, peer.Contender, r.Ratio(s, peer).rounded()})
		}
	}
	if err := writeLines(out, series); err != nil {
		return nil, err
	}
	out.WriteString(",\n  \"ratios\": ")
	if err := writeLines(out, ratios); err != nil {
		return nil, err
	}
	out.WriteString("\n}\n")
	return out.Bytes(), nil
}

// writeLines writes a JSON array with a line for each element.
func writeLines(out *bytes.Buffer, elements []any) error {
	out.WriteByte('[')
	for i, e := range elements {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n    ")
		out.Write(line)
	}
	out.WriteString("\n  ]")
	return nil
}

// sixDigits is what is kept of a value in a file.
func sixDigits(v float64) float64 {
	short, _ := strconv.ParseFloat(Float(v), 64) // reads what Float writes
	return short
}

func (s Summary) rounded() Summary {
	for _, v := range []*float64{&s.Min, &s.Low, &s.Median, &s.High, &s.Max} {
		*v = sixDigits(*v)
	}
	return s
}

// SaveJSON writes runs to a file: one as an object, several as an array.
func SaveJSON(path string, runs ...*Run) error {
	texts := make([][]byte, len(runs))
	for i, r := range runs {
		text, err := r.JSON()
		if err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		texts[i] = text
	}
	all := bytes.Join(texts, []byte(","))
	if len(runs) != 1 {
		all = slices.Concat([]byte("["), all, []byte("]\n"))
	}
	return os.WriteFile(path, all, 0o644)
}

// ReadJSON reads all runs of a file that SaveJSON has written.
func ReadJSON(path string) ([]*Run, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	runs, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s is no file of results: %w", path, err)
	}
	return runs, nil
}

func parse(text []byte) ([]*Run, error) {
	var files []file
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		if err := json.Unmarshal(text, &files); err != nil {
			return nil, err
		}
	} else {
		files = make([]file, 1)
		if err := json.Unmarshal(text, &files[0]); err != nil {
			return nil, err
		}
	}
	var runs []*Run
	for _, f := range files {
		r, err := f.run()
		if err != nil {
			return nil, err
		}
		runs = append(runs, r)
	}
	return runs, nil
}

func (f *file) run() (*Run, error) {
	if f.Series == nil { // there, but empty: a run in which nothing could be measured
		return nil, errors.New("it has no series")
	}
	r := &Run{Machine: f.Machine, Settings: f.Settings, Missing: f.Missing}
	for _, s := range f.Series {
		if len(s.Values) != len(s.Rounds) || len(s.Quiet) != len(s.Rounds) {
			return nil, fmt.Errorf("%s: %d rounds, %d values, %d marks whether they were quiet: want as many of each",
				s.Series, len(s.Rounds), len(s.Values), len(s.Quiet))
		}
		for i := range s.Rounds {
			r.Records = append(r.Records, Record{s.Series, s.Rounds[i], s.Values[i], s.Quiet[i]})
		}
	}
	return r, nil
}

// String names a series in messages.
func (s Series) String() string {
	words := []string{s.Suite, s.Scenario, s.Contender, s.Placement, s.Metric}
	if s.Placement == "" {
		words = append(words[:3], s.Metric)
	}
	return strings.Join(words, " ")
}

// header is what the CSV has of machine and settings, as comments.
func (r *Run) header() []string {
	lines := r.Machine.Lines()
	for _, s := range r.Settings {
		lines = append(lines, s.Name+": "+s.Value)
	}
	for _, m := range r.Missing {
		lines = append(lines, "not measured: "+m)
	}
	return lines
}

// SaveCSV writes the run to a file with one value a record, machine and settings as comments. Records with "round" in the column
// statistic are measurements; the others are summaries, and of the unit ratio those of the router to each peer.
func (r *Run) SaveCSV(path string) error {
	columns, records := r.csv()
	return SaveTable(path, r.header(), columns, records)
}

func (r *Run) csv() (columns []string, records [][]string) {
	add := func(s Series, statistic, round, quiet string, value float64) {
		records = append(records, []string{
			s.Suite, s.Scenario, s.Contender, s.Placement, s.Metric, s.Unit, statistic, round, quiet, Float(value),
		})
	}
	summary := func(s Series, sum Summary) {
		add(s, "min", "", "", sum.Min)
		add(s, "p25", "", "", sum.Low)
		add(s, "median", "", "", sum.Median)
		add(s, "p75", "", "", sum.High)
		add(s, "max", "", "", sum.Max)
	}
	for _, rec := range r.Records {
		add(rec.Series, "round", strconv.Itoa(rec.Round), strconv.FormatBool(rec.Quiet), rec.Value)
	}
	for _, s := range r.All() {
		summary(s, r.Summarize(s))
		for _, peer := range r.Peers(s) {
			ratio := s
			ratio.Contender, ratio.Unit = s.Contender+" / "+peer.Contender, RatioUnit
			summary(ratio, r.Ratio(s, peer))
		}
	}
	return strings.Split("suite,scenario,contender,placement,metric,unit,statistic,round,quiet,value", ","), records
}
