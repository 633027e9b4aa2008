package procfs

import (
	"encoding/hex"

	"nsrouter/dataplane/counters"
	"nsrouter/nstable"
)

// writeDev is /proc/net/dev: dev_seq_show of the kernel's net/core/net-procfs.c. Drops are those of what came in by the
// device, malformed frames apart.
func writeDev(s *space, o *output) error {
	links, err := s.tree.Table.Links(s.name, "")
	if err != nil {
		return err
	}
	o.printf("Inter-|   Receive                                                |  Transmit\n" +
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier " +
		"compressed\n")
	for i := range links {
		l := &links[i]
		var t counters.Totals
		if l.Counters != nil {
			l.Counters.Sum(&t)
		}
		frames := t.Drops[counters.BadEthernet]
		o.printf("%6s: %7d %7d %4d %4d %4d %5d %10d %9d %8d %7d %4d %4d %4d %5d %7d %10d\n", l.Name,
			t.RxBytes, t.RxPackets, frames, t.RxDropped()-frames, 0, frames, 0, t.Multicast,
			t.TxBytes, t.TxPackets, 0, 0, 0, 0, 0, 0)
		if err := o.ready(); err != nil {
			return err
		}
	}
	return nil
}

// Address flags and scopes: IFA_F_* of linux/if_addr.h, IPV6_ADDR_* of the kernel's net/ipv6.h.
const (
	addressPermanent, addressTentative, addressDADFailed, addressNoDAD = 0x80, 0x40, 0x08, 0x02

	scopeLinkLocal, scopeLoopback, scopeSite = 0x20, 0x10, 0x40
)

// writeInet6 is /proc/net/if_inet6: if6_seq_show of the kernel's net/ipv6/addrconf.c.
func writeInet6(s *space, o *output) error {
	list, err := s.tree.Table.Addresses(s.name, "")
	if err != nil {
		return err
	}
	for i := range list {
		a := &list[i]
		if !a.Prefix.Addr().Is6() {
			continue
		}
		b := a.Prefix.Addr().As16()
		o.printf("%s %02x %02x %02x %02x %8s\n", hex.EncodeToString(b[:]), a.Index, a.Prefix.Bits(), addressScope(a),
			addressFlags(a), a.Device)
		if err := o.ready(); err != nil {
			return err
		}
	}
	return nil
}

func addressScope(a *nstable.AddressInfo) int {
	addr := a.Prefix.Addr()
	switch b := addr.As16(); {
	case addr.IsLoopback():
		return scopeLoopback
	case addr.IsLinkLocalUnicast():
		return scopeLinkLocal
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0: // fec0::/10, once site-local
		return scopeSite
	}
	return 0
}

func addressFlags(a *nstable.AddressInfo) int {
	flags := addressPermanent
	for _, f := range []struct {
		set  bool
		flag int
	}{{a.Tentative, addressTentative}, {a.DADFailed, addressDADFailed}, {a.NoDAD, addressNoDAD}} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}
