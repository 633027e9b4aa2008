package e2e

import (
	"cmp"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/corpus"
)

var (
	referenceSeed  = flag.Uint64("reference.seed", 1, "seed of the random packets of TestReference")
	referenceShow  = flag.Int("reference.show", 30, "kinds of differences to print")
	referenceCount = flag.Int("reference.count", 5000,
		"random packets, and as many mutations, for each of IPv4 and IPv6")
)

// TestReference sends the corpus to both routers and compares all that comes out.
func TestReference(t *testing.T) {
	r := newReference(t)
	rnd := rand.New(rand.NewPCG(*referenceSeed, 1))
	var probes []corpus.Probe
	for _, v6 := range []bool{false, true} {
		family := append(corpus.Hand(v6), corpus.Pairs(v6)...)
		random := corpus.Random(rnd, v6, *referenceCount)
		family = append(append(family, random...), corpus.Mutations(rnd, append(family, random...), *referenceCount)...)
		if len(family) < 5000 {
			t.Errorf("only %d packets of IPv6=%v", len(family), v6)
		}
		probes = append(probes, family...)
	}
	t.Logf("seed %d", *referenceSeed)
	p := newPermits()
	first, bad := r.compare(probes, p)
	r.report(bad)
	if *referenceSeed == 1 { // other packets may need none of one
		p.check(t)
	}
	forwarded, answered := kernelSent(first)
	t.Logf("the kernel forwarded %d and answered %d", forwarded, answered)
	if forwarded < 1000 || answered < 1000 {
		t.Error("the reference itself does too little to compare with")
	}
	r.lossless()
	r.conserved()
}

// compare sends probes to both routers, those with differences once more and alone, and returns what both did, and the
// differences that are not permitted.
func (r *reference) compare(probes []corpus.Probe, p permits) (first, bad []outcome) {
	r.t.Helper()
	start := time.Now()
	first = r.run(probes, false)
	r.settle(first)
	second := r.run(suspects(first), true)
	r.settle(second)
	n := 0
	for i := range second {
		if o := &second[i]; !o.same() {
			if n++; !p.permit(o) {
				bad = append(bad, *o)
			}
		}
	}
	r.t.Logf("%d probes in %v: %d looked at alone, %d differ, %d of them as is known", len(probes),
		time.Since(start).Round(time.Millisecond), len(second), n, n-len(bad))
	return first, bad
}

// lossless fails the test if this router has not met all that was sent to it, or has lost some of it for a lack of
// room: then a difference means nothing.
func (r *reference) lossless() {
	r.t.Helper()
	l := r.link("init", "p1")
	if l.Stats.Rx.Packets != r.frames {
		r.t.Errorf("%d frames were sent, the router has seen %d", r.frames, l.Stats.Rx.Packets)
	}
	for _, why := range []string{"tx-full", "no-frame", "handoff-full", "egress-down", "neighbor-table-full",
		"rate-limited"} {
		if n := l.Drops[why]; n != 0 {
			r.t.Errorf("%d drops: %s", n, why)
		}
	}
}

// suspects are the probes with a difference, or with frames in their window that nobody can say the cause of.
func suspects(out []outcome) []corpus.Probe {
	var again []corpus.Probe
	for i := range out {
		if out[i].stray || !out[i].same() {
			again = append(again, out[i].probe)
		}
	}
	return again
}

// kernelSent is what the reference sent by port 2 and by port 1.
func kernelSent(out []outcome) (forwarded, answered int) {
	for i := range out {
		for _, x := range out[i].sent[kernels] {
			if x.port == 2 {
				forwarded++
			} else {
				answered++
			}
		}
	}
	return forwarded, answered
}

// report fails the test for the differences that are not permitted: shrunk to what matters, each kind once, the most
// frequent first.
func (r *reference) report(bad []outcome) {
	r.t.Helper()
	kinds := make(map[string]int)
	example := make(map[string]*outcome)
	deadline := time.Now().Add(30 * time.Second)
	for i := range bad {
		o := &bad[i]
		if time.Now().Before(deadline) {
			o = r.shrink(*o)
		}
		name := o.probe.Name()
		kinds[name]++
		example[name] = o
	}
	names := slices.SortedFunc(maps.Keys(kinds), func(a, b string) int {
		return cmp.Or(kinds[b]-kinds[a], strings.Compare(a, b))
	})
	for i, name := range names {
		if i == *referenceShow {
			r.t.Errorf("and %d more kinds", len(names)-i)
			break
		}
		r.t.Errorf("%d of this kind: %s", kinds[name], example[name].describe())
	}
}

// shrink leaves out edits of a probe as long as the routers differ about it.
func (r *reference) shrink(o outcome) *outcome {
	for i := 0; i < len(o.probe.Edits); {
		less := r.run([]corpus.Probe{o.probe.Without(i)}, true)[0]
		if less.same() || newPermits().permit(&less) {
			i++
			continue
		}
		o = less
	}
	return &o
}
