package dataplane

// NodeID names a node of the graph.
type NodeID uint8

// Nodes, in the order in which a round visits them: every edge leads down this list, so that one pass empties the
// graph.
const (
	ethernetInput NodeID = iota
	vlanInput
	arpInput
	ip4Input
	ip6Input
	ip4Lookup
	ip6Lookup
	ip4Options
	ip4RPF
	ip6RPF
	ip4Local
	ip6Local
	ip4Reassemble
	ip6Reassemble
	ndInput
	ip4Forward
	ip6Forward
	icmp4Error
	icmp6Error
	ip4Output
	ip6Output
	ip4Fragment
	ip6Fragment
	resolve
	transmit
	hostOutput
	drop
	numNodes
)

// node is one step of the way of a packet: a function over a batch that puts each packet of it on exactly one edge, or
// ends it.
type node struct {
	id    NodeID
	name  string
	run   func(*Worker, []uint16)
	edges []NodeID
}

// newGraph is the whole pipeline.
//
//	  receive queue, veth peer, vlan-input of the run before (a route of another namespace: ip4-input, ip6-input)
//	             |
//	      ethernet-input ------------- arp-input
//	        |         |   \                |
//	        |         |  vlan-input        |        takes a tag off, passes the frame to the VLAN device
//	    ip4-input  ip6-input               |
//	        |         |    \               |
//	   ip4-lookup ip6-lookup \             |        FIB of the namespace; next, where rp-filter is set, ip4-rpf or ip6-rpf
//	    |   |  |   |  |   |   \            |
//	    | ip4-local|  | ip6-local--nd-input|
//	    |     |    |  |     |         |    |
//	ip4-forward|   | ip6-forward      |    |        TTL, MTU, next hop
//	    |      |   |  |     |         |    |
//	    |  icmp4-error| icmp6-error   |    |        answers with errors
//	    |      |      |     |         |    |
//	    |  ip4-output | ip6-output    |    |        packets of the router's own
//	    |      |      |     |         |    |
//	    |  ip4-fragment   ip6-fragment|    |        larger than the MTU
//	    |      |      |     |         |    |
//	    +------+------+--+--+---------+----+
//	                     |
//	                (neighbour?)--no-- resolve      owner of the device: holds packets, asks
//	                     |
//	                 transmit                       queue, hand-over to another worker, veth crossing
//
// What programs may want of what is for the router itself or for a group goes to Linux, where the device is there: from
// ethernet-input, ip4-input, ip6-input, the nodes that know routes, ip4-local and ip6-local to host-output. What Linux sends
// enters the graph at transmit.
//
// IPv4 packets with options pass ip4-options in place of ip4-lookup. ip4-local and ip6-local pass fragments on to
// ip4-reassemble and ip6-reassemble, which do with the whole datagram what they do themselves; one worker has all fragments
// of it. ip4-forward has an edge to ip4-fragment, too. What the fragment nodes make is sent once the batch is through
// (pieces).
//
// And from everywhere: drop, which counts the reason at the device that the packet came in by. transmit and resolve
// count what they cannot queue themselves, since packets reach them from outside the graph too.
func newGraph() [numNodes]node {
	return [numNodes]node{
		{ethernetInput, "ethernet-input", (*Worker).ethernetInput,
			[]NodeID{vlanInput, arpInput, ip4Input, ip6Input, hostOutput, drop}},
		{vlanInput, "vlan-input", (*Worker).vlanInput, []NodeID{arpInput, ip4Input, ip6Input, drop}},
		{arpInput, "arp-input", (*Worker).arpInput, []NodeID{drop}},
		{ip4Input, "ip4-input", (*Worker).ip4Input, []NodeID{ip4Lookup, ip4Options, hostOutput, drop}},
		{ip6Input, "ip6-input", (*Worker).ip6Input, []NodeID{ip6Lookup, ip6Local, ip6Forward, icmp6Error, hostOutput, drop}},
		{ip4Lookup, "ip4-lookup", (*Worker).ip4Lookup, []NodeID{ip4RPF, ip4Local, ip4Forward, icmp4Error, hostOutput, drop}},
		{ip6Lookup, "ip6-lookup", (*Worker).ip6Lookup, []NodeID{ip6RPF, ip6Local, ip6Forward, icmp6Error, drop}},
		{ip4Options, "ip4-options", (*Worker).ip4Options, []NodeID{ip4Local, ip4Forward, icmp4Error, hostOutput, drop}},
		{ip4RPF, "ip4-rpf", (*Worker).ip4RPF, []NodeID{ip4Local, ip4Forward, drop}},
		{ip6RPF, "ip6-rpf", (*Worker).ip6RPF, []NodeID{ip6Local, ip6Forward, icmp6Error, drop}},
		{ip4Local, "ip4-local", (*Worker).ip4Local, []NodeID{ip4Reassemble, ip4Output, icmp4Error, hostOutput, drop}},
		{ip6Local, "ip6-local", (*Worker).ip6Local, []NodeID{ip6Reassemble, ndInput, ip6Output, icmp6Error, hostOutput, drop}},
		{ip4Reassemble, "ip4-reassemble", (*Worker).ip4Reassemble, []NodeID{ip4Output, icmp4Error, drop}},
		{ip6Reassemble, "ip6-reassemble", (*Worker).ip6Reassemble, []NodeID{ip6Output, icmp6Error, drop}},
		{ndInput, "nd-input", (*Worker).ndInput, []NodeID{drop}},
		{ip4Forward, "ip4-forward", (*Worker).ip4Forward, []NodeID{transmit, resolve, ip4Fragment, icmp4Error, drop}},
		{ip6Forward, "ip6-forward", (*Worker).ip6Forward, []NodeID{transmit, resolve, icmp6Error, drop}},
		{icmp4Error, "icmp4-error", (*Worker).icmp4Error, []NodeID{ip4Output, drop}},
		{icmp6Error, "icmp6-error", (*Worker).icmp6Error, []NodeID{ip6Output, drop}},
		{ip4Output, "ip4-output", (*Worker).ip4Output, []NodeID{transmit, resolve, ip4Fragment, drop}},
		{ip6Output, "ip6-output", (*Worker).ip6Output, []NodeID{transmit, resolve, ip6Fragment, drop}},
		{ip4Fragment, "ip4-fragment", (*Worker).ip4Fragment, []NodeID{transmit, resolve, drop}},
		{ip6Fragment, "ip6-fragment", (*Worker).ip6Fragment, []NodeID{transmit, resolve, drop}},
		{resolve, "resolve", (*Worker).resolve, []NodeID{transmit, drop}},
		{transmit, "transmit", (*Worker).transmit, nil},
		{hostOutput, "host-output", (*Worker).hostOutput, []NodeID{drop}},
		{drop, "drop", (*Worker).drop, nil},
	}
}

// runGraph takes the packets of the entry node through the graph. The worker's context (device, namespace, snapshot) is
// that of the device they came in by, and the vectors of all nodes are empty before and after.
func (w *Worker) runGraph() {
	w.runNodes()
	if len(w.pieces) > 0 {
		w.sendPieces()
	}
}

func (w *Worker) runNodes() {
	for id := range w.graph {
		if v := &w.vectors[id]; v.n > 0 {
			n := v.n
			v.n = 0
			w.graph[id].run(w, v.idx[:n])
		}
	}
}

// to puts packet i on the edge to a node.
func (w *Worker) to(next NodeID, i uint16) {
	v := &w.vectors[next]
	v.idx[v.n] = i
	v.n++
}

// toDrop puts packet i on the edge to drop.
func (w *Worker) toDrop(i uint16, why reason) {
	w.packets[i].Reason = why
	w.to(drop, i)
}

// toError puts packet i on the edge to an ICMP error node.
func (w *Worker) toError(next NodeID, i uint16, why reason, code uint8) {
	p := &w.packets[i]
	p.Reason, p.Code = why, code
	w.to(next, i)
}
