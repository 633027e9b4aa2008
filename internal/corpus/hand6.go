package corpus

import "net/netip"

// hand6 are the IPv6 packets that no combination of dimensions makes.
func hand6() []Probe {
	var out []Probe
	echo := carry("echo request", icmp6(128, 0, 0, 5, 0, 6))
	for _, a := range []string{"2001:db8:1::1", "2001:db8:2::1", "2001:db8:2::2", LinkLocal(1)} {
		for _, n := range []int{1452, 1453, 2000, 2904, 3000} {
			out = append(out, probeOf(true, dst(a), echo, size(n),
				cut("in pieces of 800", piece{0, 800, false}, piece{800, 1600, false}, piece{1600, 2400, false},
					piece{2400, -1, true})))
		}
		for _, e := range extensions6() {
			out = append(out, probeOf(true, dst(a), e, echo))
		}
	}
	for _, f := range fragments6() { // reassembled, and answered with an error or with a reply
		out = append(out, probeOf(true, dst("2001:db8:1::1"), f), probeOf(true, dst("2001:db8:1::1"), echo, f))
	}
	out = append(out, LargeEcho(true))
	// The first fragment must hold the whole chain of headers (RFC 8200 4.5, RFC 7112).
	for _, a := range []string{"2001:db8:1::1", "2001:db8:2::2"} {
		out = append(out,
			probeOf(true, dst(a), extensions("destination options", destination()), echo,
				cut("in the header", piece{0, 8, false}, piece{8, -1, true})),
			probeOf(true, dst(a), echo, cut("before the header", piece{0, 0, false}, piece{0, -1, true})))
	}
	// No errors about errors (RFC 4443 2.4(e)).
	for _, a := range []string{"2001:db8:ffff::1", "2001:db8:bad:1::1", "2001:db8:1::1"} {
		for _, typ := range []byte{1, 2, 3, 4, 100, 127} {
			out = append(out, probeOf(true, dst(a), quoting(typ, 0, true)),
				probeOf(true, dst(a), ttl(1), quoting(typ, 0, true)))
		}
	}
	return append(out, handND()...)
}

// option is one of neighbour discovery (RFC 4861 4.6).
func option(kind, units byte, body ...byte) []byte {
	b := append([]byte{kind, units}, body...)
	for len(b) < int(units)*8 {
		b = append(b, 0)
	}
	return b
}

// lladdr is the source (1) or target (2) link-layer address option.
func lladdr(kind byte, m MAC) []byte { return option(kind, 1, m[:]...) }

// nd is a solicitation (135), an advertisement (136), or another message, for a target. It goes to the group of the target
// from fe80::/10 hosts or the link's, with hop limit 255.
func nd(name string, typ byte, flags byte, target string, options ...byte) Edit {
	t := netip.MustParseAddr(target)
	return Edit{name + " for " + target, func(d *draft) {
		body := append([]byte{flags, 0, 0, 0}, t.AsSlice()...)
		d.transport, d.size, d.ttl, d.label = icmp6(typ, 0, append(body, options...)...), 0, 255, 0
		d.src = OnLink6(d.n)
		if typ == 135 {
			b := t.As16()
			d.dst = netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
		} else {
			d.dst = netip.MustParseAddr("2001:db8:1::1")
		}
		ethernetGroup().do(d)
		if d.dst.As16()[0] != 0xff {
			d.to = RouterMAC(1)
		}
	}}
}

func handND() []Probe {
	var out []Probe
	add := func(edits ...Edit) { out = append(out, probeOf(true, edits...)) }
	host := HostMAC(1)
	from := lladdr(1, host)
	const router = "2001:db8:1::1"
	targets := []string{router, "2001:db8:2::1", LinkLocal(1), LinkLocal(2), "2001:db8:1::", "2001:db8:1::77",
		"2001:db8:2::2", "fe80::77", "ff02::1", "::",
		"::1", "2001:db8:100::1", "2001:db8:1::2"}
	for _, t := range targets {
		add(nd("NS", 135, 0, t, from...))
		add(nd("NS without an option", 135, 0, t))
		add(nd("NS", 135, 0, t), src("::"))
		add(nd("NS", 135, 0, t, from...), src("::"))
		add(nd("NS", 135, 0, t, from...), src("2001:db8:2::2"))
		add(nd("NS", 135, 0, t, from...), dst(router), ethernetTo("unicast", RouterMAC(1)))
		for _, flags := range []byte{0, 0x20, 0x40, 0x60, 0x80, 0xe0} {
			add(nd("NA", 136, flags, t, lladdr(2, MAC{2, 0, 0, 0, 9, 9})...))
			add(nd("NA", 136, flags, t))
		}
	}
	solicit := func(o ...byte) Edit { return nd("NS", 135, 0, router, o...) }
	for _, hops := range []byte{0, 1, 64, 254} {
		add(solicit(from...), ttl(hops))
	}
	add(solicit(from...), dst("ff02::1"), ethernetGroup())
	add(solicit(from...), dst("ff02::2"), ethernetGroup())
	add(solicit(from...), dst("ff02::1:ff00:99"), ethernetGroup())
	add(solicit(), src("::"), dst(router), ethernetTo("unicast", RouterMAC(1)))
	add(solicit(), src("::"), dst("ff02::1"), ethernetGroup())
	add(solicit(append(from, option(1, 0)...)...))
	add(solicit(append(option(14, 1, 1, 2, 3, 4, 5, 6), from...)...)) // nonce (RFC 3971)
	add(solicit(append(option(253, 2), from...)...))
	add(solicit(option(1, 2, host[:]...)...))
	add(solicit(option(1, 9, host[:]...)...))
	add(solicit(lladdr(2, host)...))
	add(solicit(lladdr(1, MAC{})...))
	add(solicit(lladdr(1, MAC{255, 255, 255, 255, 255, 255})...))
	add(solicit(lladdr(1, MAC{0x33, 0x33, 0, 0, 0, 1})...))
	add(solicit(lladdr(1, RouterMAC(1))...))
	add(solicit(from...), extensions("destination options", destination()))
	add(solicit(from...), extensions("hop-by-hop", hopByHop()))
	add(solicit(from...), extensions("atomic fragment", fragmentHeader(0, 0, 7)))
	add(solicit(from...), byteAt(14+40+1, 1, false))  // code, and so the checksum
	add(solicit(from...), byteAt(14+40+2, 77, false)) // checksum
	for n := 14 + 40; n <= 14+40+32; n += 4 {
		add(solicit(from...), bits("shortened", func(b []byte) []byte {
			b = b[:min(n, len(b))]
			be.PutUint16(b[18:], uint16(len(b)-54))
			return b
		}))
	}
	for _, typ := range []byte{133, 134, 137} { // router solicitation, router advertisement, redirect
		add(nd("ND type", typ, 0, router, from...), dst("ff02::2"), ethernetGroup())
		add(nd("ND type", typ, 0, router, from...), dst("ff02::1"), ethernetGroup(), src("fe80::1:1"))
		add(nd("ND type", typ, 0, router, from...), src("fe80::1:1"))
	}
	return out
}
