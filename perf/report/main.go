// Command report makes of the files that the programs that measure have written one HTML page with plots, and the generated
// parts of docs/performance.md.
//
//	report -html report.html RESULTS.json...
//	report -docs docs RESULTS.json...     writes docs/performance/results.json too, and the figures beside it
//
// What the words in the files mean is said in perf/results, what shall be reached in targets.go.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	html := flag.String("html", "", "`file` for the report as one HTML page")
	docs := flag.String("docs", "", "`directory` with performance.md: its generated parts, figures and results are made anew")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: report [-html FILE] [-docs DIRECTORY] RESULTS.json...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*html, *docs, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "report: %v\n", err)
		os.Exit(1)
	}
}

func run(html, docs string, files []string) error {
	if len(files) == 0 || html == "" && docs == "" {
		return fmt.Errorf("want files of results, and -html or -docs (make bench-full makes both)")
	}
	d, err := read(files)
	if err != nil {
		return err
	}
	sections, err := d.sections()
	if err != nil {
		return err
	}
	if docs != "" {
		if err := d.saveDocs(docs, sections); err != nil {
			return err
		}
	}
	if html != "" {
		text, err := d.htmlReport(sections)
		if err != nil {
			return err
		}
		if err := os.WriteFile(html, text, 0o644); err != nil {
			return err
		}
		fmt.Println("written:", html)
	}
	hit, miss, none := counts(d.judgements())
	fmt.Printf("targets: %d reached, %d missed, %d not measured\n", hit, miss, none)
	for _, j := range d.judgements() {
		if j.verdict == missed {
			fmt.Printf("  missed: %s: %s, want %s\n", j.figureName(), j.value(), j.goal())
		}
	}
	return nil
}
