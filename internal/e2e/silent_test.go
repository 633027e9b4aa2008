package e2e

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"nsrouter/internal/corpus"
)

// TestReferenceNeighbors compares with the Linux kernel what a router does about neighbours that it does not know: whom
// it asks, how often and with what, what it says when nobody answers, and that it sends what has waited when somebody
// does.
func TestReferenceNeighbors(t *testing.T) {
	t.Parallel()
	r := newReference(t)
	const (
		hosts  = 12 // of each family; every second one answers
		waiter = 3  // packets for each: as many as both hold (at least)
	)
	addr := func(v6 bool, k int) string {
		if v6 {
			return fmt.Sprintf("2001:db8:2::%x", 0x50+k)
		}
		return fmt.Sprintf("10.0.2.%d", 0x50+k)
	}
	for _, v6 := range []bool{false, true} {
		for k := range hosts {
			for range waiter {
				r.next++
				for _, f := range corpus.To(v6, addr(v6, k)).Frames(r.next) {
					for s := range r.sides {
						r.sides[s].at[1].Send(f)
					}
				}
			}
		}
	}
	time.Sleep(100 * time.Millisecond)
	for _, v6 := range []bool{false, true} {
		for k := 0; k < hosts; k += 2 {
			for s := range r.sides {
				r.sides[s].at[2].Send(corpus.Answer(netip.MustParseAddr(addr(v6, k))))
			}
		}
	}
	time.Sleep(4500 * time.Millisecond)
	var seen [2][]string
	for s := range r.sides {
		for port := 1; port <= 2; port++ {
			for _, f := range r.sides[s].at[port].Take() {
				if b := f.Data; len(b) < 63 || !is6(b) ||
					b[62] != 143 { // reports of multicast groups have their own time
					seen[s] = append(seen[s], fmt.Sprintf("port %d: %x", port, normalize(unpadded(b))))
				}
			}
		}
		slices.Sort(seen[s])
	}
	for _, line := range missing(seen[ours], seen[kernels]) {
		t.Errorf("not of the kernel: %s", line)
	}
	for _, line := range missing(seen[kernels], seen[ours]) {
		t.Errorf("only of the kernel: %s", line)
	}
	// Requests, answers or errors, for each host.
	if n := len(seen[kernels]); n < 2*hosts*(waiter+1) {
		t.Errorf("the kernel has sent %d packets only", n)
	}
	r.conserved()
}

// unpadded is a frame without the padding behind an ARP packet.
func unpadded(f []byte) []byte {
	if etherType(f) == 0x0806 && len(f) > 42 {
		return f[:42]
	}
	return f
}

// missing lists what of a is not in b, both sorted and each as often as it is there.
func missing(a, b []string) []string {
	var out []string
	for i, j := 0, 0; i < len(a); {
		switch {
		case j == len(b) || a[i] < b[j]:
			out = append(out, a[i])
			i++
		case a[i] == b[j]:
			i, j = i+1, j+1
		default:
			j++
		}
	}
	return out
}
