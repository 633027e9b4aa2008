package main

import "strconv"

// sink is what stands at the far end of the veth.
type sink int

const (
	threadHere  sink = iota // an XDP program that drops, run by threaded NAPI on the sender's CPU
	threadApart             // the same on the other CPU
	softirq                 // an XDP program that drops, in the softirq of the sender's system call
	plain                   // no XDP program: the host's stack drops what is not for its MAC address
)

// variant is a way to transmit.
type variant struct {
	name   string
	batch  int // packets between two system calls
	ring   int // entries of each ring
	budget int // packets that the kernel sends a system call (XDP_MAX_TX_SKB_BUDGET)
	frames int // in circulation
	length int // bytes without FCS
	yield  int // packets sent until the sender yields its CPU; 0: never
	sink   sink
}

// asRouter is what the router does: the others differ from it in what their names say.
func asRouter() variant {
	return variant{
		name: "as-router", batch: 64, ring: 2048, budget: 256, frames: 512, length: 60, yield: 64, sink: threadHere,
	}
}

// variants are all that are measured; quick: the few that tell most.
func variants(quick bool) []variant {
	var all []variant
	with := func(name string, change func(v *variant)) {
		v := asRouter()
		v.name = name
		change(&v)
		all = append(all, v)
	}
	each := func(name string, values []int, change func(v *variant, n int)) {
		for _, n := range values {
			with(name+"-"+strconv.Itoa(n), func(v *variant) { change(v, n) })
		}
	}
	with("as-router", func(*variant) {})
	with("yield-never", func(v *variant) { v.yield = 0 })
	with("sink-apart", func(v *variant) { v.sink = threadApart })
	with("sink-softirq", func(v *variant) { v.sink = softirq })
	with("sink-plain", func(v *variant) { v.sink = plain })
	if quick {
		return all
	}
	each("yield", []int{32, 128, 192, 256}, func(v *variant, n int) { v.yield = n })
	each("batch", []int{1, 8, 16, 32, 128, 256}, func(v *variant, n int) { v.batch, v.yield = n, max(n, v.yield) })
	each("ring", []int{512, 8192}, func(v *variant, n int) { v.ring = n })
	each("budget", []int{32, 1024}, func(v *variant, n int) { v.budget = n })
	each("frames", []int{128, 2048}, func(v *variant, n int) { v.frames = n })
	each("bytes", []int{256, 1500}, func(v *variant, n int) { v.length = n })
	return all
}
