package radv

import (
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/ndp"

	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// messageLimit is how long a message may be in bytes, so that it passes on every link: the least MTU of IPv6 less the
// IPv6 header. More options go into further messages (RFC 4861 6.2.3).
const messageLimit = 1280 - 40

// fixedLen is the length of an advertisement without options in bytes.
const fixedLen = 16

// messages are the router advertisements that say all there is to say of a device. The last ones of a device, which is
// to be used as a router no more, have a router lifetime of zero (RFC 4861 6.2.5). withdrawn are prefixes that the
// device had until a moment ago.
func messages(d *nstable.Device, withdrawn []netip.Prefix, final bool) ([][]byte, error) {
	ra := &d.Settings.RA
	head := ndp.RouterAdvertisement{
		CurrentHopLimit:           uint8(ra.HopLimit),
		ManagedConfiguration:      ra.Managed,
		OtherConfiguration:        ra.Other,
		RouterSelectionPreference: preference(ra.Preference),
		RouterLifetime:            routerLifetime(ra),
		ReachableTime:             time.Duration(ra.ReachableTime) * time.Millisecond,
		RetransmitTimer:           time.Duration(ra.RetransTimer) * time.Millisecond,
	}
	if final {
		head.RouterLifetime = 0
	}
	if head.RouterLifetime == 0 {
		head.RouterSelectionPreference = ndp.Medium // RFC 4191 2.2
	}
	var out [][]byte
	for _, options := range split(options(d, withdrawn, final)) {
		m := head
		m.Options = options
		b, err := ndp.MarshalMessage(&m)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// options are those of RFC 4861 4.2 and RFC 8106 5.1, the same in all advertisements but for the last.
func options(d *nstable.Device, withdrawn []netip.Prefix, final bool) []ndp.Option {
	ra := &d.Settings.RA
	list := []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: net.HardwareAddr(d.MAC[:])}}
	if mtu := linkMTU(d); mtu != 0 {
		list = append(list, ndp.NewMTU(mtu))
	}
	for _, p := range prefixes(d) {
		list = append(list, prefixOption(ra, p, ra.ValidLifetime, min(ra.PreferredLifetime, ra.ValidLifetime)))
	}
	for _, p := range withdrawn {
		list = append(list, prefixOption(ra, p, min(ra.ValidLifetime, withdrawnLifetime), 0))
	}
	var servers []netip.Addr
	for _, a := range ra.RDNSS {
		if a.IsValid() {
			servers = append(servers, a)
		}
	}
	if len(servers) > 0 {
		// Long enough that a lost advertisement does not matter (RFC 8106 5.1).
		lifetime := 3 * time.Duration(ra.Interval) * time.Second
		if final {
			lifetime = 0
		}
		list = append(list, &ndp.RecursiveDNSServer{Lifetime: lifetime, Servers: servers})
	}
	return list
}

// withdrawnLifetime is how long, in seconds, a prefix that the device has no more stays valid: hosts do not believe
// less (RFC 4862 5.5.3). They use addresses in it for what they have begun and nothing else.
const withdrawnLifetime = 2 * 60 * 60

// prefixOption says how long a prefix is valid and preferred, in seconds.
func prefixOption(ra *setting.RA, p netip.Prefix, valid, preferred uint32) *ndp.PrefixInformation {
	return &ndp.PrefixInformation{
		PrefixLength: uint8(p.Bits()), Prefix: p.Addr(),
		OnLink: ra.OnLink, AutonomousAddressConfiguration: ra.Autonomous && p.Bits() == 64,
		ValidLifetime:     time.Duration(valid) * time.Second,
		PreferredLifetime: time.Duration(preferred) * time.Second,
	}
}

// split deals options out to as few messages as hold them.
func split(list []ndp.Option) [][]ndp.Option {
	var out [][]ndp.Option
	first, length := 0, fixedLen
	for i, o := range list {
		n := optionLen(o)
		if length+n > messageLimit {
			out = append(out, list[first:i])
			first, length = i, fixedLen
		}
		length += n
	}
	return append(out, list[first:])
}

// optionLen is the length of an option in bytes.
func optionLen(o ndp.Option) int {
	switch o := o.(type) {
	case *ndp.PrefixInformation:
		return 32
	case *ndp.RecursiveDNSServer:
		return 8 + 16*len(o.Servers)
	default: // link-layer address, MTU
		return 8
	}
}

// prefixes are those of the links that a device's global addresses are on. A host makes addresses of its own in a /64
// only; in one of two addresses or of one there is nothing for it.
func prefixes(d *nstable.Device) []netip.Prefix {
	var out []netip.Prefix
	for _, a := range d.Addrs {
		p := a.Masked()
		if a.Addr().Is6() && !a.Addr().IsLinkLocalUnicast() && a.Bits() < 127 && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// linkMTU is what is advertised as the MTU of the link; zero: nothing.
func linkMTU(d *nstable.Device) uint32 {
	if d.Settings.RA.MTU == setting.DeviceMTU {
		return d.MTU
	}
	return min(d.Settings.RA.MTU, d.MTU) // AdvLinkMTU is no more than the link's (RFC 4861 6.2.1)
}

// routerLifetime is how long hosts are to use the router after an advertisement: zero, or at least until the next.
func routerLifetime(ra *setting.RA) time.Duration {
	seconds := ra.Lifetime
	switch {
	case seconds == setting.Auto:
		seconds = 3 * ra.Interval
	case seconds != 0:
		seconds = max(seconds, ra.Interval)
	}
	return time.Duration(seconds) * time.Second
}

func preference(p setting.Preference) ndp.Preference {
	switch p {
	case setting.PreferenceHigh:
		return ndp.High
	case setting.PreferenceLow:
		return ndp.Low
	default:
		return ndp.Medium
	}
}

// source is the address that a device advertises from: its first link-local one (RFC 4861 4.2). ok is false where it
// has none.
func source(d *nstable.Device) (a netip.Addr, ok bool) {
	for _, p := range d.Addrs {
		if p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), true
		}
	}
	return netip.Addr{}, false
}
