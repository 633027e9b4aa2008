package dataplane

import (
	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// takeTagged takes what vlan-input has passed to VLAN devices through the graph: a run for each device, so that device,
// namespace and FIB are looked up once for all its packets, which keep their order.
func (w *Worker) takeTagged() {
	for len(w.tagged) > 0 { // once for each tag that a stack of devices stands for: nstable.MaxTags times at most
		list := w.tagged
		w.tagged, w.untagged = w.untagged[:0], list
		w.runByDevice(list)
	}
}

// chain is the packets of a list that came in by one device: the first and the last of them.
type chain struct {
	dev         nstable.DeviceID
	first, last uint8
}

// runByDevice runs the packets of a list, at most vectorSize, device by device, in the order in which each came first.
func (w *Worker) runByDevice(list []Packet) {
	const end = vectorSize
	var chains [vectorSize]chain
	var next [vectorSize]uint8      // the packet after this one in its chain
	var table [2 * vectorSize]uint8 // 1 + the number of a chain, by its device: a hash with open addressing
	n := 0
	for k := range list {
		in := list[k].In
		h := uint(in) % uint(len(table))
		for table[h] != 0 && chains[table[h]-1].dev != in {
			h = (h + 1) % uint(len(table))
		}
		next[k] = end
		if table[h] == 0 {
			chains[n] = chain{in, uint8(k), uint8(k)}
			n++
			table[h] = uint8(n)
			continue
		}
		c := &chains[table[h]-1]
		next[c.last], c.last = uint8(k), uint8(k)
	}
	if n >= warmMin {
		w.warm(chains[:n], list)
	}
	for _, c := range chains[:n] {
		i := 0
		for k := c.first; k != end; k = next[k] {
			w.packets[i] = list[k]
			i++
		}
		w.run(c.dev, i)
	}
}

// run takes the first n packets, which came in by a VLAN device, through the graph.
func (w *Worker) run(in nstable.DeviceID, n int) {
	if !w.enter(in) {
		w.freeAll(w.packets[:n])
		return
	}
	for k := range n {
		w.to(ethernetInput, uint16(k))
	}
	w.runGraph()
}

// warmMin is how many devices a list has to be of for warm to pay.
const warmMin = 8

// warm loads what the runs of many devices will want first, of one step after the other for all of them: what of it is in no cache
// comes together, where the runs would wait for one after another. With packets of a thousand namespaces that is most of their time.
func (w *Worker) warm(chains []chain, list []Packet) {
	var in, out [vectorSize]*nstable.Device
	var sum uint64
	for i, c := range chains {
		d := w.view.Device(c.dev)
		if d == nil {
			return // on its way out: the run will see
		}
		in[i] = d
		sum += uint64(d.MTU)
		w.dst4[i] = 0
		if p := &list[c.first]; p.Len >= header.EthernetLen+header.IPv4MinLen && w.ethernet(p).Type() == header.TypeIPv4 {
			w.dst4[i] = header.IPv4(w.network(p)).Destination()
		}
	}
	devs, ids := in[:len(chains)], w.ids[:len(chains)]
	for _, d := range devs {
		slot := d.Counters.Worker(w.id)
		sum += slot.RxPackets.Load() + slot.MIB[counters.IP4Received].Load() + uint64(d.Namespace.Settings().Martians)
	}
	for step := range fib.PrefetchSteps {
		for i, d := range devs {
			sum += d.Namespace.FIB.Prefetch4(w.dst4[i], step)
		}
	}
	for i, d := range devs {
		d.Namespace.FIB.Lookup4(w.dst4[i:i+1], ids[i:i+1])
		sum += d.Namespace.OwnAddrs()[0]
	}
	for i, d := range devs {
		if ids[i] != fib.None {
			out[i] = w.view.Device(d.Namespace.FIB.Groups().Of(ids[i]).First().Device)
		}
	}
	for _, d := range out[:len(chains)] {
		if d != nil {
			sum += uint64(d.MTU) + d.Counters.Worker(w.id).TxPackets.Load() + uint64(d.Neighbors.Len())
		}
	}
	w.warmed = sum
}
