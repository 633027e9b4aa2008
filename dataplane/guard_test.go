package dataplane

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
)

// What is guarded here is exact: what a packet costs in copies, calls of the kernel's side and memory, and whether the compiler still
// makes of small functions what their callers count on. None of it depends on the machine or on time. Allocations are in
// TestNoAllocation; system calls of each call of a queue in TestSystemCalls of package afxdp.

// TestNoCopy: a forwarded packet leaves in the frame that it came in, at the same place, and in that frame nothing has changed but
// addresses, TTL and checksum. Below the packet the store of the new addresses may reach (headroom bytes).
func TestNoCopy(t *testing.T) {
	const headroom, payload = 32, 200
	for name, c := range map[string]struct {
		packet  []byte
		changes []int // bytes of the network header that may differ
	}{
		"IPv4": {udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), payload), []int{8, 10, 11}},
		"IPv6": {udp6(t, p1, ip6("2001:db8:1::2", "2001:db8:2::2", 64), payload), []int{7}},
	} {
		r := newRig(t)
		d, ok := r.w.cache.New(len(c.packet))
		if !ok {
			t.Fatal("no free frame")
		}
		first := d.Addr / frame.Size * frame.Size
		whole := r.pool.Bytes()[first : first+frame.Size]
		for i := range whole {
			whole[i] = byte(i*7 + 1)
		}
		frame.Write(r.pool.Bytes(), d, c.packet)
		before := bytes.Clone(whole)
		r.ports[p1].rx = append(r.ports[p1].rx, d)
		r.step()
		if out := r.ports[p2].tx; len(out) != 1 || out[0] != d {
			t.Errorf("%s: %+v came in, %+v left", name, d, out)
			continue
		}
		at := int(d.Addr - first)
		network := at + header.EthernetLen
		allowed := make(map[int]bool)
		for i := at - headroom; i < at+2*header.MACLen; i++ {
			allowed[i] = true
		}
		for _, i := range c.changes {
			allowed[network+i] = true
		}
		for i := range whole {
			if whole[i] != before[i] && !allowed[i] {
				t.Errorf("%s: byte %d of the frame, %d of the packet, was %#x and is %#x", name, i, i-at, before[i], whole[i])
			}
		}
	}
}

// countingPort counts the calls that may be system calls.
type countingPort struct {
	*memPort
	receives, transmits, flushes, completes, refills int
}

func (c *countingPort) Receive(d []frame.Desc) int { c.receives++; return c.memPort.Receive(d) }

func (c *countingPort) Transmit(d []frame.Desc) int { c.transmits++; return c.memPort.Transmit(d) }

// Flush sends at once, as a queue does that copies.
func (c *countingPort) Flush() { c.flushes++; c.take() }

func (c *countingPort) Pending() int { return len(c.tx) + len(c.sent) }

func (c *countingPort) Complete(cache *frame.Cache) int {
	c.completes++
	return c.memPort.Complete(cache)
}

func (c *countingPort) Refill(cache *frame.Cache) int { c.refills++; return c.memPort.Refill(cache) }

// TestCallsOfRound: in a round with a full batch a port is called once for each purpose, and only the port that packets leave by
// is flushed.
func TestCallsOfRound(t *testing.T) {
	r := newRig(t)
	r.step() // the first round does what is done ten times a second
	counting := make(map[nstable.DeviceID]*countingPort)
	for _, p := range r.w.ports {
		counting[p.dev] = &countingPort{memPort: r.ports[p.dev]}
		p.Port = counting[p.dev]
	}
	b := udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 22)
	for range vectorSize {
		r.inject(p1, b)
	}
	if n := r.w.round(); n != vectorSize {
		t.Fatalf("%d packets in a round, want %d", n, vectorSize)
	}
	for dev, c := range counting {
		got := [5]int{c.receives, c.transmits, c.flushes, c.completes, c.refills}
		want := [5]int{1, 0, 0, 0, 1}
		if dev == p2 {
			want = [5]int{1, 1, 1, 1, 1}
		}
		if got != want {
			t.Errorf("port %d: receive, transmit, flush, complete, refill were called %v times, want %v", dev, got, want)
		}
	}
	r.conserved()
}

// hotFiles are those of this package that each forwarded packet passes through.
var hotFiles = []string{ //nolint:gochecknoglobals // constant
	"ethernet_input.go", "ip4_forward.go", "ip4_input.go", "ip6_forward.go", "ip6_input.go", "packet.go", "transmit.go", "worker.go",
}

// inlined are functions that are called for each packet and are cheap only as long as the compiler puts them into their callers.
var inlined = []string{ //nolint:gochecknoglobals // constant
	"header.Ethernet.Type", "header.EthernetWords.Destination", "header.IPv4.TTL", "header.IPv4.Source", "header.Fold",
	"header.LoadEthernet",
	"dataplane.(*Worker).to", "dataplane.(*Worker).network", "dataplane.(*Worker).ethernet", "dataplane.(*Packet).desc",
}

// TestCompiler asks the compiler whether what is hot is inlined, and whether something there goes to the heap.
func TestCompiler(t *testing.T) {
	if err := exec.Command("go", "version").Run(); err != nil {
		t.Fatalf("the go command is needed: %v", err)
	}
	out, err := exec.Command("go", "build", "-gcflags=-m", "./", "./header", "./frame").CombinedOutput()
	if err != nil {
		t.Fatalf("go build -gcflags=-m: %v\n%s", err, out)
	}
	inlines := make(map[string]bool)
	pkg := ""
	can := regexp.MustCompile(`: can inline (\S+?)(\[|$| with)`)
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if path, ok := strings.CutPrefix(line, "# "); ok {
			pkg = filepath.Base(path)
		}
		if m := can.FindStringSubmatch(line); m != nil {
			inlines[pkg+"."+m[1]] = true
		}
		file, _, _ := strings.Cut(line, ":")
		for _, hot := range hotFiles {
			heap := strings.HasSuffix(line, "escapes to heap") || strings.Contains(line, "moved to heap")
			// Lists that keep what they have once grown to are no matter: TestNoAllocation sees those that grow again.
			if pkg == "dataplane" && filepath.Base(file) == hot && heap && !strings.Contains(line, "append escapes") {
				t.Errorf("on a packet's path something goes to the heap: %s", line)
			}
		}
	}
	for _, f := range inlined {
		if !inlines[f] {
			t.Errorf("%s is not inlined any more (go build -gcflags=-m=2 says why), or has another name: then change this list", f)
		}
	}
	for _, hot := range hotFiles {
		if _, err := os.Stat(hot); err != nil {
			t.Errorf("%v: if what was in it is elsewhere now, change the list", err)
		}
	}
}
