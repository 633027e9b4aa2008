package feed

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// daemon is a routing daemon that speaks FPM.
type daemon struct {
	r    *rig
	conn net.Conn
}

const testPort = "2620"

func (r *rig) set(name, value string) {
	r.Helper()
	r.do(func(tx *nstable.Tx) error {
		return tx.SetNamespace("red", []setting.Value{{Name: name, Value: value}})
	})
}

func (r *rig) dial() *daemon {
	r.Helper()
	d := &daemon{r: r}
	r.eventually("the listener", func() bool {
		return r.linux.Do(func() (err error) {
			d.conn, err = net.Dial("tcp4", "127.0.0.1:"+testPort)
			return err
		}) == nil
	})
	r.Cleanup(func() { d.conn.Close() })
	return d
}

// tell sends a message, cut into pieces.
func (d *daemon) tell(kind uint16, body []byte) {
	d.r.Helper()
	b := fpmMessage(kind, body)
	for len(b) > 0 {
		n := min(len(b), 7)
		if _, err := d.conn.Write(b[:n]); err != nil {
			d.r.Fatal(err)
		}
		b = b[n:]
	}
}

func fpmMessage(kind uint16, body []byte) []byte {
	m := appendMessage(nil, kind, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_REPLACE, 0, body)
	header := binary.BigEndian.AppendUint16([]byte{fpmVersion, fpmNetlink}, uint16(fpmHeader+len(m)))
	return append(header, m...)
}

// fromFPM prints the routes that the router has by FPM.
func (r *rig) fromFPM() string {
	r.Helper()
	var out []string
	err := r.table.Routes("red", nstable.RouteRange{}, func(i *nstable.RouteInfo) error {
		if i.Origin == fib.FromFPM {
			var hops []string
			for _, h := range i.Hops {
				hops = append(hops, h.Gateway.String()+" "+h.Device)
			}
			out = append(out, fmt.Sprintf("%s %d [%s]", i.Prefix, i.Metric, strings.Join(hops, ", ")))
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return strings.Join(out, "; ")
}

func (r *rig) wantFPM(want string) {
	r.Helper()
	r.eventually("by FPM: "+want, func() bool { return r.fromFPM() == want })
}

// TestFPM: routes and next-hop objects that a daemon tells; they stay when it ends, for the stale time, and those that a new
// one does not tell again go.
func TestFPM(t *testing.T) {
	r := newRig(t)
	r.ip("link set lo up")
	r.set("fpm-port", testPort)
	p1 := r.index("p1")
	route := func(prefix, gateway string) []byte {
		return appendRoute(nil, netip.MustParsePrefix(prefix), &fib.Way{Protocol: 186, Metric: 20, Legs: []fib.Leg{
			{Gateway: netip.MustParseAddr(gateway), Device: p1, Weight: 1},
		}})
	}
	byObject := func(prefix string, number uint32) []byte {
		return attribute32(appendRoute(nil, netip.MustParsePrefix(prefix), &fib.Way{Protocol: 186, Metric: 20}), rtaNexthopID,
			number)
	}
	object := func(number uint32, gateway string) []byte {
		b := attribute32([]byte{unix.AF_INET, 0, 186, 0, 0, 0, 0, 0}, unix.NHA_ID, number)
		b = attribute32(b, unix.NHA_OIF, uint32(p1))
		return appendAttribute(b, unix.NHA_GATEWAY, netip.MustParseAddr(gateway).AsSlice())
	}
	d := r.dial()
	d.tell(unix.RTM_NEWROUTE, route("192.0.2.0/24", "10.0.1.2"))
	d.tell(unix.RTM_NEWROUTE, route("2001:db8:f::/48", "2001:db8:1::2"))
	d.tell(unix.RTM_NEWNEXTHOP, object(7, "10.0.1.3"))
	d.tell(unix.RTM_NEWROUTE, byObject("198.51.100.0/24", 7))
	const six, five = "2001:db8:f::/48 20 [2001:db8:1::2 p1]", "198.51.100.0/24 20 [10.0.1.3 p1]"
	r.wantFPM("192.0.2.0/24 20 [10.0.1.2 p1]; " + five + "; " + six)
	d.tell(unix.RTM_NEWROUTE, route("192.0.2.0/24", "10.0.1.9"))
	d.tell(unix.RTM_DELROUTE, byObject("198.51.100.0/24", 7))
	r.wantFPM("192.0.2.0/24 20 [10.0.1.9 p1]; " + six)
	d.tell(unix.RTM_NEWROUTE, byObject("198.51.100.0/24", 7))
	all := "192.0.2.0/24 20 [10.0.1.9 p1]; " + five + "; " + six
	r.wantFPM(all)
	if g, err := r.table.RouteGet("red", nstable.GetQuery{Destination: netip.MustParseAddr("198.51.100.1")}); err != nil ||
		g.Hop.Gateway != netip.MustParseAddr("10.0.1.3") {
		t.Errorf("route get: %+v, %v", g.Hop, err)
	}

	d.conn.Close()
	r.set("stale-time", "1")
	d = r.dial()
	d.tell(unix.RTM_NEWROUTE, route("192.0.2.0/24", "10.0.1.9"))
	r.wantFPM(all) // for now
	r.wantFPM("192.0.2.0/24 20 [10.0.1.9 p1]")
	d.conn.Close()
	r.wantFPM("")

	// A connection takes over from one that hangs; what is no FPM ends it.
	d = r.dial()
	d.tell(unix.RTM_NEWROUTE, route("192.0.2.0/24", "10.0.1.2"))
	r.wantFPM("192.0.2.0/24 20 [10.0.1.2 p1]")
	next := r.dial()
	next.tell(unix.RTM_NEWROUTE, route("192.0.3.0/24", "10.0.1.2"))
	r.wantFPM("192.0.3.0/24 20 [10.0.1.2 p1]")
	if _, err := d.conn.Read(make([]byte, 1)); err == nil {
		t.Error("the old connection lives")
	}
	next.conn.Write([]byte{9, 9, 0, 0})
	if _, err := next.conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection of another protocol lives")
	}
	d = r.dial()
	d.tell(unix.RTM_NEWROUTE, route("192.0.4.0/24", "10.0.1.2"))
	r.eventually("the next connection", func() bool { return strings.Contains(r.fromFPM(), "192.0.4.0/24") })
	r.set("fpm-port", "0")
	r.wantFPM("")
	if _, err := d.conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives its listener")
	}
}

// FuzzFPM: nothing that comes over the connection makes more of it than is there. What is taken is a route of sense.
func FuzzFPM(f *testing.F) {
	way := &fib.Way{Protocol: 186, Metric: 20, MTU: 1400, Legs: []fib.Leg{
		{Gateway: netip.MustParseAddr("2001:db8::1"), Device: 3, Weight: 2},
		{Gateway: netip.MustParseAddr("2001:db8::2"), Device: 4, Weight: 1},
	}}
	f.Add(fpmMessage(unix.RTM_NEWROUTE, appendRoute(nil, netip.MustParsePrefix("2001:db8:1::/48"), way)))
	f.Add(fpmMessage(unix.RTM_DELROUTE, appendRoute(nil, netip.MustParsePrefix("192.0.2.0/24"), way)))
	f.Add(fpmMessage(unix.RTM_NEWNEXTHOP, attribute32([]byte{2, 0, 186, 0, 0, 0, 0, 0}, unix.NHA_ID, 7)))
	f.Add([]byte{1, 1, 0, 4, 1, 1, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(data), 1<<16)
		var b batch
		for {
			payload, err := readFPM(r)
			if err != nil {
				break
			}
			for m := range messages(payload) {
				b.message(m)
			}
			wholeFPM(r)
		}
		if len(b.list) > len(data)/headerSize {
			t.Errorf("%d changes of %d bytes", len(b.list), len(data))
		}
		for i := range b.list {
			c := &b.list[i]
			switch {
			case c.nexthop != nil && (c.nexthop.object.ID == 0 || len(c.nexthop.object.Members) > fib.MaxHops):
				t.Errorf("%+v", c.nexthop)
			case c.nexthop != nil:
			case !c.prefix.IsValid() || c.prefix != c.prefix.Masked() || len(c.way.Legs) > fib.MaxHops ||
				c.way.Kind != fib.Unicast && len(c.way.Legs) > 0:
				t.Errorf("%+v", c.route)
			case slices.ContainsFunc(c.way.Legs, func(l fib.Leg) bool { return l.Weight == 0 }):
				t.Errorf("a leg without weight: %+v", c.way)
			}
		}
	})
}

// TestFPMAgain: a daemon that tells the same routes and refused ones again and again does not have the memory of what it
// told grow, and what it told stays.
func TestFPMAgain(t *testing.T) {
	r := newRig(t)
	r.set("max-routes", "2100")
	f := &r.server.spaces[r.namespace()].fpm
	ours, theirs := net.Pipe()
	defer theirs.Close()
	for range 2 {
		if !f.begin(ours) {
			t.Fatal("no connection is taken")
		}
	}
	var b batch
	for range 20 {
		for i := range 4000 {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)
			b.list = append(b.list, change{kind: routeAdded, route: route{prefix: p, way: fib.Way{Kind: fib.Blackhole}}})
		}
		if err := f.take(ours, &b); err != nil {
			t.Fatal(err)
		}
		b.reset()
	}
	if n := len(f.fresh); n == 0 || n > 2*maxBatch {
		t.Errorf("%d prefixes are remembered", n)
	}
	count := func() int { return strings.Count(r.fromFPM(), ";") }
	had := count()
	f.forget(true)
	if n := count(); n != had || n < 1000 {
		t.Errorf("%d routes of %d are left", n, had)
	}
}

// TestFPMEnd: a connection that comes just when the listener is closed is not taken, as nobody would end it.
func TestFPMEnd(t *testing.T) {
	r := newRig(t)
	r.ip("link set lo up")
	f := &r.server.spaces[r.namespace()].fpm
	for range 2 {
		r.set("fpm-port", testPort)
		r.dial() // and stays open on this side
		r.set("fpm-port", "0")
		r.eventually("the end", func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.ending && !f.told
		})
		ours, theirs := net.Pipe()
		theirs.Close()
		if f.begin(ours) {
			t.Error("taken without a listener")
		}
	}
}
