package e2e

import (
	"testing"
	"time"

	"nsrouter/internal/corpus"
)

// variation is a setting that both routers have, and the packets that meet it.
type variation struct {
	ours   string            // commands, one a line
	undo   string            // what takes them back
	kernel map[string]string // sysctls
	probes []corpus.Probe
}

// TestReferenceSettings compares with the Linux kernel what settings change, over the packets that each is about.
func TestReferenceSettings(t *testing.T) {
	r := newReference(t)
	r.patience = 100 * time.Millisecond // no packet here waits for a neighbour
	for _, v := range []variation{
		{
			ours: "link set p1 rp-filter strict", undo: "link set p1 rp-filter off",
			kernel: map[string]string{"net.ipv4.conf.p1.rp_filter": "1"}, probes: corpus.PairsOf(false, "source"),
		},
		{
			ours: "link set p1 rp-filter loose", undo: "link set p1 rp-filter off",
			kernel: map[string]string{"net.ipv4.conf.p1.rp_filter": "2"}, probes: corpus.PairsOf(false, "source"),
		},
		{
			ours: "link set p1 accept-source-route on", undo: "link set p1 accept-source-route off",
			kernel: map[string]string{"net.ipv4.conf.p1.accept_source_route": "1", "net.ipv4.conf.all.accept_source_route": "1"},
			probes: corpus.PairsOf(false, "options"),
		},
		{
			ours: "link set p1 bc-forwarding on\nlink set p2 bc-forwarding on",
			undo: "link set p1 bc-forwarding off\nlink set p2 bc-forwarding off",
			kernel: map[string]string{
				"net.ipv4.conf.all.bc_forwarding": "1", "net.ipv4.conf.p1.bc_forwarding": "1",
				"net.ipv4.conf.p2.bc_forwarding": "1",
			},
			probes: corpus.PairsOf(false, "destination"),
		},
		{
			ours: "link set p1 send-redirects on", undo: "link set p1 send-redirects off",
			kernel: map[string]string{"net.ipv4.conf.p1.send_redirects": "1"}, probes: corpus.PairsOf(false, "destination"),
		},
	} {
		t.Run(v.ours, func(*testing.T) {
			r.r.Must(v.ours)
			for key, value := range v.kernel {
				r.linux.Sysctl(key, value)
			}
			_, bad := r.compare(v.probes, newPermits())
			r.report(bad)
			r.r.Must(v.undo)
			for key := range v.kernel {
				r.linux.Sysctl(key, "0")
			}
		})
	}
	r.lossless()
	r.conserved()
}
