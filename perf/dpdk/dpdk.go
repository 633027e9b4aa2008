// Package dpdk is what the benchmarks need to run DPDK's programs as peers: where they are, memory for them, their command lines, and
// the routes of l3fwd. `make bench-deps` installs and builds them.
package dpdk

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNotInstalled is that of a program that is not there, with the mend.
var ErrNotInstalled = errors.New("not installed: make bench-deps")

// Testpmd finds testpmd, which Debian has in dpdk-dev.
func Testpmd() (string, error) {
	path, err := exec.LookPath("dpdk-testpmd")
	if err != nil {
		return "", fmt.Errorf("DPDK testpmd: %w", ErrNotInstalled)
	}
	return path, nil
}

// L3fwd finds l3fwd as build-l3fwd makes it: .bin/dpdk-l3fwd of the module that the working directory is in.
func L3fwd() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: go env GOMOD: %w", err)
	}
	path := filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), ".bin", "dpdk-l3fwd")
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("DPDK l3fwd: %w", ErrNotInstalled)
	case err != nil:
		return "", err
	}
	return path, nil
}

// EAL are the arguments of DPDK's environment layer, which every program takes first.
type EAL struct {
	// Lcores are lcores and the CPUs that they run on: 0@1 has lcore 0 on CPU 1.
	Lcores string
	// HugePages is whether there are enough (package hugepages).
	HugePages bool
	// MiB is how much memory there is to be without huge pages. On huge pages a program takes what it needs.
	MiB int
	// Devices are virtual devices: "net_af_xdp0,iface=p1".
	Devices []string
}

// Args is the command line.
func (e EAL) Args() []string {
	args := []string{"--lcores", e.Lcores, "--no-pci", "--no-telemetry"}
	if e.HugePages {
		args = append(args, "--in-memory", "--single-file-segments")
	} else {
		args = append(args, "--no-shconf", "--no-huge", "-m", fmt.Sprint(e.MiB))
	}
	for _, d := range e.Devices {
		args = append(args, "--vdev", d)
	}
	return args
}

// TestpmdMAC are the arguments, after those of the EAL, with which testpmd gives each packet of one port the MAC addresses
// of a hop and sends it by the other; it looks nothing up. To is the neighbour on port 1. Its first lcore does nothing, its
// second forwards.
func TestpmdMAC(to net.HardwareAddr) []string {
	// It ends when its standard input does, unless it shows counters from time to time. Its 155,456 buffers would be
	// more than what it works with stays cached.
	return []string{
		"--", "--forward-mode=mac", "--eth-peer=1," + to.String(), "--nb-cores=1", "--total-num-mbufs=16384", "--no-mlockall",
		"--stats-period=3600", "--auto-start",
	}
}

// L3fwdFIB are the arguments, after those of the EAL, with which l3fwd routes between two ports by rte_fib, on lcore 0. To is the
// neighbour on port 1, to which all rules lead.
func L3fwdFIB(to net.HardwareAddr, r Rules) []string {
	return []string{
		"--", "-p", "3", "--config", "(0,0,0),(1,0,0)", "--lookup", "fib", "--parse-ptype", "--no-numa",
		"--rule_ipv4=" + r.v4, "--rule_ipv6=" + r.v6, "--eth-dest=1," + to.String(),
	}
}

// Rules are files of routes to port 1. l3fwd wants both families.
type Rules struct{ v4, v6 string }

// WriteRules writes the files into a directory. A family without routes gets one that no benchmark's packet takes.
func WriteRules(dir string, v4, v6 []netip.Prefix) (r Rules, err error) {
	if len(v4) == 0 {
		v4 = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	}
	if len(v6) == 0 {
		v6 = []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}
	}
	r = Rules{filepath.Join(dir, "l3fwd-ipv4"), filepath.Join(dir, "l3fwd-ipv6")}
	return r, errors.Join(write(r.v4, v4), write(r.v6, v6))
}

func write(file string, prefixes []netip.Prefix) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, p := range prefixes {
		fmt.Fprintf(w, "R%v 1\n", p) // the writer keeps the error for Flush
	}
	return errors.Join(w.Flush(), f.Close())
}
