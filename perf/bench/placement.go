package main

import (
	"fmt"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
)

// placement says which CPU pays for what. As a flag it has one of the names below.
type placement string

const (
	// allOnOne has the source on a CPU, and the whole way of a packet on another.
	allOnOne placement = "all-on-one"
	// receiveApart has the source's CPU receive for the router too, as a card's interrupts on another core would, so that
	// the router's CPU has the router and what sending costs. The kernel forwards where it receives, which has no such
	// halves: it is placed as by allOnOne.
	receiveApart placement = "receive-apart"
)

func (p placement) String() string { return string(p) }

// Set takes the flag's value.
func (p *placement) Set(name string) error {
	switch got := placement(name); got {
	case allOnOne, receiveApart:
		*p = got
		return nil
	}
	return fmt.Errorf("want %s or %s", allOnOne, receiveApart)
}

// describe says where things are.
func (p placement) describe(sourceCPU, workCPU int) string {
	if p == receiveApart {
		return fmt.Sprintf("source and what receives for the router on CPU %d; "+
			"router, sink and all of the kernel's forwarding on CPU %d", sourceCPU, workCPU)
	}
	return fmt.Sprintf("source on CPU %d; receive NAPI, forwarder and sink on CPU %d", sourceCPU, workCPU)
}

// place puts the receiving side of both wires where it belongs. What receives on w.in with halves apart needs no thread:
// the kernel does it in the softirq of the CPU that hands the frames over, the source's.
func (p placement) place(t lab.T, w wires, cpu int) {
	pinned := []*lab.Interface{w.in, w.far}
	if p == receiveApart {
		pinned = pinned[1:]
	}
	for _, i := range pinned {
		if err := load.PinNAPI(i, cpu); err != nil {
			t.Fatalf("%v", err)
		}
	}
}
