package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
	"nsrouter/perf/results"
)

// stand is where the contenders of a scenario are set up, in one placement.
type stand struct {
	t       lab.T
	lab     *lab.Lab
	o       options
	where   placement
	traffic *traffic
	// hugePages is whether there are some for DPDK's programs.
	hugePages bool
	// portVLANs is how many VLANs each port has in the scenario of many namespaces.
	portVLANs int
}

// track is a contender between a source and a sink:
//
//	source host  s-veth --- in  forwarder  out --- f-veth  far host (sink)
type track struct {
	name      string // of the contender, by package results
	scenario  string // by package results
	placement placement
	traffic   *traffic
	source    *load.Source
	sink      *load.Sink
	router    *lab.Router // nil if it is a peer
	mode      string      // of the router's AF_XDP sockets
	// processes forward. They stand still while others are measured, since some use all of a CPU even if nothing comes.
	processes []*lab.Process
}

// series are the records of one metric of the track.
func (tr *track) series(where placement, metric, unit string) results.Series {
	return results.Series{
		Suite: results.Bench, Scenario: tr.scenario, Contender: tr.name, Placement: string(where), Metric: metric, Unit: unit,
	}
}

// run lets the contender's processes go on, and halt stops them. A track is made halted.
func (tr *track) run() {
	for _, p := range tr.processes {
		p.Signal(syscall.SIGCONT)
	}
}

func (tr *track) halt() {
	for _, p := range tr.processes {
		p.Signal(syscall.SIGSTOP)
	}
}

// wires are the veths of a track. Their names are unique on the machine, as PinNAPI wants.
type wires struct {
	sources, ins []*lab.Interface // the ends of as many pairs
	out, far     *lab.Interface
}

// wire joins a forwarder to a source host, by so many pairs, and to a far host. tag is a letter or two, another one for each track.
func (s *stand) wire(tag string, forwarder *lab.Host, pairs int) wires {
	name := func(part string) string { return fmt.Sprintf("%s%s%d", tag, part, os.Getpid()) }
	var w wires
	near := s.lab.Host(tag + "-near")
	for i := range pairs {
		part := func(p string) string { return name(p + "0123"[i:i+1]) }
		end := near.End(part("s"))
		if i == 0 {
			end.Addrs = []string{s.traffic.nearHost.String()}
		}
		in := forwarder.End(part("i"))
		in.MAC = "02:00:00:00:00:11" // the same for all, since all frames of a source go to one
		source, port := s.lab.Link(end, in, lab.LinkOptions{})
		w.sources, w.ins = append(w.sources, source), append(w.ins, port)
	}
	far := s.lab.Host(tag+"-far").End(name("f"), s.traffic.farHost.String())
	w.out, w.far = s.lab.Link(forwarder.End(name("o")), far, lab.LinkOptions{})
	return w
}

// ends are what a track is to have of load.
type ends struct {
	source load.SourceOptions // but for what follows from wires and traffic
	sink   load.SinkOptions
}

// join puts the sink and the source on the wires of a track whose forwarder has been started, waits until it forwards, and places the
// receiving side of the wires. The error is that of a forwarder that does not forward.
func (s *stand) join(tr *track, w wires, e ends) error {
	sink, err := load.NewSink(w.far, e.sink)
	if err != nil {
		return err
	}
	s.t.Cleanup(func() { sink.Close() })
	o := e.source
	o.Devices, o.To, o.Src = w.sources, w.ins[0].MAC, s.traffic.nearHost.Addr()
	o.CPU, o.Flows = s.o.sourceCPU, s.o.flows
	if o.Destinations == nil {
		o.Destinations = s.traffic.destinations
	}
	source, err := load.NewSource(o)
	if err != nil {
		return err
	}
	s.t.Cleanup(func() { source.Close() })
	tr.source, tr.sink, tr.traffic = source, sink, s.traffic
	if tr.scenario == "" {
		tr.scenario = s.o.current.name
	}
	defer tr.halt()
	if err := tr.awaitForwarding(); err != nil {
		return err
	}
	if err := tr.try(len(o.Destinations)); err != nil {
		return err
	}
	tr.placement.place(s.t, w, s.o.workCPU)
	return nil
}

const (
	// patience bounds the time until a contender forwards: DPDK reads a million rules before.
	patience = 90 * time.Second
	// trial is how many destinations are tried, which are random ones, before anything is measured.
	trial = 10_000
	// arrival is how long packets may be on their way.
	arrival = 100 * time.Millisecond
)

// awaitForwarding sends a few packets until one arrives.
func (tr *track) awaitForwarding() (err error) {
	if err := errors.Join(tr.source.SetRate(100), tr.source.Start()); err != nil {
		return err
	}
	defer func() {
		_, stopped := tr.source.Stop()
		err = errors.Join(err, stopped)
	}()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		counts, err := tr.sink.Counts()
		if err != nil {
			return err
		}
		if counts.Packets > 0 {
			return nil
		}
		for _, p := range tr.processes {
			if !p.Running() {
				return fmt.Errorf("it has ended:\n%s", tail(p.Output()))
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no packet was forwarded within %v%s", patience, tr.log())
		}
	}
}

// try sends a packet to each of many destinations, of which nearly all must arrive: a contender that lacks half of the routes would be
// measured with half of the work. It is slow, and slower each time again, so that what else the machine does is not taken for that.
func (tr *track) try(destinations int) (err error) {
	const fastest, slowest = 20_000, 1_000 // packets per second
	n := min(destinations, trial)
	for rate := fastest; rate > slowest; rate /= 2 {
		var sent, arrived uint64
		if sent, arrived, err = tr.send(n, rate); err != nil {
			return err
		}
		if sent > 0 && arrived >= sent-sent/10 {
			return tr.source.SetRate(0)
		}
		err = fmt.Errorf("of %d packets, sent %d a second to as many destinations, %d were forwarded%s",
			sent, rate, arrived, tr.log())
	}
	return err
}

// send sends about n packets, but 100 at least, at a rate, and counts those that arrive.
func (tr *track) send(n, rate int) (sent, arrived uint64, err error) {
	before, err := tr.sink.Counts()
	if err != nil {
		return 0, 0, err
	}
	if err := errors.Join(tr.source.SetRate(rate), tr.source.Start()); err != nil {
		return 0, 0, err
	}
	time.Sleep(time.Duration(max(n, 100)) * time.Second / time.Duration(rate))
	if sent, err = tr.source.Stop(); err != nil {
		return 0, 0, err
	}
	time.Sleep(arrival)
	after, err := tr.sink.Counts()
	return sent, after.Packets - before.Packets, err
}

// log is the end of what the contender has written.
func (tr *track) log() string {
	text := ""
	for _, p := range tr.processes {
		text += ":\n" + tail(p.Output())
	}
	return text
}
