package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
	"nsrouter/perf/results"
)

// Addresses of every track.
const (
	nearHost, nearPort = "10.0.1.2", "10.0.1.1"
	farHost, farPort   = "10.0.2.2", "10.0.2.1"
)

// track is a contender between a source and a sink:
//
//	source host  s-veth --- in  forwarder  out --- f-veth  far host (sink)
type track struct {
	name      string // as results has it
	mode      string // of AF_XDP, of this router only
	placement placement
	source    *load.Source
	sink      *load.Sink
	results   []result
	bad       uint64 // packets at the sink that were not forwarded properly
}

// wires are the veths of a track. Their names are unique on the machine, as PinNAPI wants.
type wires struct{ source, in, out, far *lab.Interface }

// wire joins a forwarder to a source host and a far host.
func wire(l *lab.Lab, tag string, forwarder *lab.Host) wires {
	name := func(part string) string { return fmt.Sprintf("%s%s%d", tag, part, os.Getpid()) }
	var w wires
	near := l.Host(tag+"-near").End(name("s"), nearHost+"/24")
	w.source, w.in = l.Link(near, forwarder.End(name("i")), lab.LinkOptions{})
	w.out, w.far = l.Link(forwarder.End(name("o")), l.Host(tag+"-far").End(name("f"), farHost+"/24"), lab.LinkOptions{})
	return w
}

// newTrack puts the sink and the source on the wires of a forwarder that is ready, and places the receiving side of
// both wires.
func newTrack(t lab.T, name string, w wires, where placement, o options) *track {
	sink, err := load.NewSink(w.far, load.SinkOptions{})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { sink.Close() })
	source, err := load.NewSource(load.SourceOptions{
		Devices: []*lab.Interface{w.source}, To: w.in.MAC, Src: netip.MustParseAddr(nearHost),
		Destinations: []netip.Addr{netip.MustParseAddr(farHost)},
		Flows:        o.flows, CPU: o.sourceCPU,
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { source.Close() })
	where.place(t, w, o.workCPU)
	return &track{name: name, source: source, sink: sink, placement: where}
}

// kernelTrack has the Linux kernel forward, in a namespace of its own.
func kernelTrack(t lab.T, l *lab.Lab, o options) *track {
	h := l.Host("kernel")
	w := wire(l, "k", h)
	h.Sysctl("net.ipv4.ip_forward", "1")
	w.in.Addr(nearPort + "/24")
	w.out.Addr(farPort + "/24")
	h.Neighbor(w.out.Name, farHost, w.far.MAC.String())
	detach, err := load.Pass(w.in)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(detach)
	// The program has switched GRO on, which has nothing to merge here and only costs.
	w.in.Offload("rx-gro", false)
	return newTrack(t, results.Linux, w, allOnOne, o)
}

// routerTrack has this router forward, with one worker.
func routerTrack(t lab.T, l *lab.Lab, o options) *track {
	r := l.Router(lab.RouterOptions{Memory: true, Args: []string{"--cpus", fmt.Sprint(o.workCPU)}})
	w := wire(l, "r", r.Host)
	r.Must(fmt.Sprintf(`
		link add in type xdp host %s
		link add out type xdp host %s
		link set in up
		link set out up
		addr add %s/24 dev in
		addr add %s/24 dev out
		neigh add %s lladdr %s dev out nud permanent`, w.in.Name, w.out.Name, nearPort, farPort, farHost, w.far.MAC))
	tr := newTrack(t, results.Router, w, o.placement, o)
	tr.mode = mode(t, r)
	return tr
}

// mode is the AF_XDP mode that the router's port got.
func mode(t lab.T, r *lab.Router) string {
	var links []struct {
		Info struct {
			Data struct{ Mode string } `json:"info_data"`
		} `json:"linkinfo"`
	}
	if err := json.Unmarshal([]byte(r.Must("-j link show dev in")), &links); err != nil || len(links) != 1 {
		t.Fatalf("router -j link show dev in: %d links, %v", len(links), err)
	}
	return links[0].Info.Data.Mode
}
