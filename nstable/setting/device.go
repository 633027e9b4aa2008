package setting

import "slices"

// Device is the settings of a device.
type Device struct {
	Neighbor
	RA RA
	IP4
	// RPFilter is how the source addresses of what the device receives are checked against the routes.
	RPFilter RPFilter
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
	Table[Device]{
		choice("rp-filter", "drop what comes from where it would not be sent back to (strict), or could not (loose); "+
			"IPv4 and IPv6", []string{"off", "strict", "loose"}, func(d *Device) *RPFilter { return &d.RPFilter }),
	},
	neighborRows(),
	advertising(),
	limits(false, func(d *Device) *Limits { return &d.Limits }),
	ip4Rows(),
)
