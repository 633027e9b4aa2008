package setting

// IP4 is what a device lets IPv4 packets do.
type IP4 struct {
	// BroadcastForwarding lets packets that come in by the device go to the broadcast address of another link.
	BroadcastForwarding bool
	// AcceptSourceRoute lets packets that come in by the device have source routes.
	AcceptSourceRoute bool
	// SendRedirects tells senders on the device's link of a nearer router there.
	SendRedirects bool
}

func ip4Rows() Table[Device] {
	return Table[Device]{
		toggle("bc-forwarding", "forward what comes in for the broadcast address of another link (RFC 2644)",
			func(d *Device) *bool { return &d.BroadcastForwarding }),
		toggle("accept-source-route", "follow IPv4 source routes of what comes in (RFC 7126)",
			func(d *Device) *bool { return &d.AcceptSourceRoute }),
		toggle("send-redirects", "send ICMP redirects where packets leave by the device they came in by (RFC 1812 5.2.7.2)",
			func(d *Device) *bool { return &d.SendRedirects }),
	}
}

// Martians is a set of addresses that must not be on the wire.
type Martians uint8

// The sets.
const (
	// MartiansLinux is what the kernel refuses: multicast, loopback, unspecified and broadcast sources, loopback and
	// unspecified destinations.
	MartiansLinux Martians = iota
	// MartiansRFC1812 adds what RFC 1812 5.3.7 and RFC 3927 do.
	MartiansRFC1812
)

func martians() Row[Namespace] {
	return choice("martians", "never forwarded from or to: Linux's set, or the RFC's, which has 0/8, 240/4, "+
		"169.254/16 and broadcasts, too",
		[]string{"linux", "rfc1812"}, func(n *Namespace) *Martians { return &n.Martians })
}
