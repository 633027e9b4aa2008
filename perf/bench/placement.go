package main

import (
	"fmt"
	"slices"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
	"nsrouter/perf/results"
)

// placement says which CPU pays for what. As a flag it has one of the names below.
type placement string

const (
	// allOnOne has the source on a CPU, and the whole way of a packet on another.
	allOnOne placement = results.AllOnOne
	// receiveApart has the source's CPU receive for the forwarder too, as a card's interrupts on another core would, so
	// that the forwarder's CPU has the forwarder and what sending costs. The kernel forwards where it receives, which has
	// no such halves: it is placed as by allOnOne.
	receiveApart placement = results.ReceiveApart
)

func placements() []placement { return []placement{allOnOne, receiveApart} }

func (p placement) String() string { return string(p) }

// Set takes the flag's value.
func (p *placement) Set(name string) error {
	if got := placement(name); slices.Contains(placements(), got) {
		*p = got
		return nil
	}
	return fmt.Errorf("want %s or %s", allOnOne, receiveApart)
}

// describe says where things are.
func (p placement) describe(sourceCPU, workCPU int) string {
	if p == receiveApart {
		return fmt.Sprintf("source and what receives for router and DPDK on CPU %d; "+
			"router, DPDK, sink and all of the kernel's forwarding on CPU %d", sourceCPU, workCPU)
	}
	return fmt.Sprintf("source on CPU %d; receive NAPI, forwarder and sink on CPU %d", sourceCPU, workCPU)
}

// place puts the receiving side of both wires where it belongs. What receives on w.ins with halves apart needs no thread:
// the kernel does it in the softirq of the CPU that hands the frames over, the source's.
func (p placement) place(t lab.T, w wires, cpu int) {
	pinned := []*lab.Interface{w.far}
	if p != receiveApart {
		pinned = append(pinned, w.ins...)
	}
	for _, i := range pinned {
		if err := load.PinNAPI(i, cpu); err != nil {
			t.Fatalf("%v", err)
		}
	}
}
