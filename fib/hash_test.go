package fib

import "testing"

// TestHashPolicy: what of a flow counts under each policy.
func TestHashPolicy(t *testing.T) {
	base := Flow{
		Source: Addr4(0x0a000001), Destination: Addr4(0xc0000201), Protocol: 6, Ports: 1234<<16 | 80, HasPorts: true, Label: 5,
	}
	for _, c := range []struct {
		name         string
		change       func(*Flow)
		l3, fiveTupl bool // it is another flow then
	}{
		{"nothing", func(*Flow) {}, false, false},
		{"source", func(f *Flow) { f.Source.Lo++ }, true, true},
		{"destination", func(f *Flow) { f.Destination.Lo++ }, true, true},
		{"source and destination change places", func(f *Flow) { f.Source, f.Destination = f.Destination, f.Source }, true, true},
		{"protocol", func(f *Flow) { f.Protocol = 17 }, false, true},
		{"ports", func(f *Flow) { f.Ports++ }, false, true},
		{"label", func(f *Flow) { f.Label++ }, true, false},
		{"label, without ports", func(f *Flow) { f.HasPorts, f.Label = false, f.Label+1 }, true, true},
	} {
		f := base
		c.change(&f)
		for policy, want := range map[HashPolicy]bool{HashL3: c.l3, HashFiveTuple: c.fiveTupl} {
			if got := f.Hash(policy, 7) != base.Hash(policy, 7); got != want {
				t.Errorf("%s, policy %d: another flow %v, want %v", c.name, policy, got, want)
			}
		}
	}
}
