package hostside

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// TestRefusedAddresses: addresses in Linux that the router does not take cost one try each, and a few messages, however many
// there are; they are taken when there is room.
func TestRefusedAddresses(t *testing.T) {
	r := newRig(t)
	r.dummy("red", "d1", "10.0.0.1/24")
	limit := func(n string) {
		r.do(func(tx *nstable.Tx) error {
			return tx.SetNamespace("red", []setting.Value{{Name: setting.AddressesMax, Value: n}})
		})
	}
	limit("4")
	r.settle()
	const many = 200
	for i := range many {
		r.addr("red", "d1", fmt.Sprintf("10.9.%d.1/24", i), netlink.AddrAdd)
	}
	r.eventually("heard all", func() bool { return r.follows.Load() >= many/2 })
	time.Sleep(50 * time.Millisecond) // to find tries that there should not be
	if n := r.follows.Load(); n > many+maxRefusals {
		t.Errorf("%d tries for %d addresses", n, many)
	}
	if n := r.logs.Len(); n == 0 || n > messagesAtOnce {
		t.Errorf("%d messages for %d addresses", n, many)
	}
	said := r.logs.Len()
	r.do(func(tx *nstable.Tx) error { return tx.DeleteAddress("red", "d1", netip.MustParsePrefix("10.0.0.1/24")) })
	r.eventually("room is used", func() bool { return len(r.device("red", "d1").Addrs) == 3 })
	limit("5")
	r.within(2*retryInterval, "more room is used", func() bool { return len(r.device("red", "d1").Addrs) == 4 })
	if n := r.logs.Len(); n != said {
		t.Errorf("%d messages more", n-said)
	}
}

// TestLogFlood: a program that changes a TAP again and again does not fill the log.
func TestLogFlood(t *testing.T) {
	r := newRig(t)
	d := r.dummy("red", "d1", "10.0.0.1/24")
	r.settle()
	for i := range 4 * messagesAtOnce {
		mac := net.HardwareAddr{2, 0, 0, 0, 1, byte(i)}
		r.inside("red", func() error {
			l, err := netlink.LinkByIndex(d.Index)
			if err != nil {
				return err
			}
			return netlink.LinkSetHardwareAddr(l, mac)
		})
		r.eventually("put back", func() bool { return !strings.Contains(r.shown("red"), mac.String()) })
	}
	r.same("put back for the last time")
	if n := r.logs.Len(); n < messagesAtOnce || n > messagesAtOnce+5 {
		t.Errorf("%d messages", n)
	}
}
