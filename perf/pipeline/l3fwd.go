package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"

	"nsrouter/perf/dpdk"
	"nsrouter/perf/results"
)

// newL3fwd starts DPDK's l3fwd over two ports of net_null, with routes that all lead to the second. memsource (in perf/dpdk) has it
// receive the packets of a scenario on both.
func (f *field) newL3fwd(title string, huge bool, s *site, packets [][]byte) (*peer, error) {
	program, err := dpdk.L3fwd()
	if err != nil {
		return nil, err
	}
	source := filepath.Join(filepath.Dir(program), "dpdk-memsource.so")
	if _, err := os.Stat(source); err != nil {
		return nil, fmt.Errorf("%w: %w", err, dpdk.ErrNotInstalled)
	}
	dir, err := os.MkdirTemp("", "nsrouter-l3fwd")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it has read all when it forwards
	rules, err := dpdk.WriteRules(dir, s.v4, s.v6)
	if err != nil {
		return nil, err
	}
	frames := filepath.Join(dir, "frames")
	if err := os.WriteFile(frames, bytes.Join(packets, nil), 0o600); err != nil {
		return nil, err
	}
	device := fmt.Sprintf(",size=%d,copy=0", frameLen)
	eal := dpdk.EAL{
		Lcores: fmt.Sprintf("0@%d", f.o.cpu), HugePages: huge, MiB: 1024,
		Devices: []string{"net_null0" + device, "net_null1" + device},
	}.Args()
	eal = slices.DeleteFunc(eal, func(a string) bool { return a == "--no-telemetry" })
	prefix := "l3fwd-" + title
	to := hostMAC(1, 1)
	args := append(append(eal, "--file-prefix", filePrefix(prefix)), dpdk.L3fwdFIB(net.HardwareAddr(to[:]), rules)...)
	args = slices.DeleteFunc(args, func(a string) bool { return a == "--parse-ptype" }) // memsource sets the types, as a card does
	env := []string{"LD_PRELOAD=" + source, "MEMSOURCE=" + frames, fmt.Sprintf("MEMSOURCE_LEN=%d", frameLen)}
	return startPeer(title, 2, program, prefix, args, env...)
}

// addL3fwd adds l3fwd with the packets of the scenarios with full tables.
func (f *field) addL3fwd(huge bool, s *site) {
	for _, e := range slices.Clone(f.entrants) {
		c, ok := e.contender.(*ours)
		if !ok || !slices.Contains([]string{results.IP4Full, results.IP4FullHot, results.IP6Full}, e.scenarios[0]) {
			continue
		}
		p, err := f.newL3fwd(e.scenarios[0], huge, s, c.ways[0].packets)
		if err != nil {
			what := "DPDK's l3fwd, " + e.scenarios[0]
			if errors.Is(err, dpdk.ErrNotInstalled) {
				what = "in " + e.scenarios[0]
			}
			f.run.Missing = append(f.run.Missing, fmt.Sprintf("%s: %v", what, err))
			continue
		}
		f.add(p, results.L3fwd, e.scenarios...)
	}
}
