package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// End describes one end of a veth pair to be made.
type End struct {
	Host  *Host
	Name  string
	MAC   string   // random if empty
	Addrs []string // with prefix length
}

// End describes an end on this host.
func (h *Host) End(name string, addrs ...string) End { return End{Host: h, Name: name, Addrs: addrs} }

// LinkOptions are the same for both ends of a pair.
type LinkOptions struct {
	Queues int // receive and transmit queues each; 1 if zero
	MTU    int // bytes; 1500 if zero
}

// Interface is an interface of a host.
type Interface struct {
	Host  *Host
	Name  string
	Index int // ifindex in the host's namespace
	MAC   net.HardwareAddr
	link  netlink.Link
}

// Link joins two hosts by a veth pair, sets both ends up and gives them their addresses. Transmit checksum offload is
// off on both: else TCP and UDP of a host's own stack leave with a partial checksum, which nobody completes across
// AF_XDP.
func (l *Lab) Link(a, b End, o LinkOptions) (*Interface, *Interface) {
	l.t.Helper()
	queues := max(o.Queues, 1)
	mtu := o.MTU
	if mtu == 0 {
		mtu = 1500
	}
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.PeerName = a.Name, b.Name
	veth.MTU, veth.PeerMTU = mtu, uint32(mtu)
	veth.NumRxQueues, veth.NumTxQueues = queues, queues
	veth.PeerNumRxQueues, veth.PeerNumTxQueues = uint32(queues), uint32(queues)
	veth.HardwareAddr, veth.PeerHardwareAddr = a.hardwareAddr(), b.hardwareAddr()
	veth.PeerNamespace = netlink.NsFd(b.Host.NS.FD())
	a.Host.must(fmt.Sprintf("link %s to %s of %s", a.Name, b.Name, b.Host.Name), a.Host.nl.LinkAdd(veth))
	return a.configure(), b.configure()
}

// hardwareAddr is the end's MAC, or nil for the kernel to choose.
func (e End) hardwareAddr() net.HardwareAddr {
	if e.MAC == "" {
		return nil
	}
	hw, err := net.ParseMAC(e.MAC)
	e.Host.must("MAC of "+e.Name, err)
	return hw
}

func (e End) configure() *Interface {
	t := e.Host.lab.t
	t.Helper()
	i := e.Host.Interface(e.Name)
	i.Offload("tx-checksum-ip-generic", false)
	i.Up()
	for _, addr := range e.Addrs {
		i.Addr(addr)
	}
	return i
}

// Up sets the interface up.
func (i *Interface) Up() {
	i.Host.lab.t.Helper()
	i.Host.must("set "+i.Name+" up", i.Host.nl.LinkSetUp(i.link))
}

// Down sets the interface down.
func (i *Interface) Down() {
	i.Host.lab.t.Helper()
	i.Host.must("set "+i.Name+" down", i.Host.nl.LinkSetDown(i.link))
}

// Delete removes the interface, and with it the other end of its pair.
func (i *Interface) Delete() {
	i.Host.lab.t.Helper()
	i.Host.must("delete "+i.Name, i.Host.nl.LinkDel(i.link))
}

// Addr adds an address with its prefix length, usable at once.
func (i *Interface) Addr(cidr string) {
	i.Host.lab.t.Helper()
	prefix, err := netip.ParsePrefix(cidr)
	i.Host.must("add address", err)
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: ipNet(prefix).Mask}}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	i.Host.must("add address "+cidr, i.Host.nl.AddrAdd(i.link, addr))
}

// LinkLocal returns the interface's IPv6 link-local address.
func (i *Interface) LinkLocal() netip.Addr {
	i.Host.lab.t.Helper()
	addrs, err := i.Host.nl.AddrList(i.link, netlink.FAMILY_V6)
	i.Host.must("list addresses of "+i.Name, err)
	for _, addr := range addrs {
		if ip, ok := netip.AddrFromSlice(addr.IP); ok && ip.IsLinkLocalUnicast() {
			return ip
		}
	}
	i.Host.lab.t.Fatalf("host %s: %s has no link-local address", i.Host.Name, i.Name)
	return netip.Addr{}
}

// Offload sets a feature by the name that `ethtool -k` and the kernel have for it.
func (i *Interface) Offload(feature string, on bool) {
	i.Host.lab.t.Helper()
	i.Host.must(fmt.Sprintf("set %s of %s", feature, i.Name), i.Host.NS.Do(func() error {
		tool, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer tool.Close()
		return tool.Change(i.Name, map[string]bool{feature: on})
	}))
}
