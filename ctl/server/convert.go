package server

import (
	"net"
	"net/netip"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// The tables below say how the numbers of the API, which never change, go with those of the program.

func modes() map[v1.XdpMode]nstable.Mode {
	return map[v1.XdpMode]nstable.Mode{
		v1.XdpMode_XDP_MODE_UNSPECIFIED: nstable.ModeAuto,
		v1.XdpMode_XDP_MODE_AUTO:        nstable.ModeAuto,
		v1.XdpMode_XDP_MODE_ZEROCOPY:    nstable.ModeZeroCopy,
		v1.XdpMode_XDP_MODE_COPY:        nstable.ModeCopy,
		v1.XdpMode_XDP_MODE_GENERIC:     nstable.ModeGeneric,
	}
}

func apiMode(m nstable.Mode) v1.XdpMode {
	return [...]v1.XdpMode{
		nstable.ModeAuto:     v1.XdpMode_XDP_MODE_AUTO,
		nstable.ModeZeroCopy: v1.XdpMode_XDP_MODE_ZEROCOPY,
		nstable.ModeCopy:     v1.XdpMode_XDP_MODE_COPY,
		nstable.ModeGeneric:  v1.XdpMode_XDP_MODE_GENERIC,
	}[m]
}

func kindName(k nstable.Kind) string {
	return [...]string{
		nstable.Loopback: "loopback", nstable.XDP: "xdp", nstable.Veth: "veth", nstable.Dummy: "dummy", nstable.VLAN: "vlan",
	}[k]
}

func vlanProtocols() map[v1.VlanProtocol]uint16 {
	return map[v1.VlanProtocol]uint16{
		v1.VlanProtocol_VLAN_PROTOCOL_UNSPECIFIED: nstable.VLAN8021Q,
		v1.VlanProtocol_VLAN_PROTOCOL_8021Q:       nstable.VLAN8021Q,
		v1.VlanProtocol_VLAN_PROTOCOL_8021AD:      nstable.VLAN8021AD,
	}
}

func apiVLANProtocol(protocol uint16) v1.VlanProtocol {
	if protocol == nstable.VLAN8021AD {
		return v1.VlanProtocol_VLAN_PROTOCOL_8021AD
	}
	return v1.VlanProtocol_VLAN_PROTOCOL_8021Q
}

func kinds() map[v1.RouteType]fib.Kind {
	return map[v1.RouteType]fib.Kind{
		v1.RouteType_ROUTE_TYPE_UNICAST:     fib.Unicast,
		v1.RouteType_ROUTE_TYPE_LOCAL:       fib.Local,
		v1.RouteType_ROUTE_TYPE_BROADCAST:   fib.Broadcast,
		v1.RouteType_ROUTE_TYPE_ANYCAST:     fib.Anycast,
		v1.RouteType_ROUTE_TYPE_BLACKHOLE:   fib.Blackhole,
		v1.RouteType_ROUTE_TYPE_UNREACHABLE: fib.Unreachable,
		v1.RouteType_ROUTE_TYPE_PROHIBIT:    fib.Prohibit,
		v1.RouteType_ROUTE_TYPE_THROW:       fib.Throw,
	} // fib.Netns is unicast with a nexthop_netns
}

func apiRouteType(k fib.Kind) v1.RouteType {
	return [...]v1.RouteType{
		fib.Unicast:     v1.RouteType_ROUTE_TYPE_UNICAST,
		fib.Local:       v1.RouteType_ROUTE_TYPE_LOCAL,
		fib.Broadcast:   v1.RouteType_ROUTE_TYPE_BROADCAST,
		fib.Anycast:     v1.RouteType_ROUTE_TYPE_ANYCAST,
		fib.Blackhole:   v1.RouteType_ROUTE_TYPE_BLACKHOLE,
		fib.Unreachable: v1.RouteType_ROUTE_TYPE_UNREACHABLE,
		fib.Prohibit:    v1.RouteType_ROUTE_TYPE_PROHIBIT,
		fib.Throw:       v1.RouteType_ROUTE_TYPE_THROW,
		fib.Netns:       v1.RouteType_ROUTE_TYPE_UNICAST,
	}[k]
}

func apiNeighStates() [neigh.NumStates]v1.NeighborState {
	return [...]v1.NeighborState{
		neigh.Incomplete: v1.NeighborState_NEIGHBOR_STATE_INCOMPLETE,
		neigh.Reachable:  v1.NeighborState_NEIGHBOR_STATE_REACHABLE,
		neigh.Stale:      v1.NeighborState_NEIGHBOR_STATE_STALE,
		neigh.Probe:      v1.NeighborState_NEIGHBOR_STATE_PROBE,
		neigh.Failed:     v1.NeighborState_NEIGHBOR_STATE_FAILED,
		neigh.Permanent:  v1.NeighborState_NEIGHBOR_STATE_PERMANENT,
		neigh.Delay:      v1.NeighborState_NEIGHBOR_STATE_DELAY,
		neigh.NoARP:      v1.NeighborState_NEIGHBOR_STATE_NOARP,
	}
}

func neighStates() map[v1.NeighborState]neigh.State {
	all := make(map[v1.NeighborState]neigh.State)
	for i, s := range apiNeighStates() {
		all[s] = neigh.State(i)
	}
	return all
}

func inFamily(f v1.Family, a netip.Addr) bool {
	switch f {
	case v1.Family_FAMILY_IPV4:
		return a.Is4()
	case v1.Family_FAMILY_IPV6:
		return a.Is6()
	}
	return true
}

func readMAC(s string) (mac [6]byte, err error) {
	b, err := net.ParseMAC(s)
	if err != nil || len(b) != len(mac) {
		return mac, invalid("%q is invalid lladdr: a MAC address such as 02:00:00:00:00:01 is expected", s)
	}
	return [6]byte(b), nil
}

func macString(mac [6]byte) string { return net.HardwareAddr(mac[:]).String() }

// rowsPerMessage is how many rows of a listing go into one message.
const rowsPerMessage = 500

// rowBuffer gathers the rows of a listing into messages.
type rowBuffer[R any] struct {
	send func([]R) error
	rows []R
}

func rows[R any](send func([]R) error) *rowBuffer[R] { return &rowBuffer[R]{send: send} }

func (b *rowBuffer[R]) add(r R) error {
	if b.rows = append(b.rows, r); len(b.rows) < rowsPerMessage {
		return nil
	}
	return b.end()
}

// end sends what is left.
func (b *rowBuffer[R]) end() error {
	if len(b.rows) == 0 {
		return nil
	}
	err := b.send(b.rows)
	b.rows = b.rows[:0]
	return err
}
