package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
	"nsrouter/perf/results"
)

// contender is one who forwards.
type contender struct {
	title string
	// setup makes its track. What it cannot do for reasons of its own is an error: the others are measured without it.
	setup func(s *stand) (*track, error)
}

// contenders are all, by their names of package results.
func contenders() map[string]contender {
	return map[string]contender{
		results.Router:     {"this router, one worker", routerBy(results.Router, "r")},
		results.RouterBusy: {"this router, one worker that never sleeps", routerBy(results.RouterBusy, "b", "--poll", "busy")},
		results.RouterInterrupt: {
			"this router, one worker that never polls", routerBy(results.RouterInterrupt, "i", "--poll", "interrupt"),
		},
		results.Linux:   {"Linux kernel forwarding, in a namespace of its own", (*stand).linux},
		results.Testpmd: {"DPDK testpmd, mac, over net_af_xdp", (*stand).testpmd},
		results.L3fwd:   {"DPDK l3fwd, rte_fib, over net_af_xdp", (*stand).l3fwd},
		manyNamespaces:  {"this router, one worker, 1,024 namespaces", (*stand).manyNamespaces},
		oneNamespace:    {"this router, one worker, all in one namespace", (*stand).oneNamespace},
	}
}

// linux has the Linux kernel forward. It forwards where it receives, and has no halves that could be on two CPUs.
func (s *stand) linux() (*track, error) {
	h := s.lab.Host("kernel")
	w := s.wire("k", h, 1)
	h.Sysctl("net.ipv4.ip_forward", "1")
	h.Sysctl("net.ipv6.conf.all.forwarding", "1")
	w.ins[0].Addr(s.traffic.nearPort.String())
	w.out.Addr(s.traffic.farPort.String())
	h.Neighbor(w.out.Name, s.traffic.farHost.Addr().String(), w.far.MAC.String())
	if err := s.kernelRoutes(h); err != nil {
		return nil, err
	}
	detach, err := load.Pass(w.ins[0])
	if err != nil {
		return nil, err
	}
	s.t.Cleanup(detach)
	// The program has switched GRO on, which has nothing to merge here and only costs.
	w.ins[0].Offload("rx-gro", false)
	tr := &track{name: results.Linux, placement: allOnOne}
	return tr, s.join(tr, w, ends{})
}

// kernelRoutes has ip(8) load all routes.
func (s *stand) kernelRoutes(h *lab.Host) error {
	const limit = 5 * time.Minute // the kernel takes tens of thousands a second
	file := filepath.Join(s.lab.Dir, "kernel-routes")
	if err := os.WriteFile(file, []byte(s.routeLines()), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }() // the lab removes it at the latest
	if s.traffic.farHost.Addr().Is6() {
		h.Sysctl("net.ipv6.route.max_size", fmt.Sprint(1<<22)) // older kernels count routes towards it
	}
	ip := h.Start("ip", s.traffic.pick("-4", "-6"), "-batch", file)
	if status, err := ip.Wait(limit); err != nil || status != 0 {
		failed := fmt.Errorf("load %d routes by ip -batch: status %d: %s", len(s.traffic.routes), status, tail(ip.Output()))
		return errors.Join(failed, err)
	}
	return nil
}

// routeLines are commands that add all routes, for ip and router alike.
func (s *stand) routeLines() string {
	var lines strings.Builder
	via := " via " + s.traffic.farHost.Addr().String() + "\n"
	for _, p := range s.traffic.routes {
		lines.WriteString("route add " + p.String() + via)
	}
	return lines.String()
}

// startRouter starts a daemon with one worker; args are further ones of "router run".
func (s *stand) startRouter(name string, args ...string) *lab.Router {
	args = append([]string{"--cpus", fmt.Sprint(s.o.workCPU)}, args...)
	return s.lab.Router(lab.RouterOptions{Name: name, Memory: true, Args: args})
}

// routerBy makes the setup of a contender that is this router, with arguments of "router run". The names of its veths begin
// with the tag.
func routerBy(name, tag string, args ...string) func(*stand) (*track, error) {
	return func(s *stand) (*track, error) { return s.router(name, tag, args) }
}

// router has this router forward.
func (s *stand) router(name, tag string, args []string) (*track, error) {
	r := s.startRouter(name, args...)
	w := s.wire(tag, r.Host, 1)
	r.Must(fmt.Sprintf(`
		link add in type xdp host %s
		link add out type xdp host %s
		link set in up
		link set out up
		addr add %s dev in
		addr add %s dev out
		neigh add %s lladdr %s dev out nud permanent`,
		w.ins[0].Name, w.out.Name, s.traffic.nearPort, s.traffic.farPort, s.traffic.farHost.Addr(), w.far.MAC))
	r.Batch(s.routeLines())
	return s.joinRouter(r, w, &track{name: name}, ends{})
}

func (s *stand) joinRouter(r *lab.Router, w wires, tr *track, e ends) (*track, error) {
	tr.placement, tr.router, tr.processes = s.where, r, []*lab.Process{r.Process()}
	tr.mode = mode(s.t, r)
	const few = 10_000 // routes, of which the rest is done before it can be seen
	if len(s.traffic.routes) > few {
		if err := settle(r.Process()); err != nil {
			return nil, err
		}
	}
	return tr, s.join(tr, w, e)
}

// mode is the AF_XDP mode that the router's port got.
func mode(t lab.T, r *lab.Router) string {
	var links []struct {
		Info struct {
			Data struct{ Mode string } `json:"info_data"`
		} `json:"linkinfo"`
	}
	if err := json.Unmarshal([]byte(r.Must("-j link show dev out")), &links); err != nil || len(links) != 1 {
		t.Fatalf("router -j link show dev out: %d links, %v", len(links), err)
	}
	return links[0].Info.Data.Mode
}
