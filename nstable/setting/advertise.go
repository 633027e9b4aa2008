package setting

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// RA is what a device says in router advertisements, and how often: the variables of RFC 4861 6.2.1 and RFC 8106. Times
// are in seconds, unless they say otherwise.
type RA struct {
	Send bool // AdvSendAdvertisements
	// Interval and MinInterval are the most and the least time between two unsolicited advertisements. MinInterval may be
	// Auto.
	Interval, MinInterval uint32
	Lifetime              uint32 // of the router: AdvDefaultLifetime; may be Auto
	Preference            Preference
	Managed, Other        bool
	HopLimit              uint32 // AdvCurHopLimit
	MTU                   uint32 // AdvLinkMTU, bytes: zero is not said; may be DeviceMTU
	ReachableTime         uint32 // milliseconds
	RetransTimer          uint32 // milliseconds
	// Of each prefix.
	OnLink, Autonomous               bool
	ValidLifetime, PreferredLifetime uint32 // may be Infinity
	RDNSS                            Servers
}

// What numbers of RA may be besides.
const (
	Auto      = 1<<32 - 1 // follows from Interval
	DeviceMTU = 1<<32 - 1
	Infinity  = 1<<32 - 1 // RFC 4861 4.6.2
)

// Preference is how much hosts are to prefer a router to others (RFC 4191).
type Preference uint8

// Preferences.
const (
	PreferenceMedium Preference = iota
	PreferenceHigh
	PreferenceLow
)

// Servers are addresses, the valid ones first.
type Servers [maxServers]netip.Addr

// maxServers is as many as hosts are asked to keep (RFC 8106 5.3.1), and one more.
const maxServers = 4

// advertising is the rows of a device's RA.
func advertising() Table[Device] {
	ra := func(field func(*RA) *uint32) func(*Device) *uint32 {
		return func(d *Device) *uint32 { return field(&d.RA) }
	}
	interval := []word{{"auto", Auto}}
	lifetime := []word{{"infinity", Infinity}}
	return Table[Device]{
		toggle("ra", "send router advertisements and answer router solicitations (RFC 4861)",
			func(d *Device) *bool { return &d.RA.Send }),
		number("ra-interval", "the most seconds between two router advertisements", 4, 1800, 600,
			ra(func(r *RA) *uint32 { return &r.Interval })),
		numberOr("ra-min-interval", "the least seconds between two that nobody asked for; auto: a third of ra-interval",
			interval, 3, 1350, "auto", ra(func(r *RA) *uint32 { return &r.MinInterval })),
		numberOr("ra-lifetime", "seconds for which hosts use the router as their default; auto: three times ra-interval",
			interval, 0, 9000, "auto", ra(func(r *RA) *uint32 { return &r.Lifetime })),
		choice("ra-preference", "how much hosts prefer this router to others (RFC 4191)", []string{"medium", "high", "low"},
			func(d *Device) *Preference { return &d.RA.Preference }),
		toggle("ra-managed", "tell hosts to get addresses by DHCPv6", func(d *Device) *bool { return &d.RA.Managed }),
		toggle("ra-other", "tell hosts to get other settings by DHCPv6", func(d *Device) *bool { return &d.RA.Other }),
		number("ra-hop-limit", "the hop limit that hosts are to send with; 0: not said", 0, 255, 64,
			ra(func(r *RA) *uint32 { return &r.HopLimit })),
		numberOr("ra-mtu", "the MTU that hosts are to use on the link; device: that of the device",
			[]word{{"device", DeviceMTU}, {"off", 0}}, 1280, 65535, "device", ra(func(r *RA) *uint32 { return &r.MTU })),
		number("ra-reachable-time", "milliseconds for which hosts take a neighbour as reachable; 0: not said", 0, 3600000, 0,
			ra(func(r *RA) *uint32 { return &r.ReachableTime })),
		number("ra-retrans-timer", "milliseconds between neighbour solicitations of hosts; 0: not said", 0, 1<<32-1, 0,
			ra(func(r *RA) *uint32 { return &r.RetransTimer })),
		toggleOn("ra-on-link", "say that the prefixes are on the link", func(d *Device) *bool { return &d.RA.OnLink }),
		toggleOn("ra-autonomous", "let hosts make addresses of their own in the /64 prefixes (RFC 4862)",
			func(d *Device) *bool { return &d.RA.Autonomous }),
		numberOr("ra-valid-lifetime", "seconds for which the prefixes are valid", lifetime, 0, 1<<32-2, "2592000",
			ra(func(r *RA) *uint32 { return &r.ValidLifetime })),
		numberOr("ra-preferred-lifetime", "seconds for which addresses in the prefixes are preferred", lifetime, 0, 1<<32-2,
			"604800", ra(func(r *RA) *uint32 { return &r.PreferredLifetime })),
		servers("ra-rdnss", "recursive DNS servers that hosts are to use (RFC 8106)",
			func(d *Device) *Servers { return &d.RA.RDNSS }),
	}
}

// word is a name for a number.
type word struct {
	name  string
	value uint32
}

// numberOr is a row with a number from low to high, or one of the words.
func numberOr[T any](
	name, help string, words []word, low, high uint32, standard string, field func(*T) *uint32,
) Row[T] {
	row := number(name, help, low, high, 0, field)
	get, set := row.get, row.set
	names := make([]string, len(words))
	for i, w := range words {
		names[i] = w.name
	}
	list := strings.Join(names, " | ")
	row.Values, row.Default = "{ N | "+list+" }", standard
	row.get = func(v *T) string {
		if i := slices.IndexFunc(words, func(w word) bool { return w.value == *field(v) }); i >= 0 {
			return names[i]
		}
		return get(v)
	}
	row.set = func(v *T, s string) error {
		if i := slices.Index(names, s); i >= 0 {
			*field(v) = words[i].value
			return nil
		}
		if err := set(v, s); err != nil {
			return fmt.Errorf("%w, or %s", err, strings.Join(names, " or "))
		}
		return nil
	}
	return row
}

// toggleOn is a toggle that is on by default.
func toggleOn[T any](name, help string, field func(*T) *bool) Row[T] {
	row := toggle(name, help, field)
	row.Default = "on"
	return row
}

// servers is a row with IPv6 addresses.
func servers[T any](name, help string, field func(*T) *Servers) Row[T] {
	return Row[T]{
		Name: name, Help: help, Values: "{ ADDR[,ADDR...] | none }", Default: "none",
		get: func(v *T) string {
			var list []string
			for _, a := range field(v) {
				if a.IsValid() {
					list = append(list, a.String())
				}
			}
			if len(list) == 0 {
				return "none"
			}
			return strings.Join(list, ",")
		},
		set: func(v *T, s string) error {
			var out Servers
			if s != "none" {
				list := strings.Split(s, ",")
				if len(list) > maxServers {
					return fmt.Errorf("takes %s addresses at most", strconv.Itoa(maxServers))
				}
				for i, text := range list {
					a, err := netip.ParseAddr(text)
					if err != nil || !a.Is6() || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || a.Zone() != "" {
						return fmt.Errorf("takes IPv6 addresses with commas between them, or none")
					}
					out[i] = a
				}
			}
			*field(v) = out
			return nil
		},
	}
}
