// Command fibbench compares package fib/poptrie with other longest-prefix matches, side by side in one run: gaissmai/bart and, built
// with the tag dpdk, DPDK's rte_lpm, rte_fib and rte_fib6.
//
// In each round every contender has one turn, in random order, on one pinned thread; ratios are taken round by round. Before anything
// is measured all must give the same answers. perf/README.md says more about how to read such figures.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"nsrouter/fib/poptrie"
)

// options are the command's flags.
type options struct {
	quick          bool
	rounds         int
	family         int
	only           string
	parts          string
	out            string
	cpu, readerCPU int
	smallPages     bool
	again          bool
}

// bench is a run.
type bench struct {
	contenders []*contender
	sizes      []int // routes; zero: all
	rounds     int   // of look-ups
	fewRounds  int   // of what takes longer
	churnTime  time.Duration
	watchTime  time.Duration
	readerCPU  int
	smallPages bool
	again      bool // look-ups are of addresses that were looked up a moment before
	tty        bool
	rows       []row
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "a minute instead of a quarter of an hour: fewer tables and rounds")
	flag.IntVar(&o.rounds, "rounds", 0, "turns of each contender (default 21, with -quick 5)")
	flag.IntVar(&o.family, "family", 0, "4 or 6 (default both)")
	flag.StringVar(&o.only, "only", "", "only "+measure+" and those with one of these words, separated by commas")
	flag.StringVar(&o.parts, "parts", "", "only these parts: "+strings.Join(partNames(), ","))
	flag.StringVar(&o.out, "out", ".bin/bench-fib", "directory for results.csv and the plots")
	flag.IntVar(&o.cpu, "cpu", runtime.NumCPU()-1, "CPU to measure on")
	flag.IntVar(&o.readerCPU, "reader-cpu", 0, "CPU of the reader while tables are changed")
	flag.BoolVar(&o.smallPages, "small-pages", false, "leave the Go heap on the pages it has instead of huge ones")
	flag.BoolVar(&o.again, "again", false, "measure look-ups of addresses that were looked up a moment before, as the first probe did")
	flag.Parse()
	if err := o.check(); err != nil {
		fmt.Fprintf(os.Stderr, "fibbench: %v\n", err)
		os.Exit(1)
	}
	if err := run(&o); err != nil {
		fmt.Fprintf(os.Stderr, "fibbench: %v\n", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q: takes no arguments", flag.Arg(0))
	case o.rounds < 0:
		return fmt.Errorf("-rounds %d: want one or more", o.rounds)
	case o.family != 0 && o.family != 4 && o.family != 6:
		return fmt.Errorf("-family %d: want 4 or 6", o.family)
	case o.cpu == o.readerCPU:
		return fmt.Errorf("-cpu %d -reader-cpu %d: want two different CPUs", o.cpu, o.readerCPU)
	}
	for part := range strings.SplitSeq(o.parts, ",") {
		if o.parts != "" && !matches(strings.Join(partNames(), ","), part) {
			return fmt.Errorf("-parts %s: %q is none of %s", o.parts, part, strings.Join(partNames(), ", "))
		}
	}
	return nil
}

// part is one thing to measure, for one family and the routes of one size.
type part struct {
	name string
	run  func(*bench, poptrie.Family, []route) error
}

func parts() []part {
	return []part{
		{"lookup", (*bench).lookups}, {"build", (*bench).builds}, {"churn", (*bench).churns}, {"memory", (*bench).footprints},
	}
}

func partNames() []string {
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	return append(names, "namespaces")
}

func (o *options) bench() *bench {
	b := &bench{
		contenders: contenders(o.only), sizes: []int{10, 1000, 100_000, 0},
		rounds: 21, fewRounds: 5, churnTime: time.Second, watchTime: 500 * time.Millisecond,
		readerCPU: o.readerCPU, smallPages: o.smallPages, again: o.again, tty: term.IsTerminal(int(os.Stderr.Fd())),
	}
	if o.quick {
		b.sizes, b.rounds, b.fewRounds = []int{1000, 0}, 5, 2
		b.churnTime, b.watchTime = 300*time.Millisecond, 200*time.Millisecond
	}
	if o.rounds > 0 {
		b.rounds = o.rounds
		b.fewRounds = max(1, o.rounds/4)
	}
	return b
}

func run(o *options) error {
	v4, v6, err := readTables()
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(max(4, runtime.NumCPU())) // writer and reader spin; the garbage collector must come between
	if err := pin(o.cpu); err != nil {
		return err
	}
	stop, dpdk, err := startDPDK(o.cpu)
	if err != nil {
		return err
	}
	defer stop()
	onInterrupt(stop)
	b := o.bench()
	header := describeMachine(o, dpdk)
	fmt.Println(strings.Join(header, "\n"))
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		routes := v4
		if f == poptrie.IPv6 {
			routes = v6
		}
		if o.family != 0 && o.family != int(f) {
			continue
		}
		if err := b.family(o, f, routes); err != nil {
			return err
		}
	}
	return b.save(o.out, header)
}

// onInterrupt ends the program after a signal, once stop has run.
func onInterrupt(stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	go func() {
		<-signals
		stop()
		fmt.Fprintln(os.Stderr, "\nfibbench: interrupted: nothing was written")
		os.Exit(130)
	}()
}

// family runs the parts for one family, and prints each result when it is there.
func (b *bench) family(o *options, f poptrie.Family, routes []route) error {
	wanted := func(name string) bool { return matches(name, o.parts) }
	step := func(run func() error) error {
		from := len(b.rows)
		err := run()
		b.progress("")
		return errors.Join(err, printTables(os.Stdout, b.rows[from:]))
	}
	for _, n := range b.sizes {
		routes := sample(routes, n)
		for _, p := range parts() {
			if wanted(p.name) {
				if err := step(func() error { return p.run(b, f, routes) }); err != nil {
					return err
				}
			}
		}
	}
	if !wanted("namespaces") {
		return nil
	}
	return step(func() error { return b.small(f) })
}

// progress says on a terminal what is being done; the empty string ends it.
func (b *bench) progress(format string, args ...any) {
	if b.tty {
		fmt.Fprintf(os.Stderr, "\r\x1b[K"+format, args...)
	}
}
