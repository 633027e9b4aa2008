package dataplane

import "testing"

// TestSmallestMTU4: a datagram of 68 bytes passes every link as it is (RFC 791 3.2); one more
// byte does not.
func TestSmallestMTU4(t *testing.T) {
	for size, want := range map[int]int{68 - 28: 1, 69 - 28: 2} {
		r := newRig(t)
		r.view.Devices[p2].MTU = 68
		r.inject(p1, udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), size))
		r.step()
		if sent := r.ports[p2].take(); len(sent) != want {
			t.Errorf("%d bytes: %d packets", size+28, len(sent))
		}
		r.conserved()
	}
}
