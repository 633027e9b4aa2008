package main

import (
	"fmt"
	"net/netip"
	"strings"

	"nsrouter/internal/load"
	"nsrouter/perf/results"
)

// The scenario of many namespaces. Packet k comes in on port k % ports with VLAN id 1 + k / ports, is routed by prefix k
// to a neighbour of its own, and leaves by the one far port with VLAN id k + 1. So there are as many VLAN devices on
// either side as there are namespaces, and each packet is of another device than the one before. The other contender has
// the same devices, neighbours and routes, all in one namespace: what differs is the namespaces alone.
const (
	namespacePorts = 4
	portVLANs      = 256 // a power of two
)

// manyNamespaces has this router forward with the devices of each VLAN in a namespace of their own.
func (s *stand) manyNamespaces() (*track, error) {
	return s.vlans("m", &track{name: results.Router, scenario: results.IP4ManyNamespaces}, func(k int) string {
		return fmt.Sprintf("n%d", k)
	})
}

// oneNamespace has it forward with all in one.
func (s *stand) oneNamespace() (*track, error) {
	return s.vlans("1", &track{name: results.Router, scenario: results.IP4Namespace}, func(int) string { return "n" })
}

// vlans sets a router up in which the devices of prefix k are in a namespace.
func (s *stand) vlans(tag string, tr *track, namespace func(k int) string) (*track, error) {
	r := s.startRouter("router" + tag)
	w := s.wire(tag, r.Host, namespacePorts)
	var lines strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&lines, format+"\n", args...) }
	for i, in := range w.ins {
		add("link add in%d type xdp host %s", i, in.Name)
		add("link set in%d up", i)
	}
	add("link add out type xdp host %s", w.out.Name)
	add("link set out up")
	made := map[string]bool{}
	var to []netip.Addr
	namespaces := namespacePorts * s.portVLANs
	for k := range namespaces {
		ns := namespace(k)
		if !made[ns] {
			add("netns add %s", ns)
			made[ns] = true
		}
		add("link add link in%d name i%d type vlan id %d", k%namespacePorts, k, 1+k/namespacePorts)
		add("link add link out name o%d type vlan id %d", k, 1+k)
		link := fmt.Sprintf("10.%d.%d.", k>>8, k&255)
		to = append(to, netip.AddrFrom4([4]byte{198, byte(16 + k>>8), byte(k), 1}))
		add("link set i%d netns %s\nlink set o%d netns %s", k, ns, k, ns)
		add("-n %s link set i%d up\n-n %s link set o%d up", ns, k, ns, k)
		add("-n %s addr add %s1/24 dev o%d", ns, link, k)
		add("-n %s neigh add %s2 lladdr %s dev o%d nud permanent", ns, link, w.far.MAC, k)
		prefix, err := to[k].Prefix(24)
		if err != nil {
			return nil, err
		}
		add("-n %s route add %v via %s2", ns, prefix, link)
	}
	r.Batch(lines.String())
	return s.joinRouter(r, w, tr, ends{
		source: load.SourceOptions{VLANs: s.portVLANs, Destinations: to}, sink: load.SinkOptions{VLANs: namespaces},
	})
}
