package tabledump

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/packet/mrt"
)

// dump makes an MRT dump with gobgp's serializers.
type dump struct {
	t testing.TB
	bytes.Buffer
}

// entry is what a peer has announced of a prefix.
type entry struct {
	peer  uint16
	attrs []bgp.PathAttributeInterface
}

func (d *dump) record(subtype mrt.MRTSubTypeTableDumpv2, body mrt.Body) *dump {
	d.t.Helper()
	m, err := mrt.NewMRTMessage(time.Unix(1_700_000_000, 0), mrt.TABLE_DUMPv2, subtype, body)
	if err != nil {
		d.t.Fatal(err)
	}
	b, err := m.Serialize()
	if err != nil {
		d.t.Fatal(err)
	}
	d.Write(b)
	return d
}

// raw adds a record of bytes as they are.
func (d *dump) raw(kind mrt.MRTType, subtype uint16, body []byte) *dump {
	d.Write(binary.BigEndian.AppendUint32(nil, 1_700_000_000))
	d.Write(binary.BigEndian.AppendUint16(nil, uint16(kind)))
	d.Write(binary.BigEndian.AppendUint16(nil, subtype))
	d.Write(binary.BigEndian.AppendUint32(nil, uint32(len(body))))
	d.Write(body)
	return d
}

// peers are those of the tests, by their index.
func peers() []Peer {
	return []Peer{
		{netip.MustParseAddr("192.0.2.1"), 64501},
		{netip.MustParseAddr("192.0.2.2"), 4_200_000_002},
		{netip.MustParseAddr("2001:db8::3"), 64503},
		{netip.MustParseAddr("2001:db8::4"), 4_200_000_002},
	}
}

func (d *dump) peerTable() *dump {
	var table []*mrt.Peer
	for _, p := range peers() {
		table = append(table, mrt.NewPeer(netip.MustParseAddr("10.9.9.9"), p.Addr, p.AS, p.AS > 0xffff))
	}
	return d.record(mrt.PEER_INDEX_TABLE, mrt.NewPeerIndexTable(netip.MustParseAddr("10.0.0.1"), "view", table))
}

// rib adds a prefix with entries.
func (d *dump) rib(prefix string, entries ...entry) *dump {
	return d.ribOf(prefix, false, entries)
}

// ribAddPath adds a prefix whose entries have path identifiers.
func (d *dump) ribAddPath(prefix string, entries ...entry) *dump {
	return d.ribOf(prefix, true, entries)
}

func (d *dump) ribOf(prefix string, addPath bool, entries []entry) *dump {
	d.t.Helper()
	p := netip.MustParsePrefix(prefix)
	nlri, err := bgp.NewIPAddrPrefix(p)
	if err != nil {
		d.t.Fatal(err)
	}
	var list []*mrt.RibEntry
	for i, e := range entries {
		list = append(list, mrt.NewRibEntry(e.peer, 1_600_000_000, uint32(i)+7, e.attrs, addPath))
	}
	family, subtype := bgp.RF_IPv4_UC, mrt.RIB_IPV4_UNICAST
	switch {
	case p.Addr().Is4() && addPath:
		subtype = mrt.RIB_IPV4_UNICAST_ADDPATH
	case p.Addr().Is6():
		family, subtype = bgp.RF_IPv6_UC, mrt.RIB_IPV6_UNICAST
		if addPath {
			subtype = mrt.RIB_IPV6_UNICAST_ADDPATH
		}
	}
	b, err := (&ribBody{mrt.NewRib(1, family, nlri, list)}).Serialize()
	if err != nil {
		d.t.Fatal(err)
	}
	return d.raw(mrt.TABLE_DUMPv2, uint16(subtype), b)
}

// ribBody drops the family that gobgp 4.8 writes into IPv6 records, which have none (RFC 6396 4.3.2).
type ribBody struct{ *mrt.Rib }

func (r *ribBody) Serialize() ([]byte, error) {
	b, err := r.Rib.Serialize()
	if err == nil && bytes.HasPrefix(b[4:], []byte{0, bgp.AFI_IP6, bgp.SAFI_UNICAST}) {
		b = append(b[:4:4], b[7:]...)
	}
	return b, err
}

// via is an entry with NEXT_HOP, as IPv4 has it.
func via(t testing.TB, peer uint16, addr string) entry {
	hop, err := bgp.NewPathAttributeNextHop(netip.MustParseAddr(addr))
	if err != nil {
		t.Fatal(err)
	}
	return entry{peer, append(common(), hop, bgp.NewPathAttributeCommunities([]uint32{1, 2, 3}))}
}

// reach is an entry with MP_REACH_NLRI in its short form, of one or two next hops.
func reach(t testing.TB, peer uint16, addrs ...string) entry {
	return entry{peer, append(common(), mpReach(t, "2001:db8::/32", addrs...))}
}

func mpReach(t testing.TB, prefix string, addrs ...string) *bgp.PathAttributeMpReachNLRI {
	nlri, err := bgp.NewIPAddrPrefix(netip.MustParsePrefix(prefix))
	if err != nil {
		t.Fatal(err)
	}
	var hops []netip.Addr
	for _, a := range addrs {
		hops = append(hops, netip.MustParseAddr(a))
	}
	mp, err := bgp.NewPathAttributeMpReachNLRI(bgp.RF_IPv6_UC, []bgp.PathNLRI{{NLRI: nlri}}, hops...)
	if err != nil {
		t.Fatal(err)
	}
	return mp
}

// reachFull is an entry with MP_REACH_NLRI as in a BGP message.
func reachFull(t testing.TB, peer uint16, prefix string, addrs ...string) entry {
	b, err := mpReach(t, prefix, addrs...).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return entry{peer, append(common(), rawAttr(b))}
}

// rawAttr is an attribute that is bytes already.
type rawAttr []byte

func (a rawAttr) Serialize(...*bgp.MarshallingOption) ([]byte, error)     { return a, nil }
func (a rawAttr) DecodeFromBytes([]byte, ...*bgp.MarshallingOption) error { return nil }
func (a rawAttr) Len(...*bgp.MarshallingOption) int                       { return len(a) }
func (a rawAttr) GetFlags() bgp.BGPAttrFlag                               { return bgp.BGPAttrFlag(a[0]) }
func (a rawAttr) GetType() bgp.BGPAttrType                                { return bgp.BGPAttrType(a[1]) }
func (a rawAttr) String() string                                          { return "raw" }
func (a rawAttr) MarshalJSON() ([]byte, error)                            { return nil, nil }
func (a rawAttr) Flat() map[string]string                                 { return nil }

// common are attributes that every entry has.
func common() []bgp.PathAttributeInterface {
	path := []bgp.AsPathParamInterface{bgp.NewAs4PathParam(bgp.BGP_ASPATH_ATTR_TYPE_SEQ, []uint32{64501, 3356, 4_200_000_002})}
	return []bgp.PathAttributeInterface{bgp.NewPathAttributeOrigin(0), bgp.NewPathAttributeAsPath(path)}
}

func gzipped(t testing.TB, data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
