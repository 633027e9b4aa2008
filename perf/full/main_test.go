package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGoesOn runs a program that cannot, then one that can: the report, of results that are there.
func TestGoesOn(t *testing.T) {
	dir := t.TempDir()
	all := []step{
		{name: "broken", program: "report", args: []string{"-no-such-flag"}, takes: 2 * time.Minute},
		{name: "missing", program: "none", takes: time.Minute},
		{name: "kept", takes: time.Hour},
	}
	const results = `{"machine":{"cpu":"a cpu","time":"2026-12-01T00:00:00Z"},"settings":[],"series":[],"missing":["all"]}`
	for _, name := range []string{"broken", "kept"} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(results), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	err := run(&out, &options{out: dir, only: "broken,missing"}, all)
	if err == nil || !strings.Contains(err.Error(), "not measured: broken,missing") {
		t.Errorf("%v", err)
	}
	for _, want := range []string{
		"2 steps, about 3m0s", "=== 2 of 2: missing", "broken failed: perf/report -json", "missing failed: build perf/none",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "broken.json")); err == nil {
		t.Error("the results of an earlier run are left where a step failed")
	}
	if page, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || !strings.Contains(string(page), "a cpu") {
		t.Errorf("no report of the results that were kept: %v", err)
	}
}

// TestSteps checks that every step is a program that is there, and has a name of its own.
func TestSteps(t *testing.T) {
	names := map[string]bool{}
	for _, s := range steps() {
		_, err := os.Stat(filepath.Join("..", s.program, "main.go"))
		if err != nil || names[s.name] || s.takes <= 0 || len(s.quick) == 0 {
			t.Errorf("%+v: %v", s, err)
		}
		names[s.name] = true
	}
	_, err := choose(steps(), "pipeline,nothing")
	if err == nil || !strings.Contains(err.Error(), `"nothing" is no step: want some of pipeline,`) {
		t.Errorf("%v", err)
	}
	if chosen, err := choose(steps(), "namespaces,pipeline"); err != nil || len(chosen) != 2 || chosen[0].name != "namespaces" {
		t.Errorf("%v, %v", chosen, err)
	}
}
