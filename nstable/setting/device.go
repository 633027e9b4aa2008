package setting

import "slices"

// Device is the settings of a device.
type Device struct {
	Neighbor
	RA RA
}

// Devices describes the settings of a device.
//
//nolint:gochecknoglobals // a constant table
var Devices = slices.Concat(
	Table[Device]{},
	neighborRows(),
	advertising(),
)
