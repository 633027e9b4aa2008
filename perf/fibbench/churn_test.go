package main

import (
	"net/netip"
	"testing"
	"time"

	"nsrouter/fib/poptrie"
)

func TestJudge(t *testing.T) {
	a := addrOf(netip.MustParseAddr("10.1.2.3"))
	own := func(bits int, version uint32) poptrie.ID { return tag(firstBits(a, bits), bits, version) }
	foreign := tag(addrOf(netip.MustParseAddr("11.0.0.0")), 8, 0)
	for _, c := range []struct {
		name      string
		permanent int
		id        poptrie.ID
		want      bool
	}{
		{"nothing, rightly", 0, 0, true},
		{"nothing, although a prefix is permanent", 8, 0, false},
		{"the permanent one", 8, own(8, 0), true},
		{"another version of the permanent one", 8, own(8, 1), false},
		{"a longer one", 8, own(24, 0), true},
		{"its other version", 8, own(24, 1), true},
		{"a shorter one", 16, own(8, 0), false},
		{"any, without a permanent one", 0, own(8, 1), true},
		{"another prefix of a possible length", 0, foreign, false},
		{"a host route", 8, own(32, 1), true},
	} {
		if judge(a, c.permanent, c.id) != c.want {
			t.Errorf("%s: id %d, judged %v", c.name, c.id, !c.want)
		}
	}
}

func TestTags(t *testing.T) {
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		hits, n := 0, 0
		keys := uniform.draw(f, nil, 2000)
		for i, k := range keys {
			for bits := 1; bits <= netipAddr(f, k).BitLen(); bits++ {
				id := tag(firstBits(k, bits), bits, 1)
				if id == 0 || id > 1<<16-1 || int(id>>8) != bits || id&1 != 1 {
					t.Fatalf("tag %x for %d bits of %v", id, bits, k)
				}
				if other := keys[(i+1)%len(keys)]; firstBits(other, bits) != firstBits(k, bits) {
					n++
					if judge(other, 0, id) {
						hits++
					}
				}
			}
		}
		if share := float64(hits) / float64(n); share > 1.5/128 {
			t.Errorf("%v: %.4f of the wrong prefixes pass, want 1 in 128", f, share)
		}
	}
}

// liar is a table that gives a wrong answer now and then.
type liar struct {
	table
	n int
}

func (l *liar) look(q *queries, from, to int, ids []poptrie.ID) {
	l.table.look(q, from, to, ids)
	if l.n++; l.n%64 == 0 {
		ids[3] ^= 1 << 5
	}
}

func TestChurnFindsWrongAnswers(t *testing.T) {
	a := newArena(poptrie.IPv4, someRoutes(poptrie.IPv4, 500))
	c := contenders("poptrie")[0]
	for _, lies := range []bool{false, true} {
		tbl, err := c.build(a.family, a.tagged, false)
		if err != nil {
			t.Fatal(err)
		}
		defer tbl.close()
		e := entrant{c, tbl}
		if lies {
			e.table = &liar{table: tbl}
		}
		x := a.churn(e)
		if err := new(bench).beside(x.read, func() { x.rate(50 * time.Millisecond) }); err != nil {
			t.Fatal(err)
		}
		if wrong := x.settle(a); (wrong > 0) != lies {
			t.Errorf("lies %v: %d wrong answers afterwards", lies, wrong)
		}
		if x.judged.Load() == 0 || x.failed > 0 || (x.wrong.Load() > 0) != lies {
			t.Errorf("lies %v: %d wrong of %d, %d changes failed", lies, x.wrong.Load(), x.judged.Load(), x.failed)
		}
	}
}

// TestTargets checks that a target's answer is its prefix's as long as that is there.
func TestTargets(t *testing.T) {
	for _, f := range []poptrie.Family{poptrie.IPv4, poptrie.IPv6} {
		a := newArena(f, someRoutes(f, 500))
		full := newBart(a.tagged, lookTable)
		ids := make([]poptrie.ID, batch)
		targets := a.targets()
		for _, x := range targets {
			full.look(a.queries, x.key, x.key+1, ids)
			if ids[0] != a.changing[x.at].id {
				t.Fatalf("%v leads to %d, not to %v", a.queries.addrs[x.key], ids[0], a.changing[x.at])
			}
		}
		if len(targets) < len(a.changing)/2 {
			t.Errorf("%v: %d targets for %d prefixes", f, len(targets), len(a.changing))
		}
	}
}

func TestCheckFindsDifferences(t *testing.T) {
	routes := someRoutes(poptrie.IPv6, 300)
	list := []entrant{
		{contenders("none")[0], newBart(routes, lookFast)},
		{contenders("bart.Table")[1], newBart(routes, lookTable)},
	}
	if err := check(poptrie.IPv6, routes, list); err != nil {
		t.Error(err)
	}
	list[1].table = newBart(routes[1:], lookTable)
	if err := check(poptrie.IPv6, routes, list); err == nil {
		t.Error("a missing route was not noticed")
	}
}
