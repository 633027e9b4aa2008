package afxdp

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

func setDown(t *testing.T, name string) error {
	t.Helper()
	return netlink.LinkSetDown(device(t, name))
}

// TestRefusals checks each reason to refuse an interface: what the error says, and that nothing has changed.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name    string
		options Options
		prepare func(t *testing.T)
		want    []string // parts of the error
		forced  bool     // whether Force helps
	}{
		{"missing", Options{Host: "nosuch"}, nil,
			[]string{"attach nosuch: ", "no such interface in the daemon's Linux network namespace"}, false},
		{"no name", Options{}, nil, []string{"no interface is named"}, false},
		{"elsewhere", Options{Host: hostName}, moveAway,
			[]string{"no such interface in the daemon's Linux network namespace"}, false},
		{"not ethernet", Options{Host: "lo"}, nil, []string{"not an Ethernet interface"}, false},
		{"IPv4 address", Options{Host: hostName}, func(t *testing.T) {
			must(t, netlink.AddrAdd(device(t, hostName), address(t, "192.0.2.1/24")))
		}, []string{"addresses", "192.0.2.1/24", "force"}, true},
		{"IPv6 address", Options{Host: hostName}, func(t *testing.T) {
			must(t, netlink.AddrAdd(device(t, hostName), address(t, "2001:db8::1/64")))
		}, []string{"addresses", "2001:db8::1/64", "force"}, true},
		{"master", Options{Host: hostName}, func(t *testing.T) {
			bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
			bridge.Name = "br0"
			must(t, netlink.LinkAdd(bridge))
			must(t, netlink.LinkSetMaster(device(t, hostName), bridge))
		}, []string{"master br0", "force"}, false}, // a bridge takes all packets: force gets past the check, see TestForce
		{"default route", Options{Host: hostName}, func(t *testing.T) {
			must(t, netlink.RouteAdd(&netlink.Route{
				LinkIndex: device(t, hostName).Attrs().Index, Dst: address(t, "0.0.0.0/0").IPNet, Scope: netlink.SCOPE_LINK,
			}))
		}, []string{"default route", "force"}, true},
		{"MTU", Options{Host: hostName}, func(t *testing.T) {
			must(t, netlink.LinkSetMTU(device(t, hostName), 20000))
		}, []string{"MTU 20000", "at most 9000"}, false},
		{"MTU, single frames", Options{Host: hostName, several: 1 << 14}, func(t *testing.T) {
			must(t, netlink.LinkSetMTU(device(t, hostName), 3000))
		}, []string{"MTU 3000", "several frames", "ip link set p0 mtu 1770"}, false},
		{"zero-copy", Options{Host: hostName, Mode: ZeroCopy}, nil,
			[]string{"mode zerocopy cannot be had", "queue 0"}, false},
		{"queues", Options{Host: hostName, Queues: 7}, nil, []string{"queues 7", "1 to 1"}, false},
		{"taken", Options{Host: hostName}, func(t *testing.T) {
			openPort(t, newPool(t, 4096), Options{Host: hostName})
		}, []string{"XDP program", "another program"}, false},
		{"queue taken", Options{Host: hostName}, takeQueue, []string{"queue 0", "busy", "another program"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			newLab(t, 1)
			pool := newPool(t, 8192)
			if test.prepare != nil {
				test.prepare(t)
			}
			before := settings(t, test.options.Host)
			i, err := Open(pool, test.options)
			if err == nil {
				t.Fatal(errors.Join(errors.New("not refused"), i.Close()))
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %q", err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
			if free := pool.FreeInDepot(); free != pool.Frames() {
				t.Errorf("%d of %d frames free after the refusal", free, pool.Frames())
			}
			if after := settings(t, test.options.Host); after != before {
				t.Errorf("settings before: %s\nafter: %s", before, after)
			}
			if test.forced {
				test.options.Force = true
				openPort(t, pool, test.options).shut()
			}
		})
	}
}

// moveAway moves the interface to another Linux network namespace.
func moveAway(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	fds := make(chan int)
	go func() { // its thread ends with it
		newNamespace(t)
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Error(err)
		}
		fds <- fd
		<-done
	}()
	fd := <-fds
	t.Cleanup(func() {
		close(done)
		_ = unix.Close(fd)
	})
	must(t, netlink.LinkSetNsFd(device(t, hostName), fd))
}

// takeQueue binds a socket of another program's to the interface's queue, without an XDP program.
func takeQueue(t *testing.T) {
	t.Helper()
	pool := newPool(t, 64)
	q := &Queue{pool: pool, fd: -1}
	must(t, q.open(device(t, hostName).Attrs().Index, Copy, 0, 1, -1, pool.NewCache()))
	t.Cleanup(q.close)
}

// settings tells what Open may change of an interface, as far as a veth has it.
func settings(t *testing.T, host string) string {
	t.Helper()
	d, err := netlink.LinkByName(host)
	if err != nil {
		return "missing"
	}
	a := d.Attrs()
	var b strings.Builder
	for _, file := range []string{"ipv6/conf/%/disable_ipv6", "ipv6/conf/%/addr_gen_mode", "ipv4/conf/%/arp_ignore"} {
		value, err := os.ReadFile("/proc/sys/net/" + strings.Replace(file, "%", host, 1))
		must(t, err)
		b.WriteString(file + "=" + strings.TrimSpace(string(value)) + " ")
	}
	eth, err := ethtool.NewEthtool()
	must(t, err)
	defer eth.Close()
	features, err := eth.Features(host)
	must(t, err)
	channels, _ := eth.GetChannels(host) // zero where the driver does not tell
	fmt.Fprintf(&b, "gro=%v lro=%v rxvlan=%v,%v channels=%+v mtu=%d up=%v promisc=%d allmulti=%d",
		features["rx-gro"], features["rx-lro"], features["rx-vlan-hw-parse"], features["rx-vlan-stag-hw-parse"], channels,
		a.MTU, a.RawFlags&unix.IFF_UP != 0, a.Promisc, allmulti(t, a.Index))
	return b.String()
}

// allmulti is how many users receive all multicast; the flag of the same name does not show those of packet sockets.
func allmulti(t *testing.T, index int) uint32 {
	t.Helper()
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	answers, err := request.Execute(unix.NETLINK_ROUTE, 0)
	must(t, err)
	attributes, err := nl.ParseRouteAttr(answers[0][unix.SizeofIfInfomsg:])
	must(t, err)
	for _, attribute := range attributes {
		if attribute.Attr.Type == unix.IFLA_ALLMULTI {
			return nl.NativeEndian().Uint32(attribute.Value)
		}
	}
	t.Fatal("the kernel does not tell about allmulti")
	return 0
}

// TestRestore changes all that can be changed, sees that it was, and that Close puts all of it back.
func TestRestore(t *testing.T) {
	newLab(t, 2)
	must(t, setDown(t, hostName))
	before := settings(t, hostName)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName, Mode: Generic, Queues: 1})
	must(t, p.SetUp())
	must(t, p.RaiseMTU(1600))
	must(t, p.SetPromisc(true))
	during := settings(t, hostName)
	for _, part := range []string{
		"disable_ipv6=1", "addr_gen_mode=1", "arp_ignore=8", "gro=false", "RxCount:1 TxCount:1",
		"mtu=1600", "up=true", "promisc=1", "allmulti=1",
	} {
		if !strings.Contains(during, part) {
			t.Errorf("no %s while attached: %s", part, during)
		}
	}
	if !xdpAttached(t, hostName) {
		t.Error("no XDP program while attached")
	}
	p.Detach()
	if xdpAttached(t, hostName) {
		t.Error("XDP program after Detach")
	}
	p.shut()
	if after := settings(t, hostName); after != before {
		t.Errorf("settings before: %s\nafter: %s", before, after)
	}
	if err := p.SetUp(); err == nil {
		t.Error("a closed interface was raised")
	}
}

// TestLinkLocal checks that the kernel's own IPv6 address is gone while the interface is ours, and back afterwards.
func TestLinkLocal(t *testing.T) {
	newLab(t, 1)
	addresses := func() int {
		all, err := netlink.AddrList(device(t, hostName), netlink.FAMILY_V6)
		must(t, err)
		return len(all)
	}
	eventually(t, "the kernel makes an address", func() bool { return addresses() == 1 })
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	if addresses() != 0 {
		t.Error("an IPv6 address of the kernel's while attached")
	}
	p.shut()
	eventually(t, "the kernel makes an address again", func() bool { return addresses() == 1 })
}

func TestMTU(t *testing.T) {
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	if p.MTU() != 1500 {
		t.Errorf("MTU %d, want 1500", p.MTU())
	}
	if err := p.RaiseMTU(frame.JumboMTU + tagLen + 1); err == nil || !strings.Contains(err.Error(), "at most 9000") {
		t.Errorf("error %v, want one that names the limit", err)
	}
	must(t, p.RaiseMTU(1280))
	if mtu := device(t, hostName).Attrs().MTU; mtu != 1500 {
		t.Errorf("MTU lowered to %d", mtu)
	}
	must(t, p.RaiseMTU(frame.JumboMTU+tagLen))
	if mtu := device(t, hostName).Attrs().MTU; mtu != frame.JumboMTU+tagLen || p.MTU() != mtu {
		t.Errorf("MTU %d, and %d by the interface's own account, want %d", mtu, p.MTU(), frame.JumboMTU+tagLen)
	}
}

// TestSingle: where the kernel does not know the flag for packets of several frames, as before 6.6, the interface has packets
// of one, says so, and keeps its other promises.
func TestSingle(t *testing.T) {
	newLab(t, 2)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName, several: 1 << 14})
	if p.MaxMTU() != frame.MaxMTU {
		t.Errorf("MTU up to %d", p.MaxMTU())
	}
	if _, got := p.Mode(); got != Copy {
		t.Errorf("mode %v", got)
	}
	if notes := strings.Join(p.Notes(), "\n"); !strings.Contains(notes, "at most 1770") {
		t.Errorf("notes %q", notes)
	}
	if err := p.RaiseMTU(frame.MaxLinkMTU + 1); err == nil || !strings.Contains(err.Error(), "at most 1770") ||
		!strings.Contains(err.Error(), "more frames") {
		t.Errorf("error %v, want one that names the limit and why", err)
	}
	must(t, p.RaiseMTU(frame.MaxLinkMTU))
	d, ok := p.cache.New(frame.MaxPacket + 1)
	if !ok {
		t.Fatal("no free frames")
	}
	if p.Queues()[1].Transmit([]frame.Desc{d}) != 0 {
		t.Error("a packet of two frames is accepted")
	}
	p.cache.PutChain(d)
	p.shut()
	checkCensus(t, p.pool, p.Queues(), 0)
}

func TestPromisc(t *testing.T) {
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	for _, on := range []bool{true, true, false, false, true} {
		must(t, p.SetPromisc(on))
		if got := device(t, hostName).Attrs().Promisc; (got == 1) != on {
			t.Errorf("promiscuity %d, want %v", got, on)
		}
	}
}

// TestFrames checks the error for a frame area that is too small, and that it costs no frame.
func TestFrames(t *testing.T) {
	newLab(t, 2)
	pool := newPool(t, 2*FillTarget-64)
	_, err := Open(pool, Options{Host: hostName})
	if err == nil || !strings.Contains(err.Error(), "64 are missing") || !strings.Contains(err.Error(), "--frames") {
		t.Errorf("error %v, want one that says how many frames are missing", err)
	}
	if free := pool.FreeInDepot(); free != pool.Frames() {
		t.Errorf("%d of %d frames free after the refusal", free, pool.Frames())
	}
}

// TestVanish deletes an interface under traffic: its queues fall silent, others go on, and every frame comes back.
func TestVanish(t *testing.T) {
	newLab(t, 1)
	addPair(t, "p1", "h1", 1)
	pool := newPool(t, 8192)
	p, other := openPort(t, pool, Options{Host: hostName}), openPort(t, pool, Options{Host: "p1"})
	q, peer := p.Queues()[0], openTap(t, peerName)
	for n := range uint32(10) {
		peer.send(testPacket(n, 64))
	}
	if p.Gone() {
		t.Fatal("gone too early")
	}
	must(t, netlink.LinkDel(device(t, hostName)))
	eventually(t, "the interface is gone", p.Gone)
	addr, _ := p.cache.Get()
	d := []frame.Desc{{Addr: addr, Len: 64}}
	if q.Receive(make([]frame.Desc, 64)) != 0 || q.Transmit(d) != 0 || q.FD() != -1 {
		t.Error("a queue works whose interface is gone")
	}
	q.Flush()
	q.Refill(p.cache)
	q.Complete(p.cache)
	p.cache.Put(addr)
	p.shut()

	tap := openTap(t, "h1")
	other.send(other.Queues()[0], testPacket(5, 64))
	if number(tap.receive()) != 5 {
		t.Error("another interface was disturbed")
	}
	other.Queues()[0].Refill(other.cache)
	checkCensus(t, pool, other.Queues(), FillTarget)

	// It comes back under its name.
	addPair(t, hostName, peerName, 1)
	again := openPort(t, pool, Options{Host: hostName})
	peer = openTap(t, peerName)
	peer.send(testPacket(6, 64))
	if _, ok := again.receive(again.Queues()[0], 5*time.Second); !ok {
		t.Error("nothing received after the interface came back")
	}
}

// TestMoved moves the interface to another Linux network namespace, which unbinds it too; there, its settings are not
// ours to change.
func TestMoved(t *testing.T) {
	newLab(t, 1)
	p := openPort(t, newPool(t, 8192), Options{Host: hostName})
	moveAway(t)
	eventually(t, "the interface is gone", p.Gone)
	p.shut()
	checkCensus(t, p.pool, p.Queues(), 0)
}

// TestQueuesOption checks that the number of queues is set, and put back although the kernel still holds the queue
// that goes.
func TestQueuesOption(t *testing.T) {
	newLab(t, 2)
	set := func(n uint32) {
		eth, err := ethtool.NewEthtool()
		must(t, err)
		defer eth.Close()
		channels, err := eth.GetChannels(hostName)
		must(t, err)
		channels.RxCount, channels.TxCount = n, n
		_, err = eth.SetChannels(hostName, channels)
		must(t, err)
	}
	pool := newPool(t, 8192)
	for before, asked := range map[uint32]int{1: 2, 2: 1} {
		// The peer's transmit queues must not be more than our receive queues.
		set(2)
		set(before)
		was := settings(t, hostName)
		p := openPort(t, pool, Options{Host: hostName, Queues: asked, Mode: Generic})
		if n := len(p.Queues()); n != asked {
			t.Errorf("%d queues, want %d", n, asked)
		}
		p.shut()
		if now := settings(t, hostName); now != was {
			t.Errorf("settings before: %s\nafter: %s", was, now)
		}
	}
	// With one receive queue against the peer's two transmit queues, a veth runs no program natively.
	set(1)
	_, err := Open(pool, Options{Host: hostName, Mode: Copy})
	if err == nil || !strings.Contains(err.Error(), "transmit queues") {
		t.Errorf("error %v, want one that tells about the peer's transmit queues", err)
	}
	p := openPort(t, pool, Options{Host: hostName})
	modes := slices.DeleteFunc(slices.Clone(p.Notes()), func(n string) bool { return !strings.HasPrefix(n, "mode ") })
	for _, note := range modes {
		if !strings.HasSuffix(note, ": mode generic is used") {
			t.Errorf("note %q does not say which mode is used", note)
		}
	}
	if _, got := p.Mode(); got != Generic || len(modes) != 2 {
		t.Errorf("mode %v, notes %q; want generic with a note for each better mode", got, p.Notes())
	}
}

// TestTagsStay: an interface leaves the VLAN tags of both protocols on what it receives while it is taken, and says so.
func TestTagsStay(t *testing.T) {
	newLab(t, 1)
	was := settings(t, hostName)
	if !strings.Contains(was, "rxvlan=true,true") {
		t.Fatalf("a veth does not strip tags any more: %s", was)
	}
	p := openPort(t, newPool(t, 4096), Options{Host: hostName})
	if now := settings(t, hostName); !strings.Contains(now, "rxvlan=false,false") || p.StripsTags() {
		t.Errorf("tags are stripped (%v): %s", p.StripsTags(), now)
	}
	const note = "VLAN tag stripping is off while the router has the interface: rx-vlan-hw-parse, rx-vlan-stag-hw-parse"
	if !slices.Contains(p.Notes(), note) {
		t.Errorf("notes %q, want %q", p.Notes(), note)
	}
	p.shut()
	if now := settings(t, hostName); now != was {
		t.Errorf("settings before: %s\nafter: %s", was, now)
	}
}

// TestReopen opens and closes in a loop: the kernel frees a closed socket's queue only some time later.
func TestReopen(t *testing.T) {
	newLab(t, 2)
	pool := newPool(t, 8192)
	for range 10 {
		openPort(t, pool, Options{Host: hostName}).shut()
	}
	if free := pool.FreeInDepot(); free != pool.Frames() {
		t.Errorf("%d of %d frames free", free, pool.Frames())
	}
}

// TestAwaitRelease checks what zero-copy closing relies on: a queue cannot be bound while its old socket is, and can
// soon after.
func TestAwaitRelease(t *testing.T) {
	newLab(t, 1)
	index := device(t, hostName).Attrs().Index
	pool := newPool(t, 64)
	q := &Queue{pool: pool, fd: -1}
	must(t, q.open(index, Copy, 0, 1, -1, pool.NewCache()))
	time.AfterFunc(200*time.Millisecond, q.close)
	start := time.Now()
	awaitRelease(index, 0)
	if waited := time.Since(start); waited < 200*time.Millisecond || waited >= patience {
		t.Errorf("waited %v for a queue that was released after 200 ms", waited)
	}
}

func TestModeNames(t *testing.T) {
	for _, mode := range []Mode{Auto, ZeroCopy, Copy, Generic} {
		if got, err := ParseMode(mode.String()); err != nil || got != mode {
			t.Errorf("mode %v parses to %v, %v", mode, got, err)
		}
	}
	if _, err := ParseMode("fast"); err == nil || !strings.Contains(err.Error(), "fast") {
		t.Errorf("error %v, want one that names the word", err)
	}
}
