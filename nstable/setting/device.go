package setting

import "slices"

// Device is the settings of a device.
type Device struct {
	Neighbor
	RA RA
	IP4
	// RPFilter is how the source addresses of what the device receives are checked against the routes.
	RPFilter RPFilter
	// DADTransmits is how many neighbour solicitations try an IPv6 address before it is used; 0: it is used at once, as
	// with AcceptDAD 0.
	DADTransmits, AcceptDAD uint32
	// Spread has the worker of a queue share out what it receives there over all workers, by flow.
	Spread bool
	// Limits are those of answers to what the device receives, beside the namespace's.
	Limits Limits
}

// RPFilter is a check of source addresses by the routes back to them (RFC 3704; rp_filter in Linux).
type RPFilter uint8

// The checks.
const (
	RPFilterOff RPFilter = iota
	// RPFilterStrict wants the route back to lead to the receiving device, be it by one of several next hops.
	RPFilterStrict
	// RPFilterLoose wants any route back.
	RPFilterLoose
)

// Devices describes the settings of a device.
//
//nolint:gochecknoglobals // a constant table
var Devices = slices.Concat(
	group("addresses", Table[Device]{
		choice("rp-filter", "drop packets without a route back to their source: by the same device (strict), by any (loose)",
			[]string{"off", "strict", "loose"}, func(d *Device) *RPFilter { return &d.RPFilter }),
		number("dad-transmits", "how many neighbour solicitations try an IPv6 address for duplicates; 0: none is tried",
			0, 600, 1, func(d *Device) *uint32 { return &d.DADTransmits }),
		number("accept-dad", "whether IPv6 addresses are tried for duplicates (1) or used at once (0)",
			0, 1, 1, func(d *Device) *uint32 { return &d.AcceptDAD }),
	}),
	group("neighbours (ARP and neighbour discovery)", neighborRows()),
	group("router advertisements", advertising()),
	group("answers, within the limits of the namespace (netns set)",
		limits(false, func(d *Device) *Limits { return &d.Limits })),
	group("IPv4", ip4Rows()),
	group("workers", Table[Device]{
		toggle("spread", "share out what is received over all workers, by flow: for fewer queues than workers",
			func(d *Device) *bool { return &d.Spread }),
	}),
)
