package daemon

import (
	"net/netip"

	"nsrouter/ctl/hostside"
	"nsrouter/nstable"
	"nsrouter/tap"
)

// hostOptions connects the Linux side with data plane and table, which are there before the first namespace is attached.
func (d *daemon) hostOptions() hostside.Options {
	return hostside.Options{
		Open: func(name string, ifindex int) (hostside.TAP, error) {
			t, err := tap.Open(name, ifindex)
			if err != nil {
				return nil, err // and no interface with a nil in it
			}
			return t, nil
		},
		SetHost: func(*nstable.Device, hostside.TAP) {},
		Resolve: func(dev *nstable.Device, addr netip.Addr) { d.plane.Resolve(dev, addr) },
		Follow: func(namespace, device string, c nstable.LinkChange) error {
			return d.table.SetLink(namespace, device, c)
		},
		Log: d.o.Log,
	}
}
