package e2e

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// suite is FRR in one network namespace: daemons with their files in a directory of their own, run by start.
type suite struct {
	w       *world
	dir     string
	start   func(args ...string) *lab.Process
	daemons map[string]*lab.Process
}

// newSuite prepares FRR; configs are by daemon (zebra, ospfd, bgpd).
func newSuite(w *world, name string, start func(args ...string) *lab.Process, configs map[string]string) *suite {
	w.t.Helper()
	s := &suite{w: w, dir: filepath.Join(w.Dir, "frr-"+name), start: start, daemons: make(map[string]*lab.Process)}
	w.must(os.MkdirAll(s.dir, 0o755))
	w.must(os.Chmod(w.Dir, 0o711)) // the way to it
	frr, err := user.Lookup("frr")
	w.must(err)
	uid, err := strconv.Atoi(frr.Uid)
	w.must(err)
	w.must(os.Chown(s.dir, uid, -1))
	for daemon, config := range configs {
		w.must(os.WriteFile(s.file(daemon+".conf"), []byte("log stdout\n"+config), 0o644))
	}
	for _, daemon := range []string{"zebra", "ospfd", "bgpd"} {
		if _, ok := configs[daemon]; ok {
			s.run(daemon)
		}
	}
	return s
}

func (s *suite) file(name string) string { return filepath.Join(s.dir, name) }

// run starts a daemon and waits until it takes commands.
func (s *suite) run(daemon string) {
	s.w.t.Helper()
	// In the foreground, as the user that the package has made for it, without a TCP port for commands.
	args := []string{"/usr/lib/frr/" + daemon, "-P", "0", "-f", s.file(daemon + ".conf"),
		"-i", s.file(daemon + ".pid"), "-z", s.file("zserv.api"), "--vty_socket", s.dir}
	if daemon == "zebra" {
		// Namespaces are none of its business; a large buffer for what the kernel says.
		args = append(args, "-s", "4194304")
	}
	s.daemons[daemon] = s.start(args...)
	s.w.Eventually(10*time.Second, daemon+" to run", func() bool {
		_, err := os.Stat(s.file(daemon + ".vty"))
		return err == nil && (daemon != "zebra" || exists(s.file("zserv.api")))
	})
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// kill ends a daemon as a crash would.
func (s *suite) kill(daemons ...string) {
	s.w.t.Helper()
	for _, daemon := range daemons {
		s.daemons[daemon].Signal(syscall.SIGKILL)
		if _, err := s.daemons[daemon].Wait(5 * time.Second); err != nil {
			s.w.t.Fatal(err)
		}
		_ = os.Remove(s.file(daemon + ".vty"))
	}
}

// logs are what the daemons have said, for a test that fails.
func (s *suite) logs() string {
	var b strings.Builder
	for name, p := range s.daemons {
		fmt.Fprintf(&b, "%s of %s:\n%s\n", name, filepath.Base(s.dir), p.Output())
	}
	return b.String()
}

// speaker is a namespace that speaks OSPF with one peer and BGP with another. All speakers have the same addresses and
// areas; each has a network of its own behind either peer, besides one that all have.
type speaker struct {
	w          *world
	ns         string
	n          int
	ospf, bgp  *lab.Host // FRR, and BIRD
	frr        *suite    // in the namespace
	bird       *lab.Process
	birdSocket string
}

const (
	ospfConfig = `
interface %s
 ip ospf area 0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
!
router ospf
 ospf router-id %s
 timers throttle spf 0 50 200
 redistribute connected
 redistribute bgp
!
`
	bgpConfig = `
router bgp 65001
 bgp router-id 10.0.2.1
 no bgp ebgp-requires-policy
 neighbor 10.0.2.2 remote-as 65002
 neighbor 10.0.2.2 timers 3 9
 neighbor 10.0.2.2 timers connect 1
 neighbor 10.0.2.2 advertisement-interval 0
 neighbor 2001:db8:2::2 remote-as 65002
 neighbor 2001:db8:2::2 timers 3 9
 neighbor 2001:db8:2::2 timers connect 1
 address-family ipv4 unicast
  redistribute ospf
  redistribute connected
 exit-address-family
 address-family ipv6 unicast
  neighbor 2001:db8:2::2 activate
  redistribute connected
 exit-address-family
!
`
	birdConfig = `
router id 10.0.2.2;
protocol device { scan time 1; }
protocol kernel { ipv4 { export where source = RTS_BGP; }; }
protocol kernel { ipv6 { export where source = RTS_BGP; }; }
protocol static own4 {
  ipv4;
  route 198.51.100.0/24 blackhole;
  route 203.0.%[1]d.0/24 blackhole;
}
protocol static own6 { ipv6; route 2001:db8:100::/48 blackhole; }
protocol bgp router4 {
  local 10.0.2.2 as 65002;
  neighbor 10.0.2.1 as 65001;
  connect retry time 1; connect delay time 1; error wait time 1, 2; hold time 9;
  ipv4 { import all; export where source = RTS_STATIC; };
}
protocol bgp router6 {
  local 2001:db8:2::2 as 65002;
  neighbor 2001:db8:2::1 as 65001;
  connect retry time 1; connect delay time 1; error wait time 1, 2; hold time 9;
  ipv6 { import all; export where source = RTS_STATIC; };
}
`
)

// newSpeaker makes the hosts and starts all daemons. Port names are ns1 and ns2.
func newSpeaker(w *world, ns string, n int) *speaker {
	w.t.Helper()
	t := &speaker{w: w, ns: ns, n: n}
	w.r.Must("netns add " + ns)
	t.ospf = w.hostAs(ns+"-ospf", ns+"1", 1, ns)
	t.bgp = w.hostAs(ns+"-bgp", ns+"2", 2, ns)
	for _, h := range []*lab.Host{t.ospf, t.bgp} { // what they know, they are to learn
		h.Run("ip", "route", "del", "default")
		h.Run("ip", "-6", "route", "del", "default")
	}
	t.ospf.Run("ip", "addr", "add", "192.0.2.1/24", "dev", "lo")
	t.ospf.Run("ip", "addr", "add", fmt.Sprintf("172.16.%d.1/24", n), "dev", "lo")
	t.bgp.Run("ip", "addr", "add", "198.51.100.1/32", "dev", "lo")
	t.bgp.Run("ip", "-6", "addr", "add", "2001:db8:100::1/128", "dev", "lo")
	t.frr = newSuite(w, ns, w.inside(ns), map[string]string{
		"zebra": "", "ospfd": fmt.Sprintf(ospfConfig, ns+"1", "10.0.1.1"), "bgpd": bgpConfig,
	})
	peer := newSuite(w, ns+"-peer", func(args ...string) *lab.Process { return t.ospf.Start(args[0], args[1:]...) },
		map[string]string{"zebra": "", "ospfd": fmt.Sprintf(ospfConfig, "eth0", "10.0.1.2")})
	config := filepath.Join(w.Dir, ns+"-bird.conf")
	w.must(os.WriteFile(config, fmt.Appendf(nil, birdConfig, n), 0o600))
	t.birdSocket = filepath.Join(w.Dir, ns+"-bird.ctl")
	t.bird = t.bgp.Start("bird", "-f", "-c", config, "-s", t.birdSocket)
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("%s%s%s", t.frr.logs(), peer.logs(), t.bird.Output())
		}
	})
	return t
}

// routes is what the namespace has learned from a protocol, by prefix.
func (t *speaker) routes(protocol string) map[string]bool {
	t.w.t.Helper()
	got := make(map[string]bool)
	for _, family := range []string{"-4", "-6"} {
		for _, r := range query[struct{ Dst string }](t.w, family+" -n "+t.ns+" route show proto "+protocol) {
			got[r.Dst] = true
		}
	}
	return got
}

// reaches waits until the networks of the two peers reach each other by what was learned.
func (t *speaker) reaches(why string) {
	t.w.t.Helper()
	t.w.Eventually(60*time.Second, t.ns+" to forward between the networks of its peers "+why, func() bool {
		return t.ospf.Try("ping", "-n", "-c", "1", "-W", "1", "-I", "192.0.2.1", "198.51.100.1").Status == 0
	})
}

// cut waits until nothing from the network of the one peer reaches that of the other.
func (t *speaker) cut(why string) {
	t.w.t.Helper()
	t.w.Eventually(30*time.Second, t.ns+" to have no route "+why, func() bool {
		return !t.routes("bgp")["198.51.100.0/24"]
	})
	if res := t.ospf.Try("ping", "-n", "-c", "1", "-W", "1", "-I", "192.0.2.1", "198.51.100.1"); res.Status == 0 {
		t.w.t.Errorf("%s %s: %s", t.ns, why, res.Stdout)
	}
}

func (t *speaker) birdc(args ...string) {
	t.w.t.Helper()
	t.bgp.Run("birdc", append([]string{"-s", t.birdSocket}, args...)...)
}

// TestFRR: OSPF and BGP in two namespaces with the same addresses, against FRR and BIRD. What they learn forwards; what is
// withdrawn stops; daemons that are killed, and a router that is, recover.
func TestFRR(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	red, blue := newSpeaker(w, "red", 1), newSpeaker(w, "blue", 2)
	for _, x := range []*speaker{red, blue} {
		x.reaches("at first")
		w.Eventually(30*time.Second, "IPv6 by BGP in "+x.ns, func() bool { return x.routes("bgp")["2001:db8:100::/48"] })
		for protocol, want := range map[string]string{
			"ospf": fmt.Sprintf("172.16.%d.0/24", x.n), "bgp": fmt.Sprintf("203.0.%d.0/24", x.n),
		} {
			other := strings.Replace(want, fmt.Sprint(".", x.n, "."), fmt.Sprint(".", 3-x.n, "."), 1)
			w.Eventually(30*time.Second, want+" in "+x.ns, func() bool { return x.routes(protocol)[want] })
			if got := x.routes(protocol); got[other] {
				t.Errorf("%s has the other's route: %v", x.ns, got)
			}
		}
	}
	t.Run("withdrawn", func(*testing.T) {
		red.birdc("disable", "own4")
		red.cut("when BIRD has withdrawn its networks")
		blue.reaches("while red has none")
		red.birdc("enable", "own4")
		red.reaches("after BIRD announced them again")
	})
	t.Run("link down", func(*testing.T) {
		red.bgp.Interface("eth0").Down()
		red.cut("while the link is down")
		red.bgp.Interface("eth0").Up()
		red.bgp.Run("ip", "-6", "addr", "replace", "2001:db8:2::2/64", "dev", "eth0", "nodad")
		red.reaches("when the link is up")
	})
	t.Run("bgpd killed", func(*testing.T) {
		red.frr.kill("bgpd")
		red.cut("without bgpd, whose routes zebra removes")
		red.frr.run("bgpd")
		red.reaches("with a new bgpd")
	})
	t.Run("zebra killed", func(*testing.T) {
		red.frr.kill("zebra", "bgpd", "ospfd")
		red.ping("while no daemon is there, by the routes that they left")
		for _, daemon := range []string{"zebra", "ospfd", "bgpd"} {
			red.frr.run(daemon)
		}
		red.reaches("with new daemons")
	})
	t.Run("router killed", func(*testing.T) {
		w.r.Kill()
		w.r.Start()
		for _, x := range []*speaker{red, blue} {
			x.reaches("after the router was killed")
			if !x.frr.daemons["bgpd"].Running() {
				t.Errorf("bgpd in %s has ended", x.ns)
			}
		}
		w.r.Stop()
		w.r.Start()
		for _, x := range []*speaker{red, blue} {
			x.reaches("after the router was restarted")
		}
	})
	w.conserved()
}

// ping must be answered.
func (t *speaker) ping(why string) {
	t.w.t.Helper()
	if res := t.ospf.Try("ping", "-n", "-c", "5", "-i", "0.1", "-W", "1", "-I", "192.0.2.1", "198.51.100.1"); res.Status != 0 {
		t.w.t.Errorf("%s %s: %s", t.ns, why, res.Stdout)
	}
}
