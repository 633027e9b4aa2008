package hostside

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/nstable"
)

// loIndex is the ifindex of lo in every namespace (LOOPBACK_IFINDEX of the kernel).
const loIndex = 1

// minMTU6 is below what Linux takes IPv6 and its settings from an interface (RFC 8200 5).
const minMTU6 = 1280

// link is a device as Linux has it. All is of the space's run, but for asked.
type link struct {
	space  *space
	dev    *nstable.Device // as shown last
	tap    TAP             // nil: it is not made, or lo
	index  int             // of Linux
	name   string          // in Linux; empty: it is not there
	have   state
	addrs  map[netip.Prefix]bool // that are in Linux because of the device
	joined bool                  // the device is connected with the TAP
	// stale says that not all of dev is shown.
	stale bool
	// readdressed says that its addresses in Linux may be other ones than addrs.
	readdressed bool
	refused     map[netip.Prefix]bool // addresses in Linux that the device could not have; nil: none
	again       bool                  // those are to be tried again
	// static are the permanent neighbours of Linux, as the router follows them; restated says that they may be other ones.
	static   map[netip.Addr][6]byte
	restated bool
	told     string // the fault that was logged last
	asked    asked
}

// state is what Linux has of a link.
type state struct {
	mac         [6]byte
	mtu         uint32
	up, carrier bool
}

func newLink(sp *space, d *nstable.Device) *link {
	l := &link{space: sp, dev: d, stale: true, readdressed: true, addrs: make(map[netip.Prefix]bool)}
	l.asked.wake = sp.poke
	if d.Kind == nstable.Loopback {
		l.index, l.name, l.have = loIndex, "lo", state{up: true, carrier: true}
	}
	return l
}

// ref names the link in requests.
func (l *link) ref() netlink.Link {
	a := netlink.NewLinkAttrs()
	a.Index, a.Name = l.index, l.name
	return &netlink.Device{LinkAttrs: a}
}

// show makes Linux show the device as it is.
func (l *link) show(d *nstable.Device) error {
	if l.dev == d && !l.stale {
		return nil
	}
	l.again = l.again || len(l.refused) > 0 && !slices.Equal(l.dev.Addrs, d.Addrs) // there may be room now
	l.dev, l.stale = d, true
	if d.Kind != nstable.Loopback {
		if l.tap == nil {
			if err := l.open(); err != nil {
				return err
			}
		}
		if err := l.shape(); err != nil {
			return err
		}
	}
	if l.tap != nil && !l.joined {
		l.joined = true
		l.space.server.setLink(d.ID, l)
		l.space.server.o.SetHost(d, l.tap)
	}
	if err := l.address(); err != nil {
		return err
	}
	l.stale = false
	return nil
}

// open makes the TAP, or takes the one that an earlier daemon has left, and sees what is there.
func (l *link) open() error {
	if err := l.space.vacate(l.dev.Name, l); err != nil {
		return err
	}
	o := &l.space.server.o
	err := l.space.handle.Do(func() (err error) {
		if l.tap, err = o.Open(l.dev.Name, l.dev.Index); err != nil {
			l.tap, err = o.Open(l.dev.Name, 0) // the ifindex may be another's
		}
		return err
	})
	if err != nil {
		l.tap = nil
		return fmt.Errorf("make a TAP: %w", err)
	}
	l.index, l.name = l.tap.Index(), l.dev.Name
	l.space.byIndex[l.index] = l
	if err := l.space.nl.LinkSetAlias(l.ref(), mark); err != nil {
		return l.abandon(fmt.Errorf("mark the TAP: %w", err))
	}
	if err := l.prepare(); err != nil {
		return l.abandon(err)
	}
	now, err := l.space.nl.LinkByIndex(l.index)
	if err != nil {
		return l.abandon(fmt.Errorf("read the TAP: %w", err))
	}
	l.have = stateOf(now)
	l.have.carrier = true // as open leaves it
	// A new one is UNKNOWN until its carrier changes (RFC 2863 3.1.14), which nobody sees while it is down.
	if !l.have.up || now.Attrs().OperState == netlink.OperUnknown {
		if err := l.space.raw.setCarrier(l.index, false); err != nil {
			return l.abandon(fmt.Errorf("set carrier: %w", err))
		}
		l.have.carrier = false
	}
	left, err := l.space.raw.addresses(l.index)
	if err != nil {
		return l.abandon(fmt.Errorf("read the TAP's addresses: %w", err))
	}
	for _, a := range left {
		if a.protocol == AddressProtocol {
			l.addrs[a.prefix] = true
		}
	}
	l.readdressed, l.restated = true, true // others may have been added meanwhile
	return nil
}

// abandon lets go of a TAP that could not be set up.
func (l *link) abandon(why error) error { return errors.Join(why, l.letGo(false)) }

// prepare makes the settings that a TAP of the router needs.
func (l *link) prepare() error {
	return l.space.handle.Do(func() error { return prepareLink(l.name) })
}

func stateOf(l netlink.Link) state {
	a := l.Attrs()
	s := state{mtu: uint32(a.MTU), up: a.RawFlags&unix.IFF_UP != 0}
	copy(s.mac[:], a.HardwareAddr)
	return s
}

// shape gives the TAP the device's name, MAC address, MTU, and state.
func (l *link) shape() error {
	d, h := l.dev, l.space.nl
	if l.name != d.Name {
		if err := l.rename(d.Name); err != nil {
			return err
		}
	}
	if l.have.mac != d.MAC {
		if err := h.LinkSetHardwareAddr(l.ref(), net.HardwareAddr(d.MAC[:])); err != nil {
			return fmt.Errorf("set address %s: %w", net.HardwareAddr(d.MAC[:]), err)
		}
		l.have.mac = d.MAC
	}
	if l.have.mtu != d.MTU {
		if err := l.setMTU(d.MTU); err != nil {
			return err
		}
	}
	if l.have.up != d.Up {
		if err := l.setUp(d.Up); err != nil {
			return err
		}
	}
	if l.have.carrier != d.Carrier {
		if err := l.space.raw.setCarrier(l.index, d.Carrier); err != nil {
			return fmt.Errorf("set carrier: %w", err)
		}
		l.have.carrier = d.Carrier
	}
	return nil
}

func (l *link) rename(name string) error {
	if err := l.space.vacate(name, l); err != nil {
		return err
	}
	err := l.space.nl.LinkSetName(l.ref(), name)
	if errors.Is(err, unix.EBUSY) { // kernels before 6.2: not while it is up
		if err := l.setUp(false); err != nil {
			return err
		}
		err = l.space.nl.LinkSetName(l.ref(), name)
	}
	if err != nil {
		return fmt.Errorf("rename %s: %w", l.name, err)
	}
	l.name = name
	return nil
}

// vacate makes room for a name that the TAP of another device still has, which is about to be renamed itself.
func (sp *space) vacate(name string, wants *link) error {
	other := sp.holder(name)
	if other == nil || other == wants {
		return nil
	}
	other.stale = true
	return other.rename(fmt.Sprintf("ren%d", other.index))
}

func (l *link) setMTU(mtu uint32) error {
	if err := l.space.nl.LinkSetMTU(l.ref(), int(mtu)); err != nil {
		return fmt.Errorf("set mtu %d: %w", mtu, err)
	}
	small := l.have.mtu < minMTU6
	l.have.mtu = mtu
	if small && mtu >= minMTU6 {
		l.renew6()
	}
	return nil
}

func (l *link) setUp(up bool) error {
	set := l.space.nl.LinkSetDown
	if up {
		set = l.space.nl.LinkSetUp
	}
	if err := set(l.ref()); err != nil {
		return fmt.Errorf("set up %v: %w", up, err)
	}
	l.have.up = up
	l.forget6() // link-local ones went with the link
	return nil
}

// end takes the link away from the device, and from Linux if remove is set.
func (l *link) end(remove bool) error {
	if l.tap != nil {
		return l.letGo(remove)
	}
	var errs []error
	for p := range l.addrs {
		if remove && !p.Addr().IsLoopback() { // of lo, which stays
			errs = append(errs, l.space.raw.deleteAddress(l.index, p))
		}
	}
	return errors.Join(errs...)
}

// letGo ends the use of the TAP; what is known of it is forgotten.
func (l *link) letGo(remove bool) error {
	if s := l.space.server; l.joined {
		s.unsetLink(l.dev.ID, l)
		s.o.SetHost(l.dev, nil)
		l.joined = false
	}
	delete(l.space.byIndex, l.index)
	end := l.tap.Close
	if remove {
		end = l.tap.Remove
	}
	l.tap, l.index, l.name, l.have, l.stale = nil, 0, "", state{}, true
	clear(l.addrs)
	clear(l.static)
	l.refused = nil
	return end()
}

// look reads a link that the kernel has told of, and takes up what somebody else has done to it.
func (l *link) look() {
	now, err := l.space.nl.LinkByIndex(l.index)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		l.warn("the TAP was deleted or moved away; it is made again")
		_ = l.letGo(true) // where it is now, nothing of the device is to be seen
		return
	}
	if err != nil { // it is looked at again
		return
	}
	is := stateOf(now)
	is.carrier = l.have.carrier
	if name := now.Attrs().Name; name != l.name || is.mac != l.have.mac {
		l.warn("the TAP was given another name or address; it is put back: use router link set",
			zap.String("name", name), zap.Stringer("address", net.HardwareAddr(is.mac[:])))
		l.name, l.stale = name, true
	}
	if is.up != l.have.up {
		l.forget6()
	}
	if l.have.mtu < minMTU6 && is.mtu >= minMTU6 {
		l.renew6()
	}
	var c nstable.LinkChange
	if is.up != l.have.up && is.up != l.dev.Up {
		c.Up = &is.up
	}
	if is.mtu != l.have.mtu && is.mtu != l.dev.MTU {
		c.MTU = is.mtu
	}
	l.have = is
	if c.Up == nil && c.MTU == 0 {
		return
	}
	if err := l.space.server.o.Follow(l.dev, c); err != nil {
		l.warn("the TAP was changed as its device cannot be; it is put back", zap.Error(err))
		l.stale = true
	}
}

// report logs a fault, once until there is another or none.
func (l *link) report(what string, err error) {
	if err == nil {
		l.told = ""
		return
	}
	if text := what + err.Error(); text != l.told {
		l.told = text
		l.warn("what Linux has of a device is not as it should be: "+what, zap.Error(err))
	}
}

func (l *link) log() *zap.Logger { return l.space.log().With(zap.String("dev", l.dev.Name)) }
