package tabledump

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/osrg/gobgp/v4/pkg/packet/mrt"
)

// read reads a whole dump and returns what it yielded as "PREFIX NEXTHOP PEER AS", as far as it is there.
func read(t testing.TB, data []byte, o Options) (routes []string, skipped int, err error) {
	t.Helper()
	r, err := NewReader("dump", bytes.NewReader(data), o)
	if err != nil {
		return nil, 0, err
	}
	for route, err := range r.Routes() {
		if err != nil {
			return routes, r.Skipped(), err
		}
		text := route.Prefix.String()
		if route.NextHop.IsValid() {
			text += " " + route.NextHop.String()
		}
		if route.Peer.Addr.IsValid() {
			text += fmt.Sprintf(" %s %d", route.Peer.Addr, route.Peer.AS)
		}
		routes = append(routes, text)
	}
	return routes, r.Skipped(), nil
}

func wantRoutes(t *testing.T, data []byte, o Options, skipped int, want ...string) {
	t.Helper()
	got, n, err := read(t, data, o)
	if err != nil || n != skipped || !slices.Equal(got, want) {
		t.Errorf("error %v, %d skipped (want %d)\n got %q\nwant %q", err, n, skipped, got, want)
	}
}

func TestList(t *testing.T) {
	wantRoutes(t, []byte("# a list\n\n10.0.0.0/8\n 192.0.2.0/24\tvia  10.0.0.1 # why\r\n2001:db8::/32 fe80::1\n"+
		"0.0.0.0/0 via 2001:db8::1\n::/0"), Options{}, 0,
		"10.0.0.0/8", "192.0.2.0/24 10.0.0.1", "2001:db8::/32 fe80::1", "0.0.0.0/0 2001:db8::1", "::/0")
	wantRoutes(t, nil, Options{}, 0)
}

func TestListDamage(t *testing.T) {
	for line, want := range map[string]string{
		"10.0.0.0":                         `dump:3: "10.0.0.0" is no prefix such as 192.0.2.0/24 or 2001:db8::/32`,
		"10.0.0.0/33":                      `dump:3: "10.0.0.0/33" is no prefix`,
		"10.0.0.1/8":                       `dump:3: prefix 10.0.0.1/8 has host bits: 10.0.0.0/8 has none`,
		"2001:db8::1/32":                   `dump:3: prefix 2001:db8::1/32 has host bits`,
		"::ffff:10.0.0.0/104":              `dump:3: prefix ::ffff:10.0.0.0/104 is an IPv4 one in IPv6 form`,
		"fe80::%eth0/64":                   `dump:3: "fe80::%eth0/64" is no prefix`,
		"10.0.0.0/8 via":                   `dump:3: the address after "via" is missing`,
		"10.0.0.0/8 via x":                 `dump:3: "x" cannot be the next hop of 10.0.0.0/8`,
		"10.0.0.0/8 0.0.0.0":               `dump:3: "0.0.0.0" cannot be the next hop of 10.0.0.0/8`,
		"10.0.0.0/8 fe80::1%eth0":          `dump:3: "fe80::1%eth0" cannot be the next hop of 10.0.0.0/8`,
		"2001:db8::/32 10.0.0.1":           `dump:3: "10.0.0.1" cannot be the next hop of 2001:db8::/32`,
		"10.0.0.0/8 10.0.0.1 dev p1":       `dump:3: "dev" is too much`,
		strings.Repeat("x", 1000):          `dump:3: "` + strings.Repeat("x", 48) + `"... is no prefix`,
		strings.Repeat("x", MaxLine+1):     `dump:3: the line is longer than 4096 bytes`,
		strings.Repeat(" ", 3*readAhead):   `dump:3: the line is longer than 4096 bytes`,
		"10.0.0.0/8 \x00\x01\x02 trailing": `dump:3: "\x00\x01\x02" cannot be the next hop`,
	} {
		got, _, err := read(t, []byte("10.1.0.0/16\n#\n"+line+"\n10.2.0.0/16\n"), Options{})
		var damage *Error
		if !errors.As(err, &damage) || !strings.HasPrefix(err.Error(), want) || !slices.Equal(got, []string{"10.1.0.0/16"}) {
			t.Errorf("%.60q: %v after %q", line, err, got)
		}
	}
}

func TestMRT(t *testing.T) {
	d := (&dump{t: t}).peerTable()
	d.rib("10.0.0.0/8", via(t, 0, "192.0.2.10"), via(t, 1, "192.0.2.11"))
	d.rib("10.1.2.128/25", reach(t, 1, "2001:db8::11")) // RFC 8950
	d.rib("2001:db8::/32", reach(t, 2, "2001:db8::13"))
	d.rib("2001:db8:1::/48", reach(t, 2, "2001:db8::13", "fe80::13"))
	d.rib("2001:db8:2::/48", reachFull(t, 3, "2001:db8:2::/48", "2001:db8::14"))
	d.rib("2001:db8:3::/48", reachFull(t, 3, "2001:db8:3::/48", "2001:db8::14", "fe80::14"))
	d.ribAddPath("10.2.0.0/16", via(t, 1, "192.0.2.12"), via(t, 1, "192.0.2.13"))
	d.ribAddPath("2001:db8:4::/48", reach(t, 2, "2001:db8::15"), reach(t, 2, "2001:db8::16"))
	d.rib("0.0.0.0/0", via(t, 0, "192.0.2.10"))
	d.rib("10.3.0.0/16", via(t, 0, "0.0.0.0"))                                     // the collector's own
	d.rib("2001:db8:5::/48", via(t, 0, "192.0.2.10"), reach(t, 3, "2001:db8::17")) // the first cannot be its next hop
	wantRoutes(t, d.Bytes(), Options{}, 0,
		"10.0.0.0/8 192.0.2.10 192.0.2.1 64501",
		"10.1.2.128/25 2001:db8::11 192.0.2.2 4200000002",
		"2001:db8::/32 2001:db8::13 2001:db8::3 64503",
		"2001:db8:1::/48 2001:db8::13 2001:db8::3 64503",
		"2001:db8:2::/48 2001:db8::14 2001:db8::4 4200000002",
		"2001:db8:3::/48 2001:db8::14 2001:db8::4 4200000002",
		"10.2.0.0/16 192.0.2.12 192.0.2.2 4200000002",
		"2001:db8:4::/48 2001:db8::15 2001:db8::3 64503",
		"0.0.0.0/0 192.0.2.10 192.0.2.1 64501",
		"10.3.0.0/16 192.0.2.1 64501",
		"2001:db8:5::/48 2001:db8::17 2001:db8::4 4200000002",
	)
}

func TestMRTPeer(t *testing.T) {
	d := (&dump{t: t}).peerTable()
	d.rib("10.0.0.0/8", via(t, 0, "192.0.2.10"), via(t, 1, "192.0.2.11"))
	d.rib("10.1.0.0/16", via(t, 0, "192.0.2.10"))
	d.rib("2001:db8::/32", reach(t, 2, "2001:db8::13"), reach(t, 3, "2001:db8::14"))
	wantRoutes(t, d.Bytes(), Options{Peer: peers()[1].Addr}, 2, "10.0.0.0/8 192.0.2.11 192.0.2.2 4200000002")
	wantRoutes(t, d.Bytes(), Options{PeerAS: 4_200_000_002}, 1,
		"10.0.0.0/8 192.0.2.11 192.0.2.2 4200000002", "2001:db8::/32 2001:db8::14 2001:db8::4 4200000002")
	wantRoutes(t, d.Bytes(), Options{Peer: peers()[3].Addr, PeerAS: 4_200_000_002}, 2,
		"2001:db8::/32 2001:db8::14 2001:db8::4 4200000002")

	_, _, err := read(t, d.Bytes(), Options{Peer: peers()[0].Addr, PeerAS: 7})
	want := "dump: record at byte 0: no peer 192.0.2.1 of AS 7 is in the table: it has 192.0.2.1 of AS 64501, " +
		"192.0.2.2 of AS 4200000002, 2001:db8::3 of AS 64503, 2001:db8::4 of AS 4200000002"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	if _, _, err = read(t, []byte("10.0.0.0/8\n"), Options{PeerAS: 7}); err == nil ||
		!strings.HasPrefix(err.Error(), "dump: a list of prefixes names no peers") {
		t.Error(err)
	}
}

func TestMRTOtherRecords(t *testing.T) {
	var hop [7]byte
	copy(hop[:], "\x40\x03\x04\xc0\x00\x02\x0a")
	entry := append([]byte("\x00\x01\x00\x00\x65\x00\x00\x00\x00\x07"), hop[:]...) // one entry of peer 0
	d := (&dump{t: t}).peerTable()
	d.raw(mrt.TABLE_DUMPv2, uint16(mrt.RIB_IPV4_MULTICAST), []byte("anything"))
	d.raw(mrt.TABLE_DUMPv2, uint16(mrt.GEO_PEER_TABLE), []byte("anything"))
	d.raw(mrt.TABLE_DUMPv2, uint16(mrt.RIB_GENERIC), append([]byte("\x00\x00\x00\x01\x00\x01\x01\x08\x0a"), entry...))
	d.raw(mrt.TABLE_DUMPv2, uint16(mrt.RIB_GENERIC), []byte("\x00\x00\x00\x01\x00\x01\x80 a VPN's"))
	d.raw(mrt.TABLE_DUMPv2, uint16(mrt.RIB_IPV4_UNICAST), append([]byte("\x00\x00\x00\x01\x09\x0a\xff"), entry...)) // trailing bits
	old := []byte("\x00\x00\x00\x01\x0a\x01\x00\x00\x10\x01\x65\x00\x00\x00")
	for _, peer := range []string{"\xc0\x00\x02\x02\x00\x02", "\xc0\x00\x02\x01\xfb\xf5"} {
		d.raw(mrt.TABLE_DUMP, 1, slices.Concat(old, []byte(peer), []byte("\x00\x07"), hop[:]))
	}
	wantRoutes(t, d.Bytes(), Options{}, 2, "10.0.0.0/8 192.0.2.10 192.0.2.1 64501",
		"10.128.0.0/9 192.0.2.10 192.0.2.1 64501", "10.1.0.0/16 192.0.2.10 192.0.2.2 2")
	wantRoutes(t, d.Bytes(), Options{PeerAS: 64501}, 3, "10.0.0.0/8 192.0.2.10 192.0.2.1 64501",
		"10.128.0.0/9 192.0.2.10 192.0.2.1 64501", "10.1.0.0/16 192.0.2.10 192.0.2.1 64501")
}

func TestMRTDamage(t *testing.T) {
	good := (&dump{t: t}).peerTable()
	at := good.Len()
	rib := func(tail string) []byte { return []byte("\x00\x00\x00\x01" + tail) }
	v2 := func(subtype mrt.MRTSubTypeTableDumpv2, body []byte) []byte {
		return (&dump{t: t}).raw(mrt.TABLE_DUMPv2, uint16(subtype), body).Bytes()
	}
	v4 := func(tail string) []byte { return v2(mrt.RIB_IPV4_UNICAST, rib(tail)) }
	old := func(prefix string) []byte {
		body := []byte("\x00\x00\x00\x01" + prefix + "time\xc0\x00\x02\x01\x00\x07\x00\x00")
		return (&dump{t: t}).raw(mrt.TABLE_DUMP, 1, body).Bytes()
	}
	for _, c := range []struct {
		name, want string
		record     []byte
	}{
		{"host bits", "prefix 10.1.1.1/31 has host bits", old("\x0a\x01\x01\x01\x1f\x01")},
		{"old long prefix", "the prefix length is above 32", old("\x0a\x01\x01\x01\x21\x01")},
		{"old short", "a field goes beyond the end", old("\x0a")},
		{"long prefix", "the prefix length 33 is above 32", v4("\x21\x0a\x01\x01\x01\x01\x00\x00")},
		{"mapped", "is an IPv4 one in IPv6 form", v2(mrt.RIB_IPV6_UNICAST, rib("\x60"+strings.Repeat("\x00", 10)+"\xff\xff\x00\x00"))},
		{"no entries", "a field goes beyond the end", v4("\x08\x0a\x00")},
		{"fewer entries", "a field goes beyond the end", v4("\x08\x0a\xff\xff\x00\x00")},
		{"more", "2 bytes are left over after the last entry of 10.0.0.0/8", v4("\x08\x0a\x00\x00ab")},
		{"peer", "of peer 9, and the table of peers has 4", v4("\x08\x0a\x00\x01\x00\x09\x00\x00\x00\x00\x00\x00")},
		{"attributes", "an attribute goes beyond", v4("\x08\x0a\x00\x01\x00\x00\x00\x00\x00\x00\x00\x04\x40\x03\x04\x01")},
		{"next hop", "from peer 192.0.2.1: nexthop length",
			v4("\x08\x0a\x00\x01\x00\x00\x00\x00\x00\x00\x00\x05\x40\x03\x02\x01\x01")},
		{"subtype", "subtype 99 of TABLE_DUMP_V2 is unknown", v2(99, nil)},
		{"trace", "it traces BGP messages", (&dump{t: t}).raw(mrt.BGP4MP, 4, nil).Bytes()},
		{"trace", "it traces BGP messages", (&dump{t: t}).raw(mrt.BGP4MP_ET, 4, nil).Bytes()},
		{"type", "MRT type 11 is no table dump", (&dump{t: t}).raw(mrt.OSPFv2, 4, nil).Bytes()},
		{"huge", "its length, 4294967295 bytes, is above the limit", []byte("time\x00\x0d\x00\x02\xff\xff\xff\xff")},
		{"cut body", "the file is cut off in the record's body, of whose 9000000 bytes it has 2",
			[]byte("time\x00\x0d\x00\x02\x00\x89\x54\x40ab")},
		{"cut body", "the file is cut off in the record's body, of whose 9 bytes it has 2",
			[]byte("time\x00\x0d\x00\x02\x00\x00\x00\x09ab")},
		{"cut header", "the file is cut off in the record's header, of whose 12 bytes it has 5", []byte("time\x00")},
		{"peers", "the table of peers is damaged", v2(mrt.PEER_INDEX_TABLE, []byte("\x00\x00\x00\x00\x00\x00\xff\xff"))},
	} {
		d := (&dump{t: t}).peerTable()
		d.Write(c.record)
		_, _, err := read(t, d.Bytes(), Options{})
		if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("dump: record at byte %d: ", at)) ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	_, _, err := read(t, v4("\x08\x0a\x00\x00"), Options{})
	if err == nil || err.Error() != "dump: record at byte 0: a prefix comes before the table of peers that it refers to" {
		t.Error(err)
	}
}

// TestCut cuts a dump at every byte: only between records that passes for a whole one.
func TestCut(t *testing.T) {
	d := (&dump{t: t}).peerTable()
	whole := map[int]int{0: 0, d.Len(): 0} // where records end, and the routes up to there
	for i := range 3 {
		d.rib(fmt.Sprintf("10.%d.0.0/16", i), via(t, 0, "192.0.2.10"), via(t, 1, "192.0.2.11"))
		whole[d.Len()] = i + 1
	}
	routes := 0
	for n := range d.Len() + 1 {
		got, _, err := read(t, d.Bytes()[:n], Options{})
		if want, ends := whole[n]; ends {
			routes = want
		}
		if _, ends := whole[n]; ends != (err == nil) || len(got) != routes {
			t.Errorf("%d of %d bytes: %d routes (want %d), %v", n, d.Len(), len(got), routes, err)
		}
	}
	packed := gzipped(t, d.Bytes())
	for n := 1; n < len(packed); n++ {
		_, _, err := read(t, packed[:n], Options{})
		if err == nil || n > 12 && !strings.Contains(err.Error(), "gzip data is cut off") {
			t.Errorf("%d of %d packed bytes: %v", n, len(packed), err)
		}
	}
}

// bzipped is the text of TestPacked.
const bzipped = "QlpoOTFBWSZTWctwIRQAAAjZAAAQQAH8cBQAIAAhpNqZqMQQAAJnjgJrTEvKPbECKCyxWP4/F3JFOFCQy3AhFA=="

func TestPacked(t *testing.T) {
	const text = "192.0.2.0/24 192.0.2.1\n2001:db8::/32\n"
	want := []string{"192.0.2.0/24 192.0.2.1", "2001:db8::/32"}
	bz, err := base64.StdEncoding.DecodeString(bzipped)
	if err != nil {
		t.Fatal(err)
	}
	wantRoutes(t, bz, Options{}, 0, want...)
	wantRoutes(t, append(slices.Clone(bz), bz...), Options{}, 0, append(want, want...)...)
	gz := gzipped(t, []byte(text))
	wantRoutes(t, gz, Options{}, 0, want...)
	wantRoutes(t, append(slices.Clone(gz), gz...), Options{}, 0, append(want, want...)...)

	gz[len(gz)-6] ^= 1 // of the checksum
	bz[10] ^= 1        // of that of the block
	for name, data := range map[string][]byte{
		"dump:3: the gzip data is damaged: ":   gz,
		"dump:3: the bzip2 data is damaged: ":  bz,
		"dump: the gzip data is cut off":       []byte("\x1f\x8b"),
		"dump: it is packed with zstd, which ": []byte("\x28\xb5\x2f\xfdxxxx"),
	} {
		if _, _, err := read(t, data, Options{}); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClaimsCostNoMemory reads records that claim to be long, and are not.
func TestClaimsCostNoMemory(t *testing.T) {
	huge := []byte("time\x00\x0d\x00\x02\x01\x00\x00\x00") // MaxRecord bytes
	many := (&dump{t: t}).peerTable()
	many.raw(mrt.TABLE_DUMPv2, uint16(mrt.RIB_IPV4_UNICAST), []byte("\x00\x00\x00\x01\x08\x0a\xff\xff"))
	for _, data := range [][]byte{huge, many.Bytes()} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _, err := read(t, data, Options{})
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; err == nil || got > 4*readAhead {
			t.Errorf("%d bytes for %d, error %v", got, len(data), err)
		}
	}
}

func TestErrorSticks(t *testing.T) {
	r, err := NewReader("dump", strings.NewReader("10.0.0.0/8\nx\n10.1.0.0/16\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var route Route
	if err := r.Next(&route); err != nil || r.Where(route.Pos) != "dump:1" || route.Prefix != netip.MustParsePrefix("10.0.0.0/8") {
		t.Errorf("%v %v", route, err)
	}
	first, second := r.Next(&route), r.Next(&route)
	if first == nil || !errors.Is(second, first) {
		t.Errorf("%v, then %v", first, second)
	}
	broken := io.MultiReader(strings.NewReader("10.0.0.0/8\n"), failing{})
	if r, err = NewReader("dump", broken, Options{}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		err = r.Next(&route)
	}
	if !errors.Is(err, errDisk) || r.BytesRead() != 11 {
		t.Errorf("%v after %d bytes", err, r.BytesRead())
	}
}

type failing struct{}

var errDisk = errors.New("disk on fire")

func (failing) Read([]byte) (int, error) { return 0, errDisk }
