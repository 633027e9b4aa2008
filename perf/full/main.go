// Command full runs all programs that measure, one after the other, each with a file for its results; then makes the report of
// them. A step that fails is told, and the others go on: what a peer that is not installed leaves unmeasured, the programs
// themselves say in their results.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// options are the command's flags.
type options struct {
	out   string
	only  string
	docs  string
	quick bool
}

func main() {
	var o options
	flag.StringVar(&o.out, "out", ".bin/bench", "`directory` for the results, and for report.html")
	flag.StringVar(&o.only, "only", "", "only these `steps`, separated by commas; results of others that are there are reported too")
	flag.StringVar(&o.docs, "docs", "", "`directory` with performance.md, to make its generated parts anew; empty: only HTML")
	flag.BoolVar(&o.quick, "quick", false, "few and short rounds, to see whether all works: their figures say little")
	flag.Parse()
	if err := run(os.Stdout, &o, steps()); err != nil {
		fmt.Fprintf(os.Stderr, "full: %v\n", err)
		os.Exit(1)
	}
}

// run runs the steps that are wanted, and then the report.
func run(w io.Writer, o *options, all []step) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("%q: takes no arguments", flag.Arg(0))
	}
	todo, err := choose(all, o.only)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o755); err != nil {
		return err
	}
	var total time.Duration
	for _, s := range todo {
		total += s.takes
	}
	if o.quick {
		fmt.Fprintf(w, "%d steps, short ones: their figures say little\n", len(todo))
	} else {
		fmt.Fprintf(w, "%d steps, about %v in all: leave the machine alone meanwhile\n", len(todo), total)
	}
	var failed []string
	left := total
	for i, s := range todo {
		fmt.Fprintf(w, "\n=== %d of %d: %s (%s)", i+1, len(todo), s.name, s.about)
		if !o.quick {
			fmt.Fprintf(w, ", about %v; %v left", s.takes, left)
		}
		fmt.Fprintln(w)
		began := time.Now()
		if err := s.run(w, o); err != nil {
			fmt.Fprintf(w, "=== %s failed: %v; the others go on\n", s.name, err)
			failed = append(failed, s.name)
			continue
		}
		fmt.Fprintf(w, "=== %s took %v\n", s.name, time.Since(began).Round(time.Second))
		left -= s.takes
	}
	if err := report(w, o, all); err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("not measured: %s; make them alone with -only %[1]s", strings.Join(failed, ","))
	}
	return nil
}

// choose finds the steps by their names, all if there are none.
func choose(all []step, names string) ([]step, error) {
	if names == "" {
		return all, nil
	}
	var chosen []step
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(s step) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only: %q is no step: want some of %s", name, stepNames(all))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func stepNames(all []step) string {
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.name
	}
	return strings.Join(names, ",")
}

func (s *step) file(dir string) string { return filepath.Join(dir, s.name+".json") }

// run runs the program. The results of an earlier run are gone if it fails: they would be taken for its own.
func (s *step) run(w io.Writer, o *options) error {
	file := s.file(o.out)
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := slices.Concat([]string{"-json", file}, s.args)
	if o.quick {
		args = append(args, s.quick...)
	}
	err := program(w, s.program, args)
	if info, statErr := os.Stat(file); err != nil && statErr == nil && info.Size() == 0 {
		return errors.Join(err, os.Remove(file)) // made before anything was measured
	}
	return err
}

// report makes the report of all results that are there.
func report(w io.Writer, o *options, all []step) error {
	var files []string
	for _, s := range all {
		if _, err := os.Stat(s.file(o.out)); err == nil {
			files = append(files, s.file(o.out))
		}
	}
	if len(files) == 0 {
		return errors.New("nothing was measured, so there is no report")
	}
	args := []string{"-html", filepath.Join(o.out, "report.html")}
	if o.docs != "" {
		args = append(args, "-docs", o.docs)
	}
	fmt.Fprintln(w)
	return program(w, "report", append(args, files...))
}

// program builds a program below perf and runs it. (go run would hide its exit, and stay between it and signals.)
func program(w io.Writer, name string, args []string) error {
	dir, err := os.MkdirTemp("", "nsrouter-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, name)
	build := exec.Command("go", "build", "-o", binary, "nsrouter/perf/"+name)
	build.Stdout, build.Stderr = w, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("build perf/%s: %w", name, err)
	}
	cmd := exec.Command(binary, args...)
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("perf/%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}
