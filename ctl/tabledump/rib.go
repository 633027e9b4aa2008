package tabledump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/packet/mrt"
)

// table tells what the records of a subtype of TABLE_DUMP_V2 hold.
type table struct {
	bytes   int  // of an address; 0: the record says what it holds
	addPath bool // entries have a path identifier (RFC 8050)
	unicast bool
}

const (
	len4 = 4  // bytes of an IPv4 address
	len6 = 16 // bytes of an IPv6 address
)

func tableOf(subType uint16) (t table, known bool) {
	switch mrt.MRTSubTypeTableDumpv2(subType) {
	case mrt.RIB_IPV4_UNICAST:
		t = table{bytes: len4, unicast: true}
	case mrt.RIB_IPV6_UNICAST:
		t = table{bytes: len6, unicast: true}
	case mrt.RIB_IPV4_UNICAST_ADDPATH:
		t = table{bytes: len4, unicast: true, addPath: true}
	case mrt.RIB_IPV6_UNICAST_ADDPATH:
		t = table{bytes: len6, unicast: true, addPath: true}
	case mrt.RIB_GENERIC:
		t = table{}
	case mrt.RIB_GENERIC_ADDPATH:
		t = table{addPath: true}
	case mrt.RIB_IPV4_MULTICAST, mrt.RIB_IPV6_MULTICAST, mrt.RIB_IPV4_MULTICAST_ADDPATH, mrt.RIB_IPV6_MULTICAST_ADDPATH:
		t = table{bytes: len4} // whatever they hold
	default:
		return t, false
	}
	return t, true
}

var errShort = errors.New("a field goes beyond the end of the record")

// cursor takes fields off the front of a record, in network byte order. After the end all fields are zero and short is set.
type cursor struct {
	data  []byte
	short bool
}

func (c *cursor) bytes(n int) []byte {
	if n > len(c.data) {
		c.data, c.short = nil, true
		return nil
	}
	b := c.data[:n]
	c.data = c.data[n:]
	return b
}

func (c *cursor) uint8() uint8 {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// address takes a whole address of n bytes.
func (c *cursor) address(n int) netip.Addr {
	a, _ := netip.AddrFromSlice(c.bytes(n))
	return a
}

// prefix takes a prefix as BGP writes it (RFC 4271 4.3): its length in bits and as many bytes as hold them, of addresses with n
// bytes. The bits after them have no meaning there.
func (c *cursor) prefix(n int) (netip.Prefix, error) {
	bits := int(c.uint8())
	if bits > n*8 {
		return netip.Prefix{}, fmt.Errorf("the prefix length %d is above %d", bits, n*8)
	}
	var full [len6]byte
	copy(full[:], c.bytes((bits+7)/8))
	if c.short {
		return netip.Prefix{}, errShort
	}
	addr, _ := netip.AddrFromSlice(full[:n])
	p := netip.PrefixFrom(addr, bits).Masked()
	return p, checkPrefix(p)
}

// rib reads a record of one prefix with an entry for each peer that announced it (RFC 6396 4.3.2), and chooses the entry.
func (d *mrtDump) rib(t table, body []byte, r *Route) (content, error) {
	c := &cursor{data: body}
	_ = c.uint32() // sequence number
	if t.bytes == 0 {
		t.bytes, t.unicast = family(c.uint16(), c.uint8())
	}
	if !t.unicast && !c.short {
		return skipped, nil
	}
	var err error
	if r.Prefix, err = c.prefix(t.bytes); err != nil {
		return nothing, err
	}
	chosen := false
	for range c.uint16() {
		index := int(c.uint16())
		_ = c.uint32() // time of origin
		if t.addPath {
			_ = c.uint32() // path identifier
		}
		attributes := c.bytes(int(c.uint16()))
		if c.short {
			break
		}
		if index >= len(d.peers) {
			return nothing, fmt.Errorf("an entry of %s is of peer %d, and the table of peers has %d", r.Prefix, index, len(d.peers))
		}
		peer := &d.peers[index]
		wanted := peer.wanted && !r.NextHop.IsValid()
		hop, err := d.hops.find(attributes, r.Prefix, wanted)
		if err != nil {
			return nothing, fmt.Errorf("the attributes of %s from peer %s: %w", r.Prefix, peer.Addr, err)
		}
		if wanted && (!chosen || hop.IsValid()) {
			r.NextHop, r.Peer, chosen = hop, peer.Peer, true
		}
	}
	switch {
	case c.short:
		return nothing, errShort
	case len(c.data) > 0:
		return nothing, fmt.Errorf("%d bytes are left over after the last entry of %s", len(c.data), r.Prefix)
	case !chosen:
		return skipped, nil
	}
	return found, nil
}

// family tells the bytes of an address of a family, and whether it is one of unicast prefixes.
func family(afi uint16, safi uint8) (bytes int, unicast bool) {
	switch {
	case safi != bgp.SAFI_UNICAST:
		return 0, false
	case afi == bgp.AFI_IP:
		return len4, true
	case afi == bgp.AFI_IP6:
		return len6, true
	}
	return 0, false
}

// tableDump reads a record of the old type TABLE_DUMP (RFC 6396 4.2), which has one prefix of one peer. The first of a prefix
// that is wanted and has a next hop is the one.
func (d *mrtDump) tableDump(afi uint16, body []byte, r *Route) (content, error) {
	n, ok := family(afi, bgp.SAFI_UNICAST)
	if !ok {
		return nothing, fmt.Errorf("subtype %d of TABLE_DUMP is unknown", afi)
	}
	c := &cursor{data: body}
	_ = c.uint32() // view and sequence number
	p := netip.PrefixFrom(c.address(n), int(c.uint8()))
	_, _ = c.uint8(), c.uint32() // status and time of origin
	peer := Peer{c.address(n), uint32(c.uint16())}
	attributes := c.bytes(int(c.uint16()))
	switch {
	case c.short:
		return nothing, errShort
	case len(c.data) > 0:
		return nothing, fmt.Errorf("%d bytes are left over after the attributes", len(c.data))
	case !p.IsValid():
		return nothing, fmt.Errorf("the prefix length is above %d", n*8)
	}
	if err := checkPrefix(p); err != nil {
		return nothing, err
	}
	wanted := d.options.wants(peer)
	hop, err := d.hops.find(attributes, p, wanted)
	switch {
	case err != nil:
		return nothing, fmt.Errorf("the attributes of %s from peer %s: %w", p, peer.Addr, err)
	case p == d.last:
		return nothing, nil
	case !hop.IsValid():
		return skipped, nil
	}
	d.last = p
	r.Prefix, r.NextHop, r.Peer = p, hop, peer
	return found, nil
}

// hopDecoder finds next hops in path attributes. It keeps what gobgp decodes into, for the next time.
type hopDecoder struct {
	plain bgp.PathAttributeNextHop
	multi bgp.PathAttributeMpReachNLRI
	short []*bgp.MarshallingOption // asks for the form of RFC 6396 4.3.4
}

// find walks over path attributes, and where decode is set it returns the next hop for prefix p if there is one that fits. What
// MP_REACH_NLRI says goes before NEXT_HOP.
func (h *hopDecoder) find(attributes []byte, p netip.Prefix, decode bool) (netip.Addr, error) {
	const extendedLength = uint8(bgp.BGP_ATTR_FLAG_EXTENDED_LENGTH)
	var plain, multi netip.Addr
	for c := (cursor{data: attributes}); len(c.data) > 0; {
		whole := c.data
		flags, kind := c.uint8(), bgp.BGPAttrType(c.uint8())
		var value []byte
		if flags&extendedLength != 0 {
			value = c.bytes(int(c.uint16()))
		} else {
			value = c.bytes(int(c.uint8()))
		}
		if c.short {
			return netip.Addr{}, errors.New("an attribute goes beyond their end")
		}
		if !decode {
			continue
		}
		whole = whole[:len(whole)-len(c.data)]
		var err error
		switch kind {
		case bgp.BGP_ATTR_TYPE_NEXT_HOP:
			plain, err = h.nextHop(whole)
		case bgp.BGP_ATTR_TYPE_MP_REACH_NLRI:
			multi, err = h.reach(whole, value)
		}
		if err != nil {
			return netip.Addr{}, err
		}
	}
	if p.Addr().Is4() {
		multi = multi.Unmap()
	}
	switch {
	case fits(p, multi):
		return multi, nil
	case fits(p, plain):
		return plain, nil
	}
	return netip.Addr{}, nil
}

func (h *hopDecoder) nextHop(attribute []byte) (netip.Addr, error) {
	err := h.plain.DecodeFromBytes(attribute)
	return h.plain.Value, err
}

// reach decodes MP_REACH_NLRI in the short form that a table dump should have, which begins with the next hop's length, or in
// that of BGP, which begins with the family: 0 and 1 or 2. Of two next hops it is the global one.
func (h *hopDecoder) reach(attribute, value []byte) (netip.Addr, error) {
	h.multi.Nexthop, h.multi.Value = netip.Addr{}, h.multi.Value[:0]
	options := h.short
	if len(value) > 0 && value[0] == 0 {
		options = nil
	}
	err := h.multi.DecodeFromBytes(attribute, options...)
	return h.multi.Nexthop, err
}
