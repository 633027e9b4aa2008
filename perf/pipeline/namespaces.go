package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"nsrouter/dataplane/memport"
	"nsrouter/nstable"
)

const (
	// manyNamespaces have a VLAN device on the port that receives and one on the port that transmits, each.
	manyNamespaces = 1024
	// tagged is how many packets there are before they repeat: of a random VLAN each, so that those of a batch are of as many.
	tagged = 4096
)

// vlans has the traffic of four ports, of which two receive and two transmit, go by VLAN devices: so many pairs, each in a
// namespace of its own or all in one. Whatever the namespaces, packets, devices and routes are the same.
func (s *site) vlans(r *router, pairs int, apart bool) {
	from := []pair{{0, 2}, {1, 3}}
	outs := make([]memport.Out, len(from))
	for i, p := range from {
		in, out := r.way(s.frames, p.out, taggedPackets(p, pairs/len(from)))
		r.port(nstable.InitName, p.in, in)
		outs[i] = out
	}
	for i, p := range from {
		r.port(nstable.InitName, p.out, outs[i])
	}
	if !apart {
		r.netns("n0")
	}
	for i := range pairs {
		p, id, ns := from[i%len(from)], 1+i/len(from), "n0"
		if apart {
			ns = fmt.Sprintf("n%d", i)
			r.netns(ns)
		}
		if r.err != nil {
			return
		}
		in, out := fmt.Sprintf("in%d", i), fmt.Sprintf("out%d", i)
		local := netip.AddrFrom4([4]byte{10, byte(p.out), byte(id), byte(id >> 8 * 4)}).Next()
		r.vlan(ns, in, p.in, id)
		r.vlan(ns, out, p.out, id, netip.PrefixFrom(local, 30).String())
		r.neighbor(ns, out, local.Next().String(), hostMAC(p.out, 1))
		r.routes(ns, out, []netip.Prefix{netip.PrefixFrom(taggedTo(p, id), 24).Masked()}, local.Next().String())
	}
}

// vlan makes a VLAN device on a port, in a namespace.
func (r *router) vlan(ns, name string, port, id int, addrs ...string) {
	_, err := r.table.AddLink(nstable.InitName, nstable.LinkSpec{
		Name: name, Kind: nstable.VLAN, Lower: portName(port), Tag: nstable.Tag{Protocol: nstable.VLAN8021Q, ID: uint16(id)},
	})
	r.note(err)
	r.note(r.table.SetLink(nstable.InitName, name, nstable.LinkChange{Namespace: ns}))
	r.up(ns, name, addrs...)
}

// taggedTo is where the packets of a VLAN go.
func taggedTo(p pair, id int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(100 + p.in), byte(id >> 8), byte(id), 1})
}

// taggedPackets are of random VLANs from 1 to ids, the same in each run; each VLAN has its packets.
func taggedPackets(p pair, ids int) [][]byte {
	rnd := rand.New(rand.NewPCG(uint64(p.in), 1024))
	out := make([][]byte, tagged)
	for i := range out {
		id := 1 + i%ids
		out[i] = p.flow(false).packet(taggedTo(p, id), uint16(id))
	}
	rnd.Shuffle(tagged, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
