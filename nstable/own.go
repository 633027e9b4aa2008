package nstable

import "net/netip"

// OwnAddrs tells quickly that an IPv4 address is none of a namespace's own: workers ask it about the source of every
// packet, and the FIB about what may be one. It is a set of bits, one by the hash of each address.
type OwnAddrs [ownWords]uint64

const (
	ownBits  = 12
	ownWords = 1 << ownBits / 64
)

func ownBit(a uint32) uint32 { return a * 0x9e3779b1 >> (32 - ownBits) }

// MayHave is false for an address that was not added, but for a few of those, and true for one that was. a is in host
// order.
func (o *OwnAddrs) MayHave(a uint32) bool {
	bit := ownBit(a)
	return o[bit/64%ownWords]>>(bit%64)&1 != 0
}

// Add adds an address, if it is one of IPv4.
func (o *OwnAddrs) Add(a netip.Addr) {
	if a.Is4() {
		b := a.As4()
		bit := ownBit(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]))
		o[bit/64] |= 1 << (bit % 64)
	}
}

// OwnAddrs are the namespace's, as published last. Any goroutine; a worker asks once a batch.
func (n *Namespace) OwnAddrs() *OwnAddrs {
	if o := n.own.Load(); o != nil {
		return o
	}
	return noAddrs
}

var noAddrs = new(OwnAddrs) //nolint:gochecknoglobals // a constant

// PublishOwn makes o what workers see.
func (n *Namespace) PublishOwn(o *OwnAddrs) { n.own.Store(o) }

// ownAddrs collects the addresses of a namespace's devices.
func (ns *namespace) ownAddrs() *OwnAddrs {
	o := new(OwnAddrs)
	for _, d := range ns.byName {
		for i := range d.addrs {
			o.Add(d.addrs[i].prefix.Addr())
		}
	}
	return o
}
