package e2e

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"nsrouter/internal/corpus"
	"nsrouter/internal/lab"
)

var churnSeed = flag.Uint64("churn-seed", 0, "seed of TestChurn; 0 for one from the time")

// stay is the time that a device spent in a namespace: from before the command that brought it was given until the one
// that took it away had returned, which to is the zero time before.
type stay struct {
	ns       string
	from, to time.Time
}

func (s stay) String() string {
	to := "now"
	if !s.to.IsZero() {
		to = s.to.Format(time.StampMicro)
	}
	return s.ns + " from " + s.from.Format(time.StampMicro) + " to " + to
}

// resident is a device that lives now in one namespace, now in another, and the host behind it. Hosts of the same side
// have the same address, and say all the time, to that of the other side, who they are and what time it is.
type resident struct {
	id     int
	device string
	side   int
	vlan   int // 0: a port of its own
	wire   *lab.Sniffer
	mac    corpus.MAC // of the router's device

	mu    sync.Mutex
	stays []stay
	heard atomic.Int64
}

const churnMark = "who-and-when"

// saying is the frame of a resident: mark, id, and room for the time.
func (r *resident) saying(t *testing.T) []byte {
	src, dst := fmt.Sprintf("10.0.%d.2", r.side), fmt.Sprintf("10.0.%d.2", 1-r.side)
	frame := flowFrame(t, r.mac.String(), src, dst, 4000, 0, append([]byte(churnMark), make([]byte, 16)...))
	binary.BigEndian.PutUint64(frame[len(frame)-16:], uint64(r.id))
	clear(frame[40:42]) // no UDP checksum: the time is put in later
	if r.vlan != 0 {
		frame = tag(frame, customerTag, uint16(r.vlan))
	}
	return frame
}

func (r *resident) now() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stays[len(r.stays)-1].ns
}

// moves does what brings the device to a namespace, and keeps when; "" is none.
func (r *resident) moves(ns string, command func()) {
	r.mu.Lock()
	r.stays = append(r.stays, stay{ns: ns, from: time.Now()})
	r.mu.Unlock()
	command()
	r.mu.Lock()
	if n := len(r.stays); n > 1 {
		r.stays[n-2].to = time.Now()
	}
	r.mu.Unlock()
}

// during lists the namespaces that the device was in at some time of an interval, with when.
func (r *resident) during(from, to time.Time) (in []stay) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range slices.Backward(r.stays) {
		if !s.to.IsZero() && s.to.Before(from) {
			break
		}
		if s.to.IsZero() || s.to.After(to) {
			s.to = to
		}
		if s.from.Before(from) {
			s.from = from
		}
		if s.from.Before(s.to) {
			in = append(in, s)
		}
	}
	return in
}

// met tells whether two devices were in the same namespace at one time of an interval.
func met(a, b *resident, from, to time.Time) bool {
	for _, x := range a.during(from, to) {
		for _, y := range b.during(from, to) {
			if x.ns == y.ns && x.from.Before(y.to) && y.from.Before(x.to) {
				return true
			}
		}
	}
	return false
}

// churn is the state of TestChurn. Commands are given one after the other; hosts talk and listen meanwhile.
type churn struct {
	*world
	rnd       *rand.Rand
	residents []*resident
	moved     int
}

var churnSpaces = []string{"n0", "n1", "n2", "n3"}

// TestChurn: for a minute, devices and VLANs of four namespaces with the same addresses move, namespaces with all that is
// in them are deleted and made again, and links go down and up, at random, while all hosts send. No frame is heard by a
// host that was in no namespace with its sender since it was sent, and none is lost track of.
func TestChurn(t *testing.T) {
	t.Parallel()
	seed := *churnSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-churn-seed %d", seed)
	c := &churn{world: newWorld(t, "--workers", "2"), rnd: rand.New(rand.NewPCG(seed, 1))}
	c.populate()
	stop := sync.OnceValue(c.talk())
	defer stop()
	for end := time.Now().Add(time.Minute); time.Now().Before(end) && !t.Failed(); {
		c.step()
	}
	// Everybody finds a place again, and both sides of each namespace hear the other. Which of several hosts with one
	// address hears it is the router's choice.
	for i, r := range c.residents {
		c.bring(r, churnSpaces[i/2%len(churnSpaces)])
	}
	for _, r := range c.residents {
		r.heard.Store(0)
	}
	c.Eventually(20*time.Second, "both sides of each namespace to hear the other", func() bool {
		hear := make(map[string]bool)
		for _, r := range c.residents {
			if r.heard.Load() >= 10 {
				hear[fmt.Sprint(r.now(), r.side)] = true
			}
		}
		return len(hear) == 2*len(churnSpaces)
	})
	heard := stop()
	t.Logf("%d moves, %d frames heard", c.moved, heard)
	if c.moved < 100 || heard < 1000 {
		t.Errorf("%d moves, %d frames heard: too few to say anything", c.moved, heard)
	}
	if got := query[netnsRow](c.world, "netns list"); len(got) != 1+len(churnSpaces) {
		t.Errorf("namespaces at the end: %+v", got)
	}
	c.conserved()
}

// populate makes eight ports, and a trunk with two VLANs for each of two hosts.
func (c *churn) populate() {
	for _, ns := range churnSpaces {
		c.r.Must("netns add " + ns)
	}
	join := func(name string, addrs ...string) *lab.Sniffer {
		h := c.Host("at-" + name)
		h.Sysctl("net.ipv6.conf.all.disable_ipv6", "1")
		mac := corpus.RouterMAC(len(c.residents) + 100)
		c.Link(h.End("eth0", addrs...), lab.End{Host: c.r.Host, Name: name, MAC: mac.String()}, lab.LinkOptions{})
		c.r.Must("link add " + name + " type xdp")
		return h.Sniff("eth0")
	}
	add := func(r *resident) {
		r.id = len(c.residents)
		c.residents = append(c.residents, r)
		r.moves("init", func() {})
	}
	for i := range 8 {
		mac := corpus.RouterMAC(len(c.residents) + 100)
		name := fmt.Sprintf("m%d", i)
		add(&resident{device: name, side: i % 2, mac: mac, wire: join(name, fmt.Sprintf("10.0.%d.2/24", i%2))})
	}
	for side := range 2 {
		mac := corpus.RouterMAC(len(c.residents) + 100)
		trunk := fmt.Sprintf("trunk%d", side)
		wire := join(trunk)
		c.r.Must("link set " + trunk + " up")
		for vlan := 7; vlan <= 8; vlan++ {
			r := &resident{device: fmt.Sprintf("v%d%d", side, vlan), side: side, vlan: vlan, mac: mac, wire: wire}
			add(r)
			c.r.Must(c.vlan(r))
		}
	}
	for _, r := range c.residents {
		c.bring(r, churnSpaces[r.id/2%len(churnSpaces)])
	}
}

// vlan is the command that makes the device of a resident behind a trunk.
func (c *churn) vlan(r *resident) string {
	return fmt.Sprintf("link add link trunk%d name %s type vlan id %d", r.side, r.device, r.vlan)
}

// bring moves a device and gives it its address.
func (c *churn) bring(r *resident, ns string) {
	old := r.now()
	if old == ns {
		return
	}
	lines := fmt.Sprintf("-n %[1]s link set %[3]s netns %[2]s\n-n %[2]s addr add 10.0.%[4]d.1/24 dev %[3]s\n"+
		"-n %[2]s link set %[3]s up\n", old, ns, r.device, r.side)
	if r.vlan != 0 { // who is behind it cannot answer
		lines += fmt.Sprintf("-n %s neigh replace 10.0.%d.2 lladdr %s dev %s nud permanent\n", ns, r.side,
			corpus.HostMAC(r.id), r.device)
	}
	r.moves(ns, func() { c.batch(lines) })
	c.moved++
}

// batch gives commands, each with a namespace of its own, as one program.
func (c *churn) batch(lines string) {
	c.t.Helper()
	c.r.Batch(lines)
}

// step makes one change at random.
func (c *churn) step() {
	r := c.residents[c.rnd.IntN(len(c.residents))]
	ns := churnSpaces[c.rnd.IntN(len(churnSpaces))]
	switch n := c.rnd.IntN(10); {
	case n < 7:
		c.bring(r, ns)
	case n < 8:
		if r.now() != "init" {
			c.batch(fmt.Sprintf("-n %[1]s link set %[2]s down\n-n %[1]s link set %[2]s up\n", r.now(), r.device))
		}
	default:
		c.again(ns)
	}
}

// again fills a namespace, deletes it with all that is in it, makes it anew, and looks that it is empty.
func (c *churn) again(ns string) {
	var fill strings.Builder
	for i := range 50 {
		fmt.Fprintf(&fill, "-n %s route add blackhole 172.16.%d.0/24\n", ns, i)
	}
	c.batch(fill.String())
	var inside []*resident
	for _, r := range c.residents {
		if r.now() == ns {
			inside = append(inside, r)
		}
	}
	if c.rnd.IntN(4) == 0 {
		c.inhabit(ns)
	}
	command := func() { c.batch("netns del " + ns + "\nnetns add " + ns + "\n") }
	for _, r := range inside { // ports go home, VLAN devices end
		home := ""
		if r.vlan == 0 {
			home = "init"
		}
		next := command
		command = func() { r.moves(home, next) }
	}
	command()
	if got := c.r.Must("-o -n " + ns + " link show"); strings.Count(got, "\n") != 1 || !strings.Contains(got, " lo: ") {
		c.t.Errorf("%s was made again and has %s", ns, got)
	}
	if got := c.r.Must("-n " + ns + " route show"); got != "" {
		c.t.Errorf("%s was made again and has routes: %s", ns, got)
	}
	for _, r := range inside {
		if r.vlan != 0 {
			r.moves("init", func() { c.batch(c.vlan(r) + "\n") })
		}
	}
}

// inhabit starts a program in a namespace that lives on for a moment when that is deleted.
func (c *churn) inhabit(ns string) {
	c.r.Host.Start("env", "ROUTER_SOCKET="+c.r.Socket, c.r.Binary, "netns", "exec", ns, "--", "sleep", "2")
	c.Eventually(5*time.Second, "a process in "+ns, func() bool { return c.r.Must("netns pids "+ns) != "" })
}

// talk has all hosts send and listen until stop is called, which returns how many frames were heard.
func (c *churn) talk() (stop func() (heard int64)) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, r := range c.residents {
		frame := r.saying(c.t)
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(2 * time.Millisecond):
				}
				for range 2 {
					binary.BigEndian.PutUint64(frame[len(frame)-8:], uint64(time.Now().UnixNano()))
					r.wire.Send(frame)
				}
			}
		})
	}
	byWire := make(map[*lab.Sniffer][]*resident)
	for _, r := range c.residents {
		byWire[r.wire] = append(byWire[r.wire], r)
	}
	var heard atomic.Int64
	for wire, at := range byWire {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(50 * time.Millisecond):
				}
				for _, f := range wire.Take() {
					if c.hear(at, f) {
						heard.Add(1)
					}
				}
			}
		})
	}
	return func() int64 {
		close(done)
		wg.Wait()
		return heard.Load()
	}
}

// hear judges a frame that came in where some residents are.
func (c *churn) hear(at []*resident, f lab.Frame) bool {
	vlan := 0
	if etherType(f.Data) == customerTag {
		vlan = int(binary.BigEndian.Uint16(f.Data[14:]) & 0xfff)
	}
	i := slices.IndexFunc(at, func(r *resident) bool { return r.vlan == vlan })
	frame := untagged(f.Data)
	if i < 0 {
		if etherType(frame) == uint16(layers.EthernetTypeIPv4) {
			c.t.Errorf("heard beside all VLANs of a trunk: %x", f.Data)
		}
		return false
	}
	to := at[i]
	net := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(to.side), 0}), 24)
	if etherType(frame) == uint16(layers.EthernetTypeARP) && len(frame) >= 42 {
		if asked := netip.AddrFrom4([4]byte(frame[38:42])); !net.Contains(asked) {
			c.t.Errorf("%s is asked for %v", to.device, asked)
		}
		return false
	}
	protocol, upper := transportOf(frame)
	if protocol != byte(layers.IPProtocolUDP) || len(upper) < 8+len(churnMark)+16 || string(upper[8:8+len(churnMark)]) != churnMark {
		return false
	}
	said := upper[8+len(churnMark):]
	from := c.residents[binary.BigEndian.Uint64(said)]
	sent := time.Unix(0, int64(binary.BigEndian.Uint64(said[8:])))
	if !net.Contains(destination(frame)) || !met(from, to, sent, f.At) {
		c.t.Errorf("%s hears what the host at %s sent %v before to %v\nfrom was in %v\nto was in %v", to.device, from.device,
			f.At.Sub(sent), destination(frame), from.during(sent, f.At), to.during(sent, f.At))
	}
	to.heard.Add(1)
	return true
}
