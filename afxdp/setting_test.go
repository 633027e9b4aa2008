package afxdp

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// testJournal is a journal that fails its test if it hears of a change too late.
type testJournal struct {
	t       *testing.T
	entries map[int][]Setting
}

func newJournal(t *testing.T) *testJournal { return &testJournal{t, map[int][]Setting{}} }

func (j *testJournal) Load(ifindex int) []Setting { return j.entries[ifindex] }

func (j *testJournal) Save(ifindex int, changed []Setting) {
	names := make(map[Setting]bool)
	for _, s := range changed {
		s.Old = ""
		if names[s] {
			j.t.Errorf("noted twice: %+v", changed)
		}
		names[s] = true
	}
	if len(changed) > len(j.entries[ifindex]) {
		j.unchanged(ifindex, changed[len(changed)-1])
	}
	if j.entries[ifindex] = changed; len(changed) == 0 {
		delete(j.entries, ifindex)
	}
}

// unchanged fails the test unless the setting still has its old value.
func (j *testJournal) unchanged(ifindex int, s Setting) {
	j.t.Helper()
	d, err := netlink.LinkByIndex(ifindex)
	must(j.t, err)
	now := s.Old
	switch s.Kind {
	case Sysctl:
		content, err := os.ReadFile(sysctlPath(d.Attrs().Name, s.Name))
		must(j.t, err)
		now = strings.TrimSpace(string(content))
	case MTU:
		now = strconv.Itoa(d.Attrs().MTU)
	case Up:
		now = strconv.FormatBool(d.Attrs().RawFlags&unix.IFF_UP != 0)
	}
	if now != s.Old {
		j.t.Errorf("noted after the change: %+v is %s already", s, now)
	}
}

// die leaves the interface as a process does that is killed: descriptors are closed, and nothing is put back.
func (p *port) die() {
	p.release()
	must(p.t, unix.Close(p.packet))
	p.packet, p.changed, p.journal = -1, nil, nil
	p.shut()
}

// changedPort opens the lab's interface and changes of it all that can be changed.
func changedPort(t *testing.T, j Journal, mtu int) *port {
	t.Helper()
	p := openPort(t, newPool(t, 8192), Options{Host: hostName, Mode: Generic, Queues: 1, Journal: j})
	must(t, p.SetUp())
	must(t, p.RaiseMTU(mtu))
	return p
}

// TestSuccessor kills two processes that have changed the interface; a third puts back what was before the first.
func TestSuccessor(t *testing.T) {
	newLab(t, 2)
	must(t, setDown(t, hostName))
	before := settings(t, hostName)
	j := newJournal(t)
	changedPort(t, j, 1600).die()
	must(t, os.WriteFile(sysctlPath(hostName, "ipv4/arp_ignore"), []byte("2"), 0)) // the operator's, meanwhile
	changedPort(t, j, 1700).die()
	during := settings(t, hostName)
	for _, part := range []string{"disable_ipv6=1", "arp_ignore=8", "gro=false", "RxCount:1", "mtu=1700", "up=true"} {
		if !strings.Contains(during, part) {
			t.Errorf("no %s after the second death: %s", part, during)
		}
	}

	// One that is refused leaves all to the next.
	must(t, netlink.AddrAdd(device(t, hostName), address(t, "192.0.2.1/24")))
	if _, err := Open(newPool(t, 2048), Options{Host: hostName, Journal: j}); err == nil {
		t.Fatal("not refused")
	}
	must(t, netlink.AddrDel(device(t, hostName), address(t, "192.0.2.1/24")))
	if now := settings(t, hostName); now != during {
		t.Errorf("settings before the refusal: %s\nafter: %s", during, now)
	}

	changedPort(t, j, 1700).shut()
	if after := settings(t, hostName); after != before {
		t.Errorf("settings before: %s\nafter: %s", before, after)
	}
	if len(j.entries) != 0 {
		t.Errorf("left in the journal: %+v", j.entries)
	}
}

// TestPutBack puts the changes of a dead process back on an interface that has another name by now, and leaves the one
// that has its name alone.
func TestPutBack(t *testing.T) {
	newLab(t, 2)
	must(t, setDown(t, hostName))
	before := settings(t, hostName)
	j := newJournal(t)
	p := changedPort(t, j, 1600)
	p.die()
	must(t, setDown(t, hostName))
	must(t, netlink.LinkSetName(device(t, hostName), "renamed"))
	addPair(t, hostName, "h1", 1)
	other := settings(t, hostName)

	must(t, PutBack(p.HostIndex(), j.entries[p.HostIndex()]))
	if after := settings(t, "renamed"); after != before {
		t.Errorf("settings before: %s\nafter: %s", before, after)
	}
	if now := settings(t, hostName); now != other {
		t.Errorf("another interface's settings before: %s\nafter: %s", other, now)
	}

	must(t, netlink.LinkDel(device(t, "renamed")))
	must(t, PutBack(p.HostIndex(), j.entries[p.HostIndex()]))
	err := PutBack(device(t, hostName).Attrs().Index, []Setting{{Kind: "colour", Old: "red"}, {Kind: MTU, Old: "much"}})
	if err == nil || !strings.Contains(err.Error(), "put colour of p0 back to red: ") ||
		!strings.Contains(err.Error(), "put mtu of p0 back to much: ") {
		t.Errorf("error %v, want one that names both settings", err)
	}
}

// TestVanishedJournal checks that nothing is left to be put back on an interface that is gone.
func TestVanishedJournal(t *testing.T) {
	newLab(t, 1)
	j := newJournal(t)
	p := openPort(t, newPool(t, 2048), Options{Host: hostName, Journal: j})
	if len(j.entries) != 1 {
		t.Errorf("the journal has %+v", j.entries)
	}
	must(t, netlink.LinkDel(device(t, hostName)))
	eventually(t, "the interface is gone", p.Gone)
	p.shut()
	if len(j.entries) != 0 {
		t.Errorf("left in the journal: %+v", j.entries)
	}
}
