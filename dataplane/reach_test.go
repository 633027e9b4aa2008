package dataplane

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/internal/corpus"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// edgeWatch counts the packets on each edge of a worker's graph.
type edgeWatch struct {
	edges   [numNodes][numNodes]int
	pending [numNodes]int // on an edge to the node, and not yet taken by it
}

func watchEdges(w *Worker) *edgeWatch {
	e := new(edgeWatch)
	for id := range w.graph {
		run := w.graph[id].run
		w.graph[id].run = func(w *Worker, v []uint16) {
			if e.pending[id] == 0 && len(w.pieces) > 0 { // from sendPieces, which is no node
				e.fragments(w, NodeID(id), v)
			}
			e.pending[id] = 0
			var before [numNodes]uint
			for k := range w.vectors {
				before[k] = w.vectors[k].n
			}
			run(w, v)
			for k := range w.vectors {
				n := int(w.vectors[k].n - before[k])
				e.edges[id][k] += n
				e.pending[k] += n
			}
		}
	}
	return e
}

func (e *edgeWatch) fragments(w *Worker, to NodeID, v []uint16) {
	for _, i := range v {
		from := ip4Fragment
		if w.ethernet(&w.packets[i]).Type() == header.TypeIPv6 {
			from = ip6Fragment
		}
		e.edges[from][to]++
	}
}

// change puts another copy of a device into the view.
func (r *rig) change(id nstable.DeviceID, edit func(*nstable.Device)) {
	d := *r.view.Devices[id]
	edit(&d)
	view := *r.view
	view.Devices = append([]*nstable.Device(nil), view.Devices...)
	view.Devices[id] = &d
	r.view = &view
}

// reach sends the corpus through a rig, with several choices of settings, and then packets into scenes that no packet
// makes by itself.
func reach(r *rig) {
	n := 0
	for seed := 7; seed >= 0; seed-- { // at last the defaults
		r.choose(byte(seed))
		for _, v6 := range []bool{false, true} {
			for _, p := range append(corpus.Hand(v6), corpus.Singles(v6)...) {
				n++
				for _, b := range p.Frames(n) {
					r.inject(p1, b)
				}
				r.advance(5 * time.Millisecond)
			}
		}
	}
	r.pass(4 * time.Second)
	host := r.join(p1)
	r.limitNamespace(0, func(l *setting.Limits) { l.Rate[counters.PuntAnswer] = 20 })
	for _, v6 := range []bool{false, true} { // what is for programs
		for _, p := range append(corpus.Hand(v6), corpus.Singles(v6)...) {
			n++
			for _, b := range p.Frames(n) {
				r.inject(p1, b)
			}
			r.step()
			host.take()
		}
	}
	r.inject(p1, lldp(r))
	r.inject(p1, make([]byte, frame.MaxChain+1))
	broadcast := ip4("10.0.1.2", "10.0.1.255", 64)
	broadcast.Options = []layers.IPv4Option{{OptionType: 1}} // none, for padding
	r.inject(p1, udp4(r, p1, broadcast, 20))
	for range 2 * puntShare { // more than may go to Linux
		r.inject(p1, udp4(r, p1, ip4("10.0.1.2", "10.0.1.1", 64), 20))
		r.step()
		host.take()
	}
	r.w.setHost(p1, host.link, nil)
	r.pass(4 * time.Second)
	for _, scene := range scenes() {
		view := r.view
		end := scene(r)
		for _, v6 := range []bool{false, true} {
			r.inject(p1, corpus.LargeEcho(v6).Frames(n)[0])
		}
		for _, dev := range []nstable.DeviceID{p1, p2} {
			for k, src := range []string{"172.20.0.1", "198.51.100.7"} {
				ttl := uint8(64 - 63*k) // the error goes to where the scene is
				r.inject(dev, udp4(r, dev, ip4(src, "10.0.2.2", ttl), 1400))
				r.inject(dev, udp4(r, dev, ip4(src, "10.99.0.1", ttl), 20))
				r.inject(dev, udp4(r, dev, ip4(src, "10.0.7.9", ttl), 20))
			}
			for k, src := range []string{"2001:db8:f::1", "2001:db8:100::7"} {
				r.inject(dev, udp6(r, dev, ip6(src, "2001:db8:2::2", uint8(64-63*k)), 20))
			}
		}
		r.advance(time.Second)
		if end != nil {
			end()
		}
		r.view = view
	}
	r.pass(4 * time.Second)
}

func (r *rig) advance(d time.Duration) {
	r.step()
	for _, port := range r.ports {
		port.take()
	}
	r.now += int64(d)
}

// scenes are what happens to a router besides packets; each returns what ends it.
func scenes() []func(*rig) func() {
	return []func(*rig) func(){
		func(r *rig) func() { r.change(p2, func(d *nstable.Device) { d.Up = false }); return nil },
		func(r *rig) func() {
			r.change(p2, func(d *nstable.Device) { d.Namespace = r.view.Namespaces[1] })
			return nil
		},
		func(r *rig) func() { // nobody has answered yet
			for dev, addrs := range map[nstable.DeviceID][]string{p1: {"10.0.1.2", "2001:db8:1::2"},
				p2: {"10.0.2.2", "2001:db8:2::2"}} {
				for _, a := range addrs {
					r.view.Devices[dev].Neighbors.Delete(r.neighbor(dev, a))
				}
			}
			for range holdLimit {
				r.inject(p1, udp4(r, p1, ip4("172.20.0.1", "10.0.2.2", 64), 20))
			}
			return func() {
				r.pass(4 * time.Second)
				r.befriend()
			}
		},
		func(r *rig) func() { // the transmit ring is full
			r.ports[p2].refuse = true
			return func() { r.ports[p2].refuse = false }
		},
		func(r *rig) func() { // two namespaces send to each other
			r.route(1, "10.99.0.0/16", fib.NextHop{Kind: fib.Unicast, Device: v2,
				Gateway: fib.Addr4(10<<24 | 9<<8 | 1)})
			for dev, a := range map[nstable.DeviceID]string{v1: "10.0.9.2", v2: "10.0.9.1"} {
				e := r.view.Devices[dev].Neighbors.Add(fib.AddrOf(netip.MustParseAddr(a)), r.now)
				e.Set(neigh.Permanent, header.MAC(r.view.Devices[v1+v2-dev].MAC), r.now)
			}
			return nil
		},
		func(r *rig) func() { // no frame is free
			var taken []uint64
			for {
				a, ok := r.w.cache.Get()
				if !ok {
					break
				}
				taken = append(taken, a)
			}
			for range 19 { // for the packets of the scene
				r.w.cache.Put(taken[len(taken)-1])
				taken = taken[:len(taken)-1]
			}
			return func() {
				for _, a := range taken {
					r.w.cache.Put(a)
				}
			}
		},
	}
}

// unreached are the edges and reasons that no packet and no scene reaches here, and why not.
var unreached = map[string]string{ //nolint:gochecknoglobals // a constant table
	"resolve > transmit":  "the neighbour has answered to another worker meanwhile (TestWorkers)",
	"resolve > drop":      "the device has gone since the packet was handed over (TestHeldWhileMoving)",
	"handoff-full":        "there is one worker",
	"host-full":           "there are too few frames (TestHostFull)",
	"neighbor-budget":     "there are too few neighbours (TestScan)",
	"neighbor-table-full": "there are too few packets (TestScan)",
}

// TestCorpusReaches: the corpus takes every edge of the graph, and meets every reason for a drop; so the comparison with
// Linux and the fuzz test begin in every node.
func TestCorpusReaches(t *testing.T) {
	r := newCorpusRig(t)
	e := watchEdges(r.w)
	reach(r)
	r.conserved()
	var reasons [counters.NumReasons]uint64
	for _, d := range r.view.Devices {
		if d != nil {
			var s counters.Totals
			d.Counters.Sum(&s)
			for k, n := range s.Drops {
				reasons[k] += n
			}
		}
	}
	left := make(map[string]bool)
	for id := range r.w.graph {
		for _, to := range r.w.graph[id].edges {
			if e.edges[id][to] == 0 {
				left[r.w.graph[id].name+" > "+r.w.graph[to].name] = true
			}
		}
	}
	for k, n := range reasons {
		if n == 0 {
			left[counters.Reason(k).String()] = true
		}
	}
	for what := range left {
		if unreached[what] == "" {
			t.Errorf("no packet of the corpus reaches %s", what)
		}
	}
	for what, why := range unreached {
		if !left[what] {
			t.Errorf("%s is reached, although it is said: %s", what, why)
		}
	}
}
