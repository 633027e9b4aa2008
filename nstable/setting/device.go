package setting

// Device is the settings of a device.
type Device struct{}

// Devices describes the settings of a device.
//
//nolint:gochecknoglobals // a constant table
var Devices = Table[Device]{}
