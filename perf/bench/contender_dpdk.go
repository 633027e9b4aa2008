package main

import (
	"fmt"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
	"nsrouter/perf/dpdk"
	"nsrouter/perf/results"
)

// MiB of memory of each of DPDK's programs.
const (
	testpmdMiB = 192
	l3fwdMiB   = 1200
)

// testpmd has DPDK's testpmd give packets the MAC addresses of a hop. It looks nothing up, and leaves the TTL as it is.
func (s *stand) testpmd() (*track, error) {
	program, err := dpdk.Testpmd()
	if err != nil {
		return nil, err
	}
	h := s.lab.Host("testpmd")
	w := s.wire("t", h, 1)
	eal := s.eal(w, fmt.Sprintf("0@%d,1@%d", s.o.sourceCPU, s.o.workCPU), testpmdMiB)
	p := h.Start(program, append(eal, dpdk.TestpmdMAC(w.far.MAC)...)...)
	tr := &track{name: results.Testpmd, placement: s.where, processes: []*lab.Process{p}}
	return tr, s.join(tr, w, ends{sink: load.SinkOptions{TTL: load.TTL}})
}

// l3fwd has DPDK's l3fwd route. Of IPv6 packets it leaves the hop limit as it is.
func (s *stand) l3fwd() (*track, error) {
	program, err := dpdk.L3fwd()
	if err != nil {
		return nil, err
	}
	var rules dpdk.Rules
	if s.traffic.farHost.Addr().Is6() {
		rules, err = dpdk.WriteRules(s.lab.Dir, nil, s.traffic.routes)
	} else {
		rules, err = dpdk.WriteRules(s.lab.Dir, s.traffic.routes, nil)
	}
	if err != nil {
		return nil, err
	}
	h := s.lab.Host("l3fwd")
	w := s.wire("d", h, 1)
	eal := s.eal(w, fmt.Sprintf("0@%d", s.o.workCPU), l3fwdMiB)
	p := h.Start(program, append(eal, dpdk.L3fwdFIB(w.far.MAC, rules)...)...)
	tr := &track{name: results.L3fwd, placement: s.where, processes: []*lab.Process{p}}
	var e ends
	if s.traffic.farHost.Addr().Is6() {
		e.sink.TTL = load.TTL
	}
	return tr, s.join(tr, w, e)
}

func (s *stand) eal(w wires, lcores string, mib int) []string {
	return dpdk.EAL{
		Lcores: lcores, HugePages: s.hugePages, MiB: mib,
		Devices: []string{"net_af_xdp0,iface=" + w.ins[0].Name, "net_af_xdp1,iface=" + w.out.Name},
	}.Args()
}
