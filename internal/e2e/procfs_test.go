package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// newShownWorld is a world whose router shows its namespaces at the directory that is returned.
func newShownWorld(t *testing.T) (w *world, dir string) {
	l := lab.New(t)
	dir = filepath.Join(l.Dir, "procnet")
	w = &world{Lab: l, t: t, r: l.Router(lab.RouterOptions{Args: []string{"--procfs", dir}})}
	t.Cleanup(func() {
		if w.r.Process().Running() {
			w.conserved()
		}
	})
	if err := os.Chmod(l.Dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return w, dir
}

// cat reads a file of the tree with cat(1) on the router's host.
func (w *world) cat(path string) string {
	w.t.Helper()
	return w.r.Host.Run("cat", path)
}

// catAs is what cat(1) prints and says to a user without privileges, in a Linux namespace by its name.
func (w *world) catAs(uid int, netns, path string) string {
	w.t.Helper()
	args := []string{"netns", "exec", netns, "setpriv", fmt.Sprint("--reuid=", uid), fmt.Sprint("--regid=", uid),
		"--clear-groups", "cat", path}
	r := w.r.Host.Try("ip", args...)
	return r.Stdout + r.Stderr
}

// shownRoutes are given to the router and to the kernel.
var shownRoutes = []string{
	"10.64.0.0/10 via 10.0.1.7", "10.0.0.0/8 via 10.0.2.7 metric 7", "172.16.5.5/32 via 10.0.1.7",
	"192.168.0.0/24 dev p2", "192.168.0.0/16 via 10.0.1.9", "192.168.0.0/17 via 10.0.1.9",
	"blackhole 10.9.0.0/16", "unreachable 10.8.0.0/16 metric 5", "prohibit 10.7.0.0/16", "default via 10.0.1.7",
	"10.70.0.0/16 nexthop via 10.0.1.7 nexthop via 10.0.2.7", "10.71.0.0/16 via 10.0.1.7", "10.72.0.0/16 via 10.0.1.7",
	"10.73.0.0/16 via 10.0.1.7", "10.74.0.0/16 via 10.0.1.7", "10.75.0.0/16 via 10.0.1.7",
	"2001:db8:a::/48 via 2001:db8:1::7", "2001:db8:b::/48 dev p2", "unreachable 2001:db8:c::/48", "blackhole 2001:db8:d::/48",
	"2001:db8:e::/48 via 2001:db8:2::7 metric 77", "default via 2001:db8:1::7",
	"2001:db8:f::/48 nexthop via 2001:db8:1::7 nexthop via 2001:db8:2::7",
}

// kernelRouter is a kernel with links of the same names as the router's, which is a router, too.
func (w *world) kernelRouter() *lab.Host {
	k, far := w.Host("kernel"), w.Host("far")
	for n := 1; n <= 2; n++ {
		w.Link(k.End(fmt.Sprintf("p%d", n)), far.End(fmt.Sprintf("e%d", n)), lab.LinkOptions{})
	}
	k.Run("ip", "link", "set", "lo", "up")
	k.Sysctl("net/ipv6/conf/all/forwarding", "1") // subnet-router anycast addresses are those of routers
	return k
}

// TestProcNet: the files say what those of a kernel with the same addresses, routes and neighbours say, in its words.
func TestProcNet(t *testing.T) {
	w, dir := newShownWorld(t)
	w.r.Must("netns add red")
	far := w.Host("peer")
	for n := 1; n <= 2; n++ {
		dev := fmt.Sprintf("p%d", n)
		w.Link(w.r.Host.End(dev), far.End(fmt.Sprintf("e%d", n)), lab.LinkOptions{})
		w.r.Must("-n red link add " + dev + " type xdp\n-n red link set " + dev + " up")
	}
	k := w.kernelRouter()
	both := func(line string) {
		w.r.Must("-n red " + line)
		family := "-4"
		if strings.Contains(line, "2001:") {
			family = "-6"
		}
		k.Run("ip", append([]string{family}, strings.Fields(line)...)...)
	}
	for n := 1; n <= 2; n++ {
		both(fmt.Sprintf("addr add 10.0.%d.1/24 dev p%d", n, n))
		both(fmt.Sprintf("addr add 2001:db8:%d::1/64 dev p%d nodad", n, n))
	}
	for _, route := range shownRoutes {
		both("route add " + route)
	}
	both("neigh add 10.0.1.7 lladdr 02:00:00:00:00:07 dev p1 nud permanent")
	both("neigh add 10.0.2.8 lladdr 02:00:00:00:00:08 dev p2 nud permanent")
	w.settle()
	w.compareFiles(dir, k, "route", "fib_trie", "arp", "ipv6_route", "if_inet6", "dev")
	w.manyRoutes(k)
	w.compareFiles(dir, k, "route", "fib_trie: leaves")
}

// compareFiles compares files of namespace red with those of the kernel router.
func (w *world) compareFiles(dir string, k *lab.Host, files ...string) {
	w.t.Helper()
	for _, kind := range files {
		file, _, _ := strings.Cut(kind, ":")
		ours, theirs := alike(kind, w.cat(dir+"/red/"+file)), alike(kind, k.Run("cat", "/proc/net/"+file))
		if ours != theirs {
			w.t.Errorf("%s differs (- kernel, + router):\n%s", kind, diff(theirs, ours))
		}
	}
}

// manyRoutes adds the same random routes to the router and to the kernel.
func (w *world) manyRoutes(k *lab.Host) {
	w.t.Helper()
	random := rand.New(rand.NewPCG(5, 6))
	var ours, theirs strings.Builder
	for range 2000 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], random.Uint32()&^(1<<31)|random.Uint32()&random.Uint32()&(3<<24))
		if b[0] == 10 || b[0] == 127 || b[0] == 0 {
			continue
		}
		prefix := netip.PrefixFrom(netip.AddrFrom4(b), 8+random.IntN(25)).Masked()
		fmt.Fprintf(&ours, "-n red route replace %s via 10.0.1.7\n", prefix)
		fmt.Fprintf(&theirs, "route replace %s via 10.0.1.7\n", prefix)
	}
	w.r.Batch(ours.String())
	batch := filepath.Join(w.Dir, "routes")
	if err := os.WriteFile(batch, []byte(theirs.String()), 0o600); err != nil {
		w.t.Fatal(err)
	}
	k.Run("ip", "-batch", batch)
}

var (
	madeOfMAC  = regexp.MustCompile(`\bfe80[0-9a-f]{28}\b`)
	references = regexp.MustCompile(`([0-9a-f]{8}) [0-9a-f]{8} (00000000 [0-9a-f]{8} +\S+)$`)
	ifindex    = regexp.MustCompile(`^([0-9a-f]{32}) [0-9a-f]{2}`)
	digits     = regexp.MustCompile(`[0-9]+`)
)

// alike is a file without what differs between two machines, or for reasons: link-local addresses are made of random
// MAC addresses; the order of what the kernel has in hashes, its references, and its multicast routes are its own; and the
// inner nodes of a large trie depend on how it grew.
func alike(kind, text string) string {
	if kind == "route" || kind == "fib_trie" {
		return text
	}
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		switch kind {
		case "fib_trie: leaves":
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "+--") {
				continue
			}
		case "ipv6_route":
			if strings.HasPrefix(line, "ff00") {
				continue
			}
			line = references.ReplaceAllString(line, "$1 ref $2")
		case "if_inet6":
			line = ifindex.ReplaceAllString(line, "$1 index")
		case "dev":
			name, rest, _ := strings.Cut(line, ":")
			if rest != "" {
				line = name + ":" + strings.Join(strings.Fields(digits.ReplaceAllString(rest, "n")), " ")
			}
		}
		lines = append(lines, madeOfMAC.ReplaceAllString(line, "fe80-made-of-mac")+"\n")
	}
	if kind != "fib_trie: leaves" {
		slices.Sort(lines)
	}
	return strings.Join(lines, "")
}

// TestProcNetSelf: `self` leads each reader to its own namespace at once; a reader without privileges sees that one alone.
func TestProcNetSelf(t *testing.T) {
	w, dir := newShownWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	w.host(1, "red")
	w.hostAs("host2", "q1", 2, "blue")
	for ns, dev := range map[string]string{"red": "p1", "blue": "q1"} {
		if got := w.linux(ns, "cat "+dir+"/self/dev"); !strings.Contains(got, dev+": ") || strings.Count(got, "\n") != 4 {
			t.Errorf("root in %s reads of itself:\n%s", ns, got)
		}
		if got := w.linux(ns, "readlink "+dir+"/self"); got != ns+"\n" {
			t.Errorf("in %s self leads to %s", ns, got)
		}
		const stranger = 64003
		linux := w.r.NetnsPrefix + ns
		if got := w.catAs(stranger, linux, dir+"/self/route"); !strings.Contains(got, dev+"\t") {
			t.Errorf("a user in %s reads of its own namespace:\n%s", ns, got)
		}
		other := map[string]string{"red": "blue", "blue": "red"}[ns]
		for _, path := range []string{"/" + other + "/dev", "/init/dev", "/none/dev"} {
			if got := w.catAs(stranger, linux, dir+path); !strings.Contains(got, "No such file or directory") {
				t.Errorf("a user in %s reads %s:\n%s", ns, path, got)
			}
		}
	}
	if got := w.r.Host.Run("ls", dir); got != "blue\ninit\nred\nself\n" {
		t.Errorf("root sees:\n%s", got)
	}
	// An owner sees what it has a role in, from wherever.
	w.r.Must("netns set red owner user:64001 role read")
	host := w.r.Host.NetnsName()
	if got := w.catAs(tenant, host, dir+"/red/dev"); !strings.Contains(got, "p1: ") {
		t.Errorf("the owner reads:\n%s", got)
	}
	w.r.Must("netns set red owner user:64001 role none")
	if got := w.catAs(tenant, host, dir+"/red/dev"); !strings.Contains(got, "No such file or directory") {
		t.Errorf("who is owner no more reads:\n%s", got)
	}
	w.r.Must("netns set red name crimson")
	if got := w.linux("crimson", "readlink "+dir+"/self") + w.linux("crimson", "cat "+dir+"/self/dev"); !strings.HasPrefix(got,
		"crimson\n") || !strings.Contains(got, "p1: ") {
		t.Errorf("under another name:\n%s", got)
	}
	w.r.Must("netns set crimson name red")
	// One that enters another namespace is led there by the next step.
	script := "readlink " + dir + "/self; ip netns exec " + w.r.NetnsPrefix + "blue readlink " + dir + "/self"
	if got := w.r.Host.Run("ip", "netns", "exec", w.r.NetnsPrefix+"red", "sh", "-c", script); got != "red\nblue\n" {
		t.Errorf("who moves sees: %s", got)
	}
}

// TestProcNetFaults: a reader that hangs keeps nobody, neither another reader nor a change nor the end; a namespace that is
// made again is another; what a killed daemon has left is replaced; a second daemon does not take a living one's place.
func TestProcNetFaults(t *testing.T) {
	w, dir := newShownWorld(t)
	w.r.Must("netns add red")
	w.host(1, "red")
	var routes strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&routes, "-n red route add 11.%d.%d.0/24 via 10.0.1.2\n", i>>8, i&255)
	}
	w.r.Batch(routes.String())
	open := func(name string) *os.File {
		t.Helper()
		f, err := os.Open(dir + "/red/" + name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	hung := open("route")
	if _, err := hung.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(w.cat(dir+"/red/route"), "\n"); n != 20_002 {
		t.Errorf("beside a reader that hangs another one reads %d lines", n)
	}
	w.r.Must("-n red route del 11.0.7.0/24")
	w.r.Must("netns del red\nnetns add red") // p1 goes home
	if _, err := hung.Stat(); err == nil {
		t.Error("a file of a deleted namespace is there")
	}
	if got := w.cat(dir + "/red/route"); strings.Count(got, "\n") != 1 {
		t.Errorf("a namespace made again has the routes of the old one:\n%s", got)
	}

	second := w.r.Host.Try(w.r.Binary, "run", "--socket", w.r.Socket+"2", "--state", "none", "--netns-prefix",
		w.r.NetnsPrefix+"2-", "--procfs", dir)
	if second.Status == 0 || !strings.Contains(second.Stderr, "--procfs "+dir+": another router") {
		t.Errorf("a second router at the same directory: %+v", second)
	}
	w.r.Kill()
	if _, err := os.ReadDir(dir); err == nil {
		t.Error("a dead daemon's tree answers")
	}
	w.r.Start()
	inside := open("../init/dev")
	if got := w.cat(dir + "/init/dev"); !strings.Contains(got, "lo: ") {
		t.Errorf("after a crash:\n%s", got)
	}
	if n := strings.Count(w.mounts(), dir); n != 1 {
		t.Errorf("%d mounts after a crash", n)
	}
	begun := time.Now()
	w.r.Stop()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("the end took %v with a file open", took)
	}
	if _, err := inside.Read(make([]byte, 1)); err == nil {
		t.Error("a file of a daemon that has ended is read")
	}
	if strings.Contains(w.mounts(), dir) {
		t.Error("the tree is mounted after the end")
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		t.Errorf("the directory after the end: %v", err)
	}
	w.r.Start()
}

func (w *world) mounts() string {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		w.t.Fatal(err)
	}
	return string(table)
}

// TestProcNetTools: the parsers of net-tools and busybox read the tree in the place of /proc/net.
func TestProcNetTools(t *testing.T) {
	w, dir := newShownWorld(t)
	w.r.Must("netns add red")
	w.host(1, "red")
	w.r.Must(`-n red route add default via 10.0.1.7
		-n red route add 2001:db8:a::/48 via 2001:db8:1::7
		-n red neigh add 10.0.1.7 lladdr 02:00:00:00:00:07 dev p1`)
	// The mount namespace of the tool alone has another /proc.
	tool := func(command string) string {
		t.Helper()
		script := "mount -t tmpfs none /proc && ln -s " + dir + "/red /proc/net && " + command
		return w.r.Host.Run("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
	}
	for _, try := range []struct{ command, want string }{
		{"netstat -rn", `0\.0\.0\.0 +10\.0\.1\.7 +0\.0\.0\.0 +UG .* p1`},
		{"route -n", `10\.0\.1\.0 +0\.0\.0\.0 +255\.255\.255\.0 +U +0 .* p1`},
		{"busybox route -n", `0\.0\.0\.0 +10\.0\.1\.7 +0\.0\.0\.0 +UG .* p1`},
		{"route -6 -n", `2001:db8:a::/48 +2001:db8:1::7 +UG +1024 .* p1`},
		{"busybox netstat -rn", `10\.0\.1\.0 +0\.0\.0\.0 +255\.255\.255\.0 +U .* p1`},
		{"busybox arp -an", `\? \(10\.0\.1\.7\) at 02:00:00:00:00:07 \[ether\] +PERM on p1`},
	} {
		if got := tool(try.command); !regexp.MustCompile(try.want).MatchString(got) {
			t.Errorf("%s prints no %s:\n%s", try.command, try.want, got)
		}
	}
}

// TestProcNetSwitches: root sets what `netns set` and `link set` do by writing, and reads it so; nobody else writes.
func TestProcNetSwitches(t *testing.T) {
	w, dir := newShownWorld(t)
	w.r.Must("netns add red")
	a, b := w.host(1, "red"), w.host(2, "red")
	w.r.Must("netns set red owner user:64001 role admin")
	conf := dir + "/red/conf/"
	write := func(name, value string) error { return os.WriteFile(conf+name, []byte(value), 0) }
	must := func(name, value string) {
		t.Helper()
		if err := write(name, value); err != nil {
			t.Fatal(err)
		}
		if got := w.cat(conf + name); got != value {
			t.Errorf("%s is %q after %q was written", name, got, value)
		}
	}
	w.ping(a, "10.0.2.2", 2)
	w.ping(a, "2001:db8:2::2", 2)
	must("ip_forward", "0\n")
	w.silent(a, "10.0.2.2")
	w.ping(a, "10.0.1.1", 1) // the router itself answers
	w.ping(a, "2001:db8:2::2", 1)
	if got := w.r.Must("-n red drops dev p1"); !strings.Contains(got, "forwarding-off") {
		t.Errorf("nothing is counted as forwarding-off:\n%s", got)
	}
	must("ip6_forward", "0\n")
	w.silent(a, "2001:db8:2::2")
	must("ip_forward", "1\n")
	w.r.Must("netns set red ip6-forward on")
	if got := w.cat(conf + "ip6_forward"); got != "1\n" {
		t.Errorf("ip6_forward is %q after netns set", got)
	}
	w.ping(a, "10.0.2.2", 1)
	w.ping(b, "2001:db8:1::2", 1)

	must("rp_filter", "1\n")
	must("dev/p2/rp_filter", "2\n")
	if one, all := w.cat(conf+"dev/p1/rp_filter"), w.cat(conf+"rp_filter"); one != "1\n" || all != "2\n" {
		t.Errorf("rp_filter of p1 is %q, of all %q", one, all)
	}
	must("icmp_ratelimit", "10\n")
	must("fib_multipath_hash_policy", "0\n")
	shown := w.r.Must("-d netns list")
	for _, want := range []string{"icmp-msgs-per-sec 100", "fib-multipath-hash-policy l3"} {
		if !strings.Contains(shown, want) {
			t.Errorf("netns list shows no %s:\n%s", want, shown)
		}
	}
	if line := `"comm":"e2e.test","netns":"red","what":{"netns_set":{"name":"red","settings":[{"name":"ip-forward","value":"0"}]}},` +
		`"outcome":"done"`; !strings.Contains(w.r.Log(), line) {
		t.Errorf("the audit log has no %s:\n%s", line, w.r.Log())
	}

	for name, value := range map[string]string{"ip_forward": "2", "rp_filter": "x", "icmp_ratelimit": "often", "echo_rate": " "} {
		if err := write(name, value); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%q to %s: %v", value, name, err)
		}
	}
	for _, name := range []string{"host", "none", "dev/none/rp_filter"} {
		if err := write(name, "1"); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	// The namespace's administrator has the control socket for it.
	args := []string{"setpriv", "--reuid=64001", "--regid=64001", "--clear-groups", "sh", "-c", "echo 0 > " + conf + "ip_forward"}
	if r := w.r.Host.Try(args[0], args[1:]...); r.Status == 0 || !strings.Contains(r.Stderr, "ermission denied") {
		t.Errorf("a user writes: %+v", r)
	}
	if err := os.WriteFile(dir+"/red/dev", []byte("1"), 0); !errors.Is(err, syscall.EACCES) {
		t.Errorf("a file that is none to be written: %v", err)
	}
	if got := w.cat(conf + "ip_forward"); got != "1\n" {
		t.Errorf("ip_forward is %q after what was refused", got)
	}
	w.r.Host.Run("find", dir, "-type", "f", "-exec", "cat", "{}", "+") // all can be read
}

// icmp6Type are columns of the types that there were, by their numbers, like the line IcmpMsg.
var icmp6Type = regexp.MustCompile(`^Icmp6(In|Out)Type[0-9]+$`)

var listening = regexp.MustCompile(`(?m)^TCP6?: inuse 1\b`)

// counted reads snmp or snmp6: the values by their names.
func counted(text string) map[string]string {
	out := map[string]string{}
	var names []string
	for line := range strings.Lines(text) {
		switch f := strings.Fields(line); {
		case len(f) == 2 && !strings.HasSuffix(f[0], ":"):
			out[f[0]] = f[1]
		case len(names) > 0 && names[0] == f[0]:
			for i := 1; i < len(f); i++ {
				out[f[0]+names[i]] = f[i]
			}
			names = nil
		default:
			names = f
		}
	}
	return out
}

// TestProcNetCounters: the router counts what the kernel does of the same traffic, under the same names; what is of sockets is
// what the Linux namespace has.
func TestProcNetCounters(t *testing.T) {
	w, dir := newShownWorld(t)
	w.r.Must("netns add red\nnetns add bare host none")
	ours := []*lab.Host{w.host(1, "red"), w.host(2, "red")}
	k := w.Host("kernel")
	k.Run("ip", "link", "set", "lo", "up")
	k.Sysctl("net/ipv4/ip_forward", "1")
	k.Sysctl("net/ipv6/conf/all/forwarding", "1")
	k.Sysctl("net/ipv4/icmp_ratelimit", "0") // of each receiver, which the router does not limit
	k.Sysctl("net/ipv6/icmp/ratelimit", "0")
	var theirs []*lab.Host
	for n := 1; n <= 2; n++ {
		h := w.Host(fmt.Sprintf("k%d", n))
		w.Link(h.End("eth0", fmt.Sprintf("10.0.%d.2/24", n), fmt.Sprintf("2001:db8:%d::2/64", n)),
			k.End(fmt.Sprintf("p%d", n), fmt.Sprintf("10.0.%d.1/24", n), fmt.Sprintf("2001:db8:%d::1/64", n)), lab.LinkOptions{})
		h.Route("default", fmt.Sprintf("10.0.%d.1", n))
		h.Route("default", fmt.Sprintf("2001:db8:%d::1", n))
		theirs = append(theirs, h)
	}
	w.settle()
	for _, hosts := range [][]*lab.Host{ours, theirs} {
		ping := func(count int, args ...string) {
			hosts[0].Try("ping", append([]string{"-n", "-i", "0.05", "-W", "1", "-c", fmt.Sprint(count)}, args...)...)
		}
		for _, family := range []struct{ router, far, nowhere string }{
			{"10.0.1.1", "10.0.2.2", "192.0.2.1"}, {"2001:db8:1::1", "2001:db8:2::2", "2001:db8:ffff::1"},
		} {
			ping(7, family.far)
			ping(5, family.router)
			ping(3, family.nowhere)
			ping(2, "-t", "1", family.far)
		}
	}
	router := counted(w.cat(dir+"/red/snmp") + w.cat(dir+"/red/snmp6"))
	kernel := counted(k.Run("cat", "/proc/net/snmp", "/proc/net/snmp6"))
	for name := range kernel {
		if _, there := router[name]; !there && !strings.HasPrefix(name, "IcmpMsg:") && !icmp6Type.MatchString(name) {
			t.Errorf("%s is not there", name)
		}
	}
	for _, name := range []string{
		"Ip:Forwarding", "Ip:DefaultTTL", "Ip:InReceives", "Ip:InHdrErrors", "Ip:ForwDatagrams", "Ip:InDelivers", "Ip:InAddrErrors",
		"Icmp:InMsgs", "Icmp:InEchos", "Icmp:OutEchoReps", "Icmp:OutDestUnreachs", "Icmp:OutTimeExcds", "Icmp:OutMsgs",
		"Ip6OutForwDatagrams", "Ip6InHdrErrors", "Icmp6InEchos", "Icmp6OutEchoReplies", "Icmp6OutDestUnreachs",
		"Icmp6OutTimeExcds", "Icmp6OutPktTooBigs", "Tcp:RtoMax",
	} {
		if router[name] == "" || router[name] != kernel[name] {
			t.Errorf("%s: the router has %s, the kernel %s", name, router[name], kernel[name])
		}
	}
	if router["Ip6InNoRoutes"] != "3" { // Linux counts something of its own besides
		t.Errorf("Ip6InNoRoutes: %s", router["Ip6InNoRoutes"])
	}
	if kernel["Ip:ForwDatagrams"] != "14" || kernel["Icmp6InEchos"] != "5" {
		t.Errorf("the kernel itself: %v", kernel)
	}

	// A socket in the namespace is Linux', and counted there.
	sockets := func(ns string) string { return w.cat(dir+"/"+ns+"/sockstat") + w.cat(dir+"/"+ns+"/sockstat6") }
	before := sockets("red")
	program := w.r.Host.Start(w.r.Binary, "--socket", w.r.Socket, "netns", "exec", "red", "--", "busybox", "nc", "-l", "-p",
		"7777")
	defer program.Signal(syscall.SIGKILL)
	w.Eventually(5*time.Second, "a socket", func() bool {
		return !listening.MatchString(before) && listening.MatchString(sockets("red")) // by IPv6, as a rule
	})
	if got := sockets("init"); listening.MatchString(got) {
		t.Errorf("sockets of init:\n%s", got)
	}
	for _, file := range []string{"snmp", "snmp6", "sockstat", "sockstat6"} {
		bare := w.cat(dir + "/bare/" + file)
		if got, want := digits.ReplaceAllString(bare, "n"), digits.ReplaceAllString(w.cat(dir+"/init/"+file), "n"); got != want {
			t.Errorf("%s of a namespace without Linux:\n%s", file, diff(want, got))
		}
		if regexp.MustCompile(`inuse [1-9]`).MatchString(bare) {
			t.Errorf("sockets of a namespace without Linux:\n%s", bare)
		}
	}
}
