package e2e

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// permit is a difference between this router and Linux that is meant. Its name is that of a row of "Where the router
// differs from Linux" in docs/conformance.md, which has the reason.
type permit struct {
	name  string
	match func(o *outcome) bool
	used  int
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
				return ok && etherType(kernel) == 0x0806 && len(kernel) == 42 && len(rest) == 18 && len(bytes.Trim(rest, "\x00")) == 0
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
			return is4(f) && directedBroadcast(source(f)) && o.oursNothing() && o.kernelOnly(func(k []byte) bool {
				p, m := transportOf(k)
				return p == 1 && (m[0] == 3 || m[0] == 11 || m[0] == 12 || m[0] == 0) && destination(k) == source(f)
			})
		}},
		{name: "error-about-redirect", match: func(o *outcome) bool {
			p, m := transportOf(o.sentFrame())
			return p == 58 && len(m) > 0 && m[0] == 137 && o.oursNothing() && o.kernelOnly(func(k []byte) bool {
				p, m := transportOf(k)
				return p == 58 && m[0] < 128
			})
		}},
		{name: "payload-length-0", match: func(o *outcome) bool {
			f := o.sentFrame()
			return is6(f) && f[18] == 0 && f[19] == 0 && f[20] == 0 && len(f) > 54 && o.oursNothing()
		}},
		{name: "quoted-as-received", match: func(o *outcome) bool {
			return o.pairwise(func(ours, kernel []byte) bool {
				p, m := transportOf(kernel)
				q, n := transportOf(ours)
				if p != 58 || q != 58 || len(m) != len(n) || len(m) < 48 || m[0] != 2 || n[15] != m[15]+1 {
					return false
				}
				n = slices.Clone(n)
				n[15] = m[15]
				return bytes.Equal(n[4:], m[4:]) && n[0] == m[0] && bytes.Equal(ours[:54], kernel[:54])
			})
		}},
		{name: "target-option", match: func(o *outcome) bool {
			return o.pairwise(func(ours, kernel []byte) bool {
				p, m := transportOf(kernel)
				q, n := transportOf(ours)
				return p == 58 && q == 58 && len(m) == 24 && len(n) == 32 && m[0] == 136 && bytes.Equal(n[4:24], m[4:]) && n[24] == 2
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
		if x.used == 0 {
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

func (o *outcome) sentFrame() []byte { return o.probe.Frames(o.n)[0] }
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

func etherType(f []byte) uint16 { return binary.BigEndian.Uint16(f[12:]) }
func is4(f []byte) bool         { return len(f) >= 34 && etherType(f) == 0x0800 && f[14]>>4 == 4 }
func is6(f []byte) bool         { return len(f) >= 54 && etherType(f) == 0x86dd && f[14]>>4 == 6 }

func source(f []byte) netip.Addr {
	switch {
	case is4(f):
		return netip.AddrFrom4([4]byte(f[26:30]))
	case is6(f):
		return netip.AddrFrom16([16]byte(f[22:38]))
	}
	return netip.Addr{}
}

func destination(f []byte) netip.Addr {
	switch {
	case is4(f):
		return netip.AddrFrom4([4]byte(f[30:34]))
	case is6(f):
		return netip.AddrFrom16([16]byte(f[38:54]))
	}
	return netip.Addr{}
}

// transportOf is the protocol behind the IPv4 header or the fixed IPv6 header, and what follows.
func transportOf(f []byte) (protocol byte, rest []byte) {
	switch {
	case is4(f):
		if hl := int(f[14]&15) * 4; hl >= 20 && 14+hl < len(f) {
			return f[23], f[14+hl:]
		}
	case is6(f) && len(f) > 54:
		return f[20], f[54:]
	}
	return 255, nil
}

func routerAddress(a netip.Addr) bool {
	return slices.Contains([]string{
		"10.0.1.1", "10.0.2.1", "2001:db8:1::1", "2001:db8:2::1", "2001:db8:1::", "2001:db8:2::",
		"fe80::ff:fe00:1", "fe80::ff:fe00:2", "fe80::",
	}, a.String())
}

func directedBroadcast(a netip.Addr) bool {
	return a == netip.MustParseAddr("10.0.1.255") || a == netip.MustParseAddr("10.0.2.255")
}
