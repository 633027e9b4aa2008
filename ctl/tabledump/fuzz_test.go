package tabledump

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/packet/mrt"
)

// FuzzRead reads anything: it ends, what it yields are prefixes with next hops that fit, in order of place, and an error is of
// the dump.
func FuzzRead(f *testing.F) {
	d := (&dump{t: f}).peerTable()
	d.rib("10.0.0.0/8", via(f, 0, "192.0.2.10"), via(f, 1, "192.0.2.11"))
	f.Add(d.Bytes(), false)
	d.rib("2001:db8::/32", reach(f, 2, "2001:db8::13", "fe80::13"))
	d.rib("2001:db8:2::/48", reachFull(f, 3, "2001:db8:2::/48", "2001:db8::14"))
	d.ribAddPath("10.2.0.0/16", via(f, 1, "192.0.2.12"), via(f, 1, "192.0.2.13"))
	d.raw(mrt.TABLE_DUMPv2, uint16(mrt.RIB_GENERIC), []byte("\x00\x00\x00\x01\x00\x01\x01\x08\x0a\x00\x00"))
	f.Add(d.Bytes(), true)
	f.Add(gzipped(f, d.Bytes()), false)
	f.Add([]byte("10.0.0.0/8 via 10.0.0.1 # why\n\n2001:db8::/32\tfe80::1\r\n"), false)
	f.Fuzz(func(t *testing.T, data []byte, peer bool) {
		o := Options{}
		if peer {
			o.PeerAS = peers()[1].AS
		}
		r, err := NewReader("dump", bytes.NewReader(data), o)
		if err != nil {
			return
		}
		var route Route
		last := int64(-1)
		for err = r.Next(&route); err == nil; err = r.Next(&route) {
			switch p := route.Prefix; {
			case !p.IsValid() || p != p.Masked() || p.Addr().Is4In6():
				t.Fatalf("prefix %v", p)
			case route.NextHop.IsValid() && !fits(p, route.NextHop):
				t.Fatalf("%s via %s", p, route.NextHop)
			case route.Pos <= last:
				t.Fatalf("position %d after %d", route.Pos, last)
			case peer && !o.wants(route.Peer):
				t.Fatalf("%s is of %v", p, route.Peer)
			}
			last = route.Pos
		}
		var damage *Error
		if !errors.Is(err, io.EOF) && !errors.As(err, &damage) || r.BytesRead() > int64(len(data)) {
			t.Fatal(err)
		}
	})
}

// FuzzAgainstGoBGP compares with gobgp's own reading of a whole record, wherever it can read it.
func FuzzAgainstGoBGP(f *testing.F) {
	table := (&dump{t: f}).peerTable()
	for _, e := range [][]entry{{via(f, 0, "192.0.2.10"), via(f, 1, "192.0.2.11")}, {reach(f, 2, "2001:db8::13")}} {
		d := (&dump{t: f}).rib("10.64.0.0/10", e...)
		f.Add(d.Bytes()[mrt.MRT_COMMON_HEADER_LEN:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := (&dump{t: t}).raw(mrt.TABLE_DUMPv2, uint16(mrt.RIB_IPV4_UNICAST), body)
		header, err := mrt.ParseHeader(d.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		data := append(bytes.Clone(table.Bytes()), d.Bytes()...)
		r, err := NewReader("dump", bytes.NewReader(data), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var got Route
		if r.Next(&got) != nil {
			return // it is stricter: host bits, bytes that are left over
		}
		m, err := mrt.ParseBody(body, header)
		if err != nil {
			return // of an attribute that is not looked into
		}
		want := m.Body.(*mrt.Rib)
		if want.Prefix.String() != got.Prefix.String() {
			t.Fatalf("got %v, want %s", got, want.Prefix)
		}
		if hop, sure := firstHop(want, got.Prefix); sure && hop != got.NextHop {
			t.Fatalf("got %v, want %s", got, hop)
		}
	})
}

// firstHop is the next hop that fits of the first entry with one. It is sure of none where an entry has the long form of
// MP_REACH_NLRI, which gobgp does not read in a dump.
func firstHop(rib *mrt.Rib, p netip.Prefix) (hop netip.Addr, sure bool) {
	for _, e := range rib.Entries {
		var plain, multi netip.Addr
		for _, a := range e.PathAttributes {
			switch a := a.(type) {
			case *bgp.PathAttributeNextHop:
				plain = a.Value
			case *bgp.PathAttributeMpReachNLRI:
				if multi = a.Nexthop.Unmap(); !multi.IsValid() {
					return hop, false
				}
			}
		}
		for _, hop := range []netip.Addr{multi, plain} {
			if fits(p, hop) {
				return hop, true
			}
		}
	}
	return hop, true
}
