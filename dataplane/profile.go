package dataplane

import (
	"nsrouter/dataplane/frame"
	"nsrouter/internal/cycles"
)

// Cost is what one step of the packets' way took a worker while it was profiled.
type Cost struct {
	// Step is the name of a node, or one of those of [Dataplane.Profile].
	Step string
	// Cycles are ticks of [cycles.Now], without what the measuring itself takes.
	Cycles float64
	// Packets that the step was done for, in Calls. A packet is counted at each node that it passes.
	Packets, Calls uint64
}

// PortReceive is the name of the step that counts packets once each.
const PortReceive = "port receive"

// Steps besides the nodes.
const (
	stepPortReceive  = int(numNodes) + iota // Port.Receive
	stepPortTransmit                        // Port.Transmit
	stepPortOther                           // Port.Flush, Complete, Refill
	stepReceive                             // what makes packets of descriptors, and enters the device's context
	stepGraph                               // what goes from node to node
	stepFlush                               // what gathers packets for a port, counts them and ends the round
	stepRound                               // mail, crossings, hand-overs, and ports that had nothing
	numSteps
)

// profiler charges a worker's time to steps, whole: from each hook to the next. Its worker's own.
type profiler struct {
	last  uint64
	now   int // step that time belongs to until the next hook
	costs [numSteps]struct{ ticks, spans, packets, calls uint64 }
	graph [numNodes]node // without hooks
}

// longSpan is more ticks than any step takes for a batch: the CPU was somebody else's meanwhile.
const longSpan = 200_000

// charge ends a span: its time belongs to step.
func (f *profiler) charge(step int) {
	t := cycles.Now()
	if span := t - f.last; span < longSpan {
		c := &f.costs[step]
		c.ticks += span
		c.spans++
	}
	f.last = t
}

func (f *profiler) count(step, packets int) {
	f.costs[step].calls++
	f.costs[step].packets += uint64(packets)
}

// Profile measures what each step takes a worker while wait runs, on the caller's goroutine: the nodes of the graph by their
// names; the port's own calls ("port receive", "port transmit", "port flush"); and between those "receive" (descriptors become
// packets), "graph" (from node to node), "flush" (packets wait for a port, are counted, and the round ends) and "round" (all else).
// Together they are all of the worker's time, but for spans in which the CPU was somebody else's. Hooks are in the worker's table of
// nodes and before its ports only meanwhile.
func (d *Dataplane) Profile(worker int, wait func()) []Cost {
	f := new(profiler)
	w := d.workers[worker]
	w.call(f.install)
	wait()
	w.call(f.remove)
	return f.result()
}

// install puts the hooks in; between two rounds.
func (f *profiler) install(w *Worker) {
	f.graph = w.graph
	for id := range w.graph {
		run := w.graph[id].run
		w.graph[id].run = func(w *Worker, v []uint16) {
			f.charge(f.now)
			run(w, v)
			f.charge(id)
			f.count(id, len(v))
			f.now = stepGraph
		}
	}
	for _, p := range w.ports {
		p.Port = &profiledPort{Port: p.Port, f: f}
	}
	f.last, f.now = cycles.Now(), stepRound
}

// remove takes them out again.
func (f *profiler) remove(w *Worker) {
	f.charge(f.now)
	w.graph = f.graph
	for _, p := range w.ports {
		if hooked, ok := p.Port.(*profiledPort); ok { // one that was added meanwhile is not
			p.Port = hooked.Port
		}
	}
}

func (f *profiler) result() []Cost {
	names := [numSteps]string{
		stepPortReceive: PortReceive, stepPortTransmit: "port transmit", stepPortOther: "port flush",
		stepReceive: "receive", stepGraph: "graph", stepFlush: "flush", stepRound: "round",
	}
	for id := range f.graph {
		names[id] = f.graph[id].name
	}
	hook := hookCost()
	var out []Cost
	for step := range f.costs {
		c := &f.costs[step]
		if c.spans == 0 {
			continue
		}
		out = append(out, Cost{
			Step: names[step], Cycles: max(0, float64(c.ticks)-hook*float64(c.spans)), Packets: c.packets, Calls: c.calls,
		})
	}
	return out
}

// hookCost is what a span with nothing in it measures, in ticks: the least of some averages, since others may use the CPU.
func hookCost() float64 {
	const tries, spans = 50, 200
	least := 0.0
	for try := range tries {
		f := new(profiler)
		f.last = cycles.Now()
		for range spans {
			f.charge(stepRound)
		}
		if c := float64(f.costs[stepRound].ticks) / spans; try == 0 || c < least {
			least = c
		}
	}
	return least
}

// profiledPort is a port with hooks.
type profiledPort struct {
	Port
	f *profiler
}

// Receive charges what comes after it to receive, if it brought something.
func (p *profiledPort) Receive(d []frame.Desc) int {
	p.f.charge(p.f.now)
	n := p.Port.Receive(d)
	p.f.charge(stepPortReceive)
	p.f.now = stepRound
	if n > 0 {
		p.f.now = stepReceive
		p.f.count(stepPortReceive, n)
		p.f.count(stepReceive, n)
	}
	return n
}

// Transmit charges what comes after it to flush; so does the next.
func (p *profiledPort) Transmit(d []frame.Desc) int {
	p.f.charge(p.f.now)
	n := p.Port.Transmit(d)
	p.f.charge(stepPortTransmit)
	p.f.count(stepPortTransmit, n)
	p.f.count(stepFlush, n)
	p.f.now = stepFlush
	return n
}

// Flush is charged with Complete and Refill.
func (p *profiledPort) Flush() { p.other(func() int { p.Port.Flush(); return 0 }) }

// Complete is charged with Flush.
func (p *profiledPort) Complete(c *frame.Cache) int {
	return p.other(func() int { return p.Port.Complete(c) })
}

// Refill is charged with Flush.
func (p *profiledPort) Refill(c *frame.Cache) int {
	return p.other(func() int { return p.Port.Refill(c) })
}

func (p *profiledPort) other(call func() int) int {
	p.f.charge(p.f.now)
	n := call()
	p.f.charge(stepPortOther)
	p.f.count(stepPortOther, n)
	return n
}
