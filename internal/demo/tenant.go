package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"nsrouter/internal/lab"
	"nsrouter/internal/load"
)

// Addresses are the same for every tenant.
const (
	nearHost, nearPort = "10.0.1.2", "10.0.1.1"
	farHost, farPort   = "10.0.2.2", "10.0.2.1"
	farHost6           = "2001:db8:2::2"
	bannerPort         = "7"
)

// tenant is a namespace of the router with a host on either side.
type tenant struct {
	name      string
	near, far *lab.Host
	nearEnd   *lab.Interface // of the near host
	nearPort  *lab.Interface // of the router, Linux's side
	farEnd    *lab.Interface
}

// tenant wires two hosts to the router and configures their namespace.
func (d *demo) tenant(name string) tenant {
	d.title("Tenant " + name)
	t := tenant{name: name, near: d.lab.Host(name + "-near"), far: d.lab.Host(name + "-far")}
	t.nearEnd, t.nearPort = d.lab.Link(
		t.near.End("eth0", nearHost+"/24", "2001:db8:1::2/64"),
		d.router.Host.End(name+"1"),
		lab.LinkOptions{},
	)
	t.farEnd, _ = d.lab.Link(
		t.far.End("eth0", farHost+"/24", farHost6+"/64"),
		d.router.Host.End(name+"2"),
		lab.LinkOptions{},
	)
	for _, gateway := range []string{nearPort, "2001:db8:1::1"} {
		t.near.Route("default", gateway)
	}
	for _, gateway := range []string{farPort, "2001:db8:2::1"} {
		t.far.Route("default", gateway)
	}
	d.run("netns add " + name)
	for i, addr := range []string{nearPort, farPort} {
		port := fmt.Sprintf("%s%d", name, i+1)
		d.run(
			fmt.Sprintf("-n %s link add %s type xdp", name, port),
			fmt.Sprintf("-n %s addr add %s/24 dev %s", name, addr, port),
			fmt.Sprintf("-n %s addr add 2001:db8:%d::1/64 dev %s", name, i+1, port),
			fmt.Sprintf("-n %s link set %s up", name, port),
		)
	}
	d.settle(t)
	d.run("-n " + name + " route show")
	return t
}

// settle waits until no IPv6 address of a tenant is being tried for duplicates: a second or two after its device is up.
func (d *demo) settle(t tenant) {
	const show = "addr show tentative"
	fmt.Printf("until no address is tentative: $ router -n %s %s\n", t.name, show)
	for range 100 {
		if d.router.Must("-o -n "+t.name+" "+show) == "" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.t.Fatalf("the IPv6 addresses of %s stay tentative", t.name)
}

// banner serves one line on TCP at a host: who it is.
func (d *demo) banner(h *lab.Host, text string) {
	var l net.Listener
	err := h.NS.Do(func() (err error) {
		l, err = net.Listen("tcp4", farHost+":"+bannerPort)
		return err
	})
	if err != nil {
		d.t.Fatalf("serve a banner at %s: %v", h.Name, err)
	}
	d.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, text)
			_ = c.Close()
		}
	}()
}

// greet connects from a host to the banner's address and returns what it says.
func greet(h *lab.Host) (string, error) {
	var c net.Conn
	err := h.NS.Do(func() (err error) {
		c, err = net.DialTimeout("tcp4", farHost+":"+bannerPort, 3*time.Second)
		return err
	})
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

// What a ping is: so many requests, with so much time between them.
const (
	pings        = 5
	pingInterval = 50 * time.Millisecond
)

// reaches pings a tenant's far host from the near one, and asks it who it is.
func (d *demo) reaches(t tenant) {
	for _, to := range []string{farHost, farHost6} {
		answered := t.near.Ping(to, pings, pingInterval)
		d.check(answered == pings, fmt.Sprintf("%s pings %s: %d of %d answered", t.near.Name, to, answered, pings))
	}
	want := "this is " + t.far.Name
	d.banner(t.far, want)
	got, err := greet(t.near)
	if err != nil {
		d.t.Fatalf("%s asks %s over TCP: %v", t.near.Name, farHost, err)
	}
	d.check(got == want, fmt.Sprintf("%s asks %s over TCP who it is: %q", t.near.Name, farHost, got))
}

// isolated takes blue's far port down: now blue reaches nothing, and above all not red's host of the same address,
// which hears nothing of it.
func (d *demo) isolated(red, blue tenant) {
	d.run("-n blue link set blue2 down")
	ear := red.far.Sniff("eth0")
	answered := blue.near.Ping(farHost, pings, pingInterval)
	d.check(answered == 0, fmt.Sprintf("blue-near pings %s: %d of %d answered", farHost, answered, pings))
	d.check(len(ear.Frames()) == 0, "red-far, which has that address as well, heard nothing")
	d.run("-n blue link set blue2 up")
	d.settle(blue)
	d.reaches6(blue)
}

func (d *demo) reaches6(t tenant) {
	answered := t.near.Ping(farHost6, pings, pingInterval)
	d.check(answered == pings, fmt.Sprintf("%s reaches its far host again: %d of %d answered", t.near.Name, answered, pings))
}

// loadTime is how long the load lasts.
const loadTime = 5 * time.Second

// load sends as many packets as go through for some seconds, and shows where they went.
func (d *demo) load(t tenant) {
	sink, err := load.NewSink(t.farEnd, load.SinkOptions{})
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	defer sink.Close()
	source, err := load.NewSource(
		load.SourceOptions{Devices: []*lab.Interface{t.nearEnd}, To: t.nearPort.MAC, Src: netip.MustParseAddr(nearHost),
			Destinations: []netip.Addr{netip.MustParseAddr(farHost)}, Flows: 64},
	)
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	defer source.Close()
	before := d.counters()
	if err := source.Start(); err != nil {
		d.t.Fatalf("%v", err)
	}
	time.Sleep(loadTime)
	sent, err := source.Stop()
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	time.Sleep(300 * time.Millisecond) // what is in the rings arrives
	counts, err := sink.Counts()
	if err != nil {
		d.t.Fatalf("%v", err)
	}
	after := d.counters()
	received := after.Stats.Rx.Packets - before.Stats.Rx.Packets
	forwarded := after.Forwarding.Forwarded - before.Forwarding.Forwarded
	fmt.Printf(
		"offered    %6.2f Mpps (all the source can do; what the port cannot take is lost before the router)\n",
		mpps(sent),
	)
	fmt.Printf("received   %6.2f Mpps by the router\n", mpps(received))
	fmt.Printf("forwarded  %6.2f Mpps, %d packets\n", mpps(forwarded), forwarded)
	fmt.Printf("arrived    %6.2f Mpps at the far host, %d with a wrong MAC or TTL\n", mpps(counts.Packets), counts.Bad)
	dropped := after.Stats.Rx.Dropped - before.Stats.Rx.Dropped
	fmt.Printf("dropped    %d packets by the router", dropped)
	for reason, n := range after.Drops {
		if n -= before.Drops[reason]; n > 0 {
			fmt.Printf("; %s %d", reason, n)
		}
	}
	fmt.Println()
	d.check(counts.Packets > 0 && counts.Bad == 0, "all packets that arrived were forwarded properly")
	delivered := after.Forwarding.Delivered - before.Forwarding.Delivered
	d.check(received == forwarded+delivered+dropped+after.Forwarding.Held-before.Forwarding.Held,
		"received = forwarded + delivered + dropped")
}

func mpps(n uint64) float64 { return float64(n) / loadTime.Seconds() / 1e6 }

// counters is what `link show` says of the port that the load comes in by.
type counters struct {
	Stats struct {
		Rx struct{ Packets, Dropped uint64 }
	} `json:"stats64"`
	Forwarding struct{ Forwarded, Delivered, Held uint64 }
	Drops      map[string]uint64
}

func (d *demo) counters() counters {
	var rows []counters
	if err := json.Unmarshal([]byte(d.router.Must("-j -s -n red link show dev red1")), &rows); err != nil ||
		len(rows) != 1 {
		d.t.Fatalf("counters of red1: %d rows, %v", len(rows), err)
	}
	return rows[0]
}
