package e2e

import (
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// addrFlags are the flags of an address as "addr show" has them, "absent" where there is none.
func (w *world) addrFlags(dev, addr string) string {
	w.t.Helper()
	for _, row := range query[struct {
		Addrs []struct {
			Local                       string
			NoDAD, Tentative, DADFailed bool
		} `json:"addr_info"`
	}](w, "addr show dev "+dev) {
		for _, a := range row.Addrs {
			if a.Local != addr {
				continue
			}
			var flags []string
			for name, set := range map[string]bool{
				"nodad": a.NoDAD, "tentative": a.Tentative && !a.DADFailed, "dadfailed": a.DADFailed,
			} {
				if set {
					flags = append(flags, name)
				}
			}
			return strings.Join(flags, " ")
		}
	}
	return "absent"
}

// TestDuplicateAddress: the router and a Linux host want the same address. Whoever has it keeps it, and the other says
// so; an address is not used while it is being tried, nor where the other has it.
func TestDuplicateAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.Host("host1")
	w.Link(h.End("eth0", "2001:db8:1::2/64"), w.r.Host.End("p1"), lab.LinkOptions{})
	for _, conf := range []string{"all", "eth0"} {
		h.Sysctl("net.ipv6.conf."+conf+".accept_dad", "1")
		h.Sysctl("net.ipv6.conf."+conf+".dad_transmits", "1")
	}
	m := w.Host("watcher").Start(w.r.Binary, "--socket", w.r.Socket, "monitor", "address")
	time.Sleep(300 * time.Millisecond)
	w.r.Must("link add p1 type xdp\nlink set p1 up\naddr add 2001:db8:1::1/64 dev p1")
	if got := w.addrFlags("p1", "2001:db8:1::1"); got != "tentative" {
		t.Errorf("a new address is %q", got)
	}
	w.silent(h, "2001:db8:1::1")
	w.settle()
	if got := w.addrFlags("p1", "2001:db8:1::1"); got != "" {
		t.Errorf("an address that nobody claims is %q", got)
	}
	w.ping(h, "2001:db8:1::1", 5)
	w.ping(h, linkLocal(w, "p1")+"%eth0", 5)

	// The host wants the router's address.
	h.Run("ip", "addr", "add", "2001:db8:1::1/64", "dev", "eth0")
	w.Eventually(5*time.Second, "the host to hear that the router has the address", func() bool {
		return strings.Contains(h.Run("ip", "-6", "addr", "show", "dev", "eth0", "dadfailed"), "2001:db8:1::1/64")
	})
	h.Run("ip", "addr", "del", "2001:db8:1::1/64", "dev", "eth0")
	w.ping(h, "2001:db8:1::1", 5)

	// The router wants the host's.
	w.r.Must("addr add 2001:db8:1::2/64 dev p1")
	w.Eventually(5*time.Second, "the router to hear that the host has the address",
		func() bool { return w.addrFlags("p1", "2001:db8:1::2") == "dadfailed" })
	if out := w.r.Must("addr show dev p1"); !strings.Contains(out, "inet6 2001:db8:1::2/64 scope global dadfailed tentative") {
		t.Errorf("addr show: %s", out)
	}
	if log := w.r.Log(); !strings.Contains(log, "duplicate address 2001:db8:1::2") {
		t.Errorf("the log says nothing: %s", log)
	}
	w.ping(h, "2001:db8:1::1", 5) // the host still uses it, and is answered
	for _, event := range []string{"2001:db8:1::1/64 scope global tentative", "2001:db8:1::1/64 scope global valid_lft",
		"2001:db8:1::2/64 scope global dadfailed tentative"} {
		w.Eventually(3*time.Second, "the event of "+event, func() bool {
			return strings.Contains(strings.Join(strings.FieldsFunc(m.Output(), isBlank), " "), event)
		})
	}
	// It is tried again when the device comes up, and the host has given it up.
	h.Run("ip", "addr", "replace", "2001:db8:1::7/64", "dev", "eth0", "nodad")
	h.Run("ip", "addr", "del", "2001:db8:1::2/64", "dev", "eth0")
	w.r.Must("link set p1 down\nlink set p1 up")
	w.settle()
	if got := w.addrFlags("p1", "2001:db8:1::2"); got != "" {
		t.Errorf("an address that was given up is %q", got)
	}
	w.ping(h, "2001:db8:1::2", 5)
	// One that is used at once.
	w.r.Must("addr add 2001:db8:1::3/64 dev p1 nodad")
	w.ping(h, "2001:db8:1::3", 5)
	w.r.Kill()
	w.r.Start()
	if got := w.addrFlags("p1", "2001:db8:1::3"); got != "nodad" {
		t.Errorf("after a restart nodad is %q", got)
	}
	w.ping(h, "2001:db8:1::3", 5)
	w.conserved()
}

func isBlank(r rune) bool { return r == ' ' || r == '\n' || r == '\\' }
