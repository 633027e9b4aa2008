package setting

// Fragments is how what comes in fragments for the router itself is put together.
type Fragments struct {
	// Time4 and Time6 are how long the fragments of a datagram are waited for, seconds.
	Time4, Time6 uint32
	// Thresh4 and Thresh6 are how many bytes the fragments of a family may take at each worker.
	Thresh4, Thresh6 uint32
}

// fragments has the rows of Fragments, with the names and defaults of Linux.
func fragments() Table[Namespace] {
	const maxTime, thresh, maxThresh = 3600, 4 << 20, 1 << 30
	rows := Table[Namespace]{
		number("ipfrag-time", "seconds to wait for all IPv4 fragments of a datagram", 1, maxTime, 30,
			func(n *Namespace) *uint32 { return &n.Fragments.Time4 }),
		number("ipfrag-high-thresh", "bytes of IPv4 fragments that a worker may keep; 0: reassemble none", 0, maxThresh, thresh,
			func(n *Namespace) *uint32 { return &n.Fragments.Thresh4 }),
		number("ip6frag-time", "seconds to wait for all IPv6 fragments of a datagram", 1, maxTime, 60,
			func(n *Namespace) *uint32 { return &n.Fragments.Time6 }),
		number("ip6frag-high-thresh", "bytes of IPv6 fragments that a worker may keep; 0: reassemble none", 0, maxThresh, thresh,
			func(n *Namespace) *uint32 { return &n.Fragments.Thresh6 }),
	}
	for i := range rows { // the frames are everybody's, and so is the time that they are kept for
		rows[i].Quota = true
	}
	return rows
}
