package daemon

import (
	"net/netip"

	"nsrouter/ctl/hostside"
	"nsrouter/dataplane"
	"nsrouter/dataplane/neigh"
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
		SetHost: func(dev *nstable.Device, t hostside.TAP) {
			port, _ := t.(dataplane.HostPort) // nil if there is none: Open gives one
			d.plane.SetHost(dev, port)
		},
		Resolve: func(dev *nstable.Device, addr netip.Addr) { d.plane.Resolve(dev, addr) },
		Follow:  func(dev *nstable.Device, c nstable.LinkChange) error { return d.table.SetLinkOf(dev, c) },
		FollowAddress: func(dev *nstable.Device, p netip.Prefix, added bool) error {
			return d.table.DoFor(dev, func(tx *nstable.Tx, namespace, name string) error {
				if !added {
					return tx.DeleteAddress(namespace, name, p)
				}
				return tx.ReplaceAddress(namespace, name, nstable.AddressSpec{Prefix: p, NoDAD: true})
			})
		},
		FollowNeighbor: func(dev *nstable.Device, addr netip.Addr, mac *[6]byte) error {
			return d.table.DoFor(dev, func(tx *nstable.Tx, namespace, name string) error {
				if mac == nil {
					return tx.DeleteNeighbor(namespace, name, addr)
				}
				return tx.SetNeighbor(nstable.ReplaceNeighbor, namespace, name, addr, *mac, neigh.Permanent)
			})
		},
		Log: d.o.Log,
	}
}
