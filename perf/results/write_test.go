package results

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestSaveTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	records := [][]string{{`a "b", c`, Float(67_108_864)}, {"", Float(1.25)}}
	if err := SaveTable(path, []string{"a machine, with a comma", `and "quotes"`}, []string{"name", "value"}, records); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comment = '#'
	got, err := r.ReadAll()
	want := [][]string{{"name", "value"}, {`a "b", c`, "6.71089e+07"}, {"", "1.25"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read back %q, %v", got, err)
	}
}

// TestWritable checks that the file is there afterwards, and that what it held is not lost.
func TestWritable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.json")
	for range 2 {
		if err := Writable(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Writable(path); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "kept" {
		t.Errorf("%q, %v", text, err)
	}
	for _, bad := range []string{dir, filepath.Join(dir, "none", "x.json"), ""} {
		if err := Writable(bad); err == nil {
			t.Errorf("%q can be written", bad)
		}
	}
}

func TestMachine(t *testing.T) {
	m := Here()
	if m.Kernel == "" || m.CPU == "" || m.CPUs != runtime.NumCPU() || m.Commit == unknown || m.Load == unknown {
		t.Errorf("%+v", m)
	}
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var back Machine
	if err := json.Unmarshal(text, &back); err != nil || back != m {
		t.Errorf("%s is read as %+v, %v", text, back, err)
	}
	for _, want := range []string{m.CPU, m.Kernel, m.Commit, m.Load} {
		if !slices.ContainsFunc(m.Lines(), func(line string) bool { return strings.Contains(line, want) }) {
			t.Errorf("%q is not in %q", want, m.Lines())
		}
	}
}
