package e2e

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"nsrouter/internal/corpus"
)

// permit is a difference between this router and Linux that is meant. Its name is that of a row of "Where the router
// differs from Linux" in docs/conformance.md, which has the reason.
type permit struct {
	name  string
	match func(o *outcome) bool
	used  int
	// maybe says that it depends on how the kernel was built whether there is such a difference.
	maybe bool
}

type permits []*permit

// newPermits lists all differences that are meant, each as narrow as can be.
func newPermits() permits {
	return permits{
		{name: "multicast-source-mac", match: func(o *outcome) bool {
			return o.sentFrame()[6]&1 != 0 && o.oursNothing()
		}},
		{name: "mapped-addresses", match: func(o *outcome) bool {
			f := o.sentFrame()
			return is6(f) && o.oursNothing() && (source(f).Is4In6() || destination(f).Is4In6())
		}},
		{name: "arp-padding", match: func(o *outcome) bool {
			return o.pairwise(func(ours, kernel []byte) bool {
				rest, ok := bytes.CutPrefix(ours, kernel)
				return ok && etherType(kernel) == 0x0806 && len(kernel) == 42 && len(rest) == 18 &&
					len(bytes.Trim(rest, "\x00")) == 0
			})
		}},
		{name: "no-tcp", match: func(o *outcome) bool {
			return o.oursNothing() && o.kernelOnly(func(f []byte) bool {
				p, h := transportOf(f)
				return p == 6 && len(h) >= 20 && h[13]&4 != 0 && routerAddress(source(f))
			})
		}},
		{name: "unspecified-source", match: func(o *outcome) bool {
			f := o.sentFrame()
			return is6(f) && source(f).IsUnspecified() && o.oursNothing() && o.kernelOnly(func(k []byte) bool {
				return is6(k) && source(k).IsUnspecified()
			})
		}},
		{name: "broadcast-source", match: func(o *outcome) bool {
			f := o.sentFrame()
			if !is4(f) || !directedBroadcast(source(f)) {
				return false
			}
			if len(o.sent[kernels]) == 0 { // which looks at sources only where it may send a redirect
				return len(o.sent[ours]) == 1 && o.sent[ours][0].port == 1 && source(o.sent[ours][0].frame) == source(f)
			}
			return o.oursNothing() && o.kernelOnly(func(k []byte) bool {
				p, m := transportOf(k)
				return p == 1 && (m[0] == 3 || m[0] == 11 || m[0] == 12 || m[0] == 0 || m[0] == 14) && destination(k) == source(f)
			})
		}},
		{name: "error-about-broadcast", maybe: true, match: func(o *outcome) bool { // only where they are forwarded
			f := o.sentFrame()
			return is4(f) && directedBroadcast(destination(f)) && o.oursNothing() && o.kernelOnly(func(k []byte) bool {
				p, m := transportOf(k)
				return p == 1 && (m[0] == 3 || m[0] == 11 || m[0] == 12)
			})
		}},
		// Other packets have addresses enough that the kernel's limit (net/ipv4/route.c, ip_error) is not met.
		{name: "errors-to-a-source", maybe: true, match: func(o *outcome) bool {
			f := o.sentFrame()
			if !is4(f) || source(f) != netip.MustParseAddr("10.0.1.0") || len(o.sent[kernels]) > 0 {
				return false
			}
			return !slices.ContainsFunc(o.sent[ours], func(x response) bool {
				p, m := transportOf(x.frame)
				return p != 1 || m[0] != 3 || m[1] > 1 && m[1] != 13
			})
		}},
		{name: "error-about-redirect", match: func(o *outcome) bool {
			return o.kernelBut(func(k []byte) bool {
				p, m := transportOf(k)
				if p != 58 || m[0] >= 128 || len(m) < 48 {
					return false
				}
				quoted := append(append(slices.Clone(k[:12]), 0x86, 0xdd), m[8:]...)
				r := behind(quoted, 58)
				return len(r) > 0 && r[0] == 137
			})
		}},
		{name: "no-redirect", match: func(o *outcome) bool {
			return o.kernelBut(func(k []byte) bool {
				p, m := transportOf(k)
				return p == 58 && m[0] == 137 && destination(k) == source(o.sentFrame())
			})
		}},
		{name: "bounded-walk", match: func(o *outcome) bool {
			f := o.sentFrame()
			if !is6(f) || headers(f) <= maxHeaders {
				return false
			}
			if m := behind(f, 58); len(m) > 0 && m[0] < 128 && len(o.sent[kernels]) == 0 { // an error far behind
				return len(o.sent[ours]) == 1
			}
			return routerAddress(destination(f)) && o.oursNothing()
		}},
		{name: "routing-type-2", maybe: true, match: func(o *outcome) bool {
			r := behind(o.sentFrame(), 43)
			return len(r) > 3 && r[2] == 2 && routerAddress(destination(o.sentFrame()))
		}},
		{name: "echo-by-another-port", maybe: true, match: func(o *outcome) bool {
			f := o.sentFrame()
			if !is6(f) || len(o.sent[kernels]) != 0 || len(o.sent[ours]) != 1 || o.sent[ours][0].port == 1 {
				return false
			}
			to := destination(f)
			anycast := to == netip.MustParseAddr("2001:db8:1::") || to == netip.MustParseAddr("2001:db8:2::")
			p, m := transportOf(o.sent[ours][0].frame)
			return (to.IsMulticast() || anycast) && p == 58 && m[0] == 129 && destination(o.sent[ours][0].frame) == source(f)
		}},
		{name: "kernel-multicast-routing", maybe: true, match: func(o *outcome) bool {
			const pim = 103
			f := o.sentFrame()
			if !routerAddress(destination(f)) || len(o.sent[kernels]) != 0 {
				return false
			}
			return is4(f) && f[23] == pim || is6(f) && f[20] == pim
		}},
		{name: "commercial-security", maybe: true, match: func(o *outcome) bool {
			f := o.sentFrame()
			if options := behind(f, 0); len(options) > 2 && options[2] == 7 { // CALIPSO, the same for IPv6
				return len(o.sent[kernels]) == 0
			}
			has := is4(f) && f[14] > 0x45 && len(f) > 36 &&
				bytes.IndexByte(f[34:min(len(f), 14+int(f[14]&15)*4)], 134) >= 0
			return has && (len(o.sent[kernels]) == 0 || o.kernelOnly(func(k []byte) bool {
				p, m := transportOf(k)
				return p == 1 && m[0] == 12
			}))
		}},
		{name: "payload-length-0", match: func(o *outcome) bool {
			f := o.sentFrame()
			return is6(f) && f[18] == 0 && f[19] == 0 && (f[20] == 0 || f[20] == 44) && len(f) > 54 && o.oursNothing()
		}},
		{name: "route-mtu", match: func(o *outcome) bool {
			return o.pairwise(func(ours, kernel []byte) bool {
				p, m := transportOf(kernel)
				q, n := transportOf(ours)
				if p != 58 || q != 58 || len(m) != len(n) || len(m) < 48 || m[0] != 2 ||
					binary.BigEndian.Uint32(n[4:]) != 1300 {
					return false
				}
				// Either the kernel has looked at the device's MTU first, or lowered the hop limit first.
				device := binary.BigEndian.Uint32(m[4:]) == corpus.MTU2 && m[15] == n[15]
				lowered := binary.BigEndian.Uint32(m[4:]) == 1300 && m[15]+1 == n[15]
				return (device || lowered) && bytes.Equal(n[8:15], m[8:15]) && bytes.Equal(n[16:], m[16:]) &&
					bytes.Equal(ours[:54], kernel[:54])
			})
		}},
		{name: "group-mac-source", maybe: true, match: func(o *outcome) bool { // some random packets meet it
			f := o.sentFrame()
			return is6(f) && f[0]&1 != 0 && o.pairwise(func(ours, kernel []byte) bool {
				p, m := transportOf(kernel)
				q, n := transportOf(ours)
				return p == 58 && q == 58 && len(m) == len(n) && m[0] == 4 && bytes.Equal(m[4:], n[4:]) &&
					m[0] == n[0] &&
					source(ours) == destination(f) && routerAddress(source(kernel))
			})
		}},
		{name: "no-station-mac", match: func(o *outcome) bool {
			f := o.sentFrame()
			var m []byte
			if n := behind(f, 58); len(n) >= 32 && n[0] == 135 && n[24] == 1 {
				m = n[26:32]
			} else if etherType(f) == 0x0806 && len(f) >= 42 {
				m = f[22:28]
			}
			no := len(m) == 6 && (m[0]&1 != 0 || bytes.Equal(m, make([]byte, 6)) || bytes.Equal(m, routerMAC(1)))
			return no && o.oursNothing()
		}},
		{name: "solicitation-behind-headers", match: func(o *outcome) bool {
			f := o.sentFrame()
			n := behind(f, 58)
			return len(n) > 0 && n[0] == 135 && f[20] != 58 && o.oursNothing() && o.kernelOnly(func(k []byte) bool {
				p, m := transportOf(k)
				return p == 58 && m[0] == 136
			})
		}},
		{name: "target-option", match: func(o *outcome) bool {
			return o.pairwise(func(ours, kernel []byte) bool {
				p, m := transportOf(kernel)
				q, n := transportOf(ours)
				return p == 58 && q == 58 && len(m) == 24 && len(n) == 32 && m[0] == 136 &&
					n[4]&^0x20 == m[4]&^0x20 && bytes.Equal(n[5:24], m[5:]) && n[24] == 2
			})
		}},
	}
}

// permit tells whether a difference is meant, and counts it.
func (p permits) permit(o *outcome) bool {
	for _, x := range p {
		if len(o.sent[ours])+len(o.sent[kernels]) > 0 && x.match(o) {
			x.used++
			return true
		}
	}
	return false
}

// check fails the test for a permission that nothing has used: it may hide something one day.
func (p permits) check(t *testing.T) {
	t.Helper()
	for _, x := range p {
		t.Logf("%d differences: %s", x.used, x.name)
		if x.used == 0 && !x.maybe {
			t.Errorf("no packet needs the permission %q", x.name)
		}
	}
}

// TestPermits: each permitted difference is a row of the conformance table, and each such row is one of them.
func TestPermits(t *testing.T) {
	const heading = "Where the router differs from Linux"
	text, err := os.ReadFile(conformance)
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", conformance, heading)
	}
	rows := make(map[string]bool)
	for _, r := range conformanceRows(t) {
		if r.heading == heading {
			rows[strings.Trim(r.cells[0], "`")] = true
		}
	}
	for _, p := range newPermits() {
		if !rows[p.name] {
			t.Errorf("%s is not in the table: %d bytes of section", p.name, len(section))
		}
		delete(rows, p.name)
	}
	for name := range rows {
		t.Errorf("the table has %s, which is no permission", name)
	}
}

// sentFrame is the first frame that was sent, without a priority tag.
func (o *outcome) sentFrame() []byte { return untagged(o.probe.Frames(o.n)[0]) }

func (o *outcome) oursNothing() bool { return len(o.sent[ours]) == 0 }

// kernelOnly tells whether match is true of all that the kernel sent, and that there was something.
func (o *outcome) kernelOnly(match func([]byte) bool) bool {
	for _, x := range o.sent[kernels] {
		if !match(x.frame) {
			return false
		}
	}
	return len(o.sent[kernels]) > 0
}

// kernelBut tells whether both have done the same but for frames of the kernel's of which extra is true.
func (o *outcome) kernelBut(extra func([]byte) bool) bool {
	less := outcome{sent: [2][]response{o.sent[ours], nil}}
	for _, x := range o.sent[kernels] {
		if !extra(x.frame) {
			less.sent[kernels] = append(less.sent[kernels], x)
		}
	}
	return len(less.sent[kernels]) < len(o.sent[kernels]) && less.same()
}

// pairwise tells whether what both sent by the same port is equal or alike, frame by frame in their order.
func (o *outcome) pairwise(alike func(ours, kernel []byte) bool) bool {
	if len(o.sent[ours]) != len(o.sent[kernels]) {
		return false
	}
	for i, x := range o.sent[ours] {
		y := o.sent[kernels][i]
		a, b := normalize(x.frame), normalize(y.frame)
		if x.port != y.port || !bytes.Equal(a, b) && !alike(a, b) {
			return false
		}
	}
	return true
}
