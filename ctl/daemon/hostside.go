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
		Follow: func(namespace, device string, c nstable.LinkChange) error {
			return d.table.SetLink(namespace, device, c)
		},
		FollowAddress: func(namespace, device string, p netip.Prefix, added bool) error {
			return d.table.Do(func(tx *nstable.Tx) error {
				if !added {
					return tx.DeleteAddress(namespace, device, p)
				}
				return tx.ReplaceAddress(namespace, device, nstable.AddressSpec{Prefix: p, NoDAD: true})
			})
		},
		FollowNeighbor: func(namespace, device string, addr netip.Addr, mac *[6]byte) error {
			return d.table.Do(func(tx *nstable.Tx) error {
				if mac == nil {
					return tx.DeleteNeighbor(namespace, device, addr)
				}
				return tx.SetNeighbor(nstable.ReplaceNeighbor, namespace, device, addr, *mac, neigh.Permanent)
			})
		},
		Log: d.o.Log,
	}
}
