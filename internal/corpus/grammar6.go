package corpus

// dimensions6 are what IPv6 packets differ in.
func dimensions6() []dimension {
	return []dimension{
		dimensionOf("source",
			onLink(), src("2001:db8:2::2"), src("2001:db8:1::1"), src("::"), src("::1"), src("fe80::1:1"),
			src("fec0::1"), src("ff02::1"),
			src("ff0e::1"), src("::ffff:10.0.1.2"), src("::10.0.1.2"), src("2001:db8:1::"), src("2001:db8:bad::5"),
			src("100::1")),
		dimensionOf("destination",
			dst("2001:db8:100::9"), dst("2001:db8:200::9"), dst("2001:db8:1::1"), dst("2001:db8:2::1"),
			dst("2001:db8:1::"), dst("2001:db8:2::"),
			dst("2001:db8:1::2"), dst("2001:db8:ffff::1"), dst("2001:db8:bad::1"), dst("2001:db8:bad:1::1"),
			dst("2001:db8:bad:2::1"),
			dst("fe80::77"), dst(LinkLocal(1)), dst(LinkLocal(2)), dst("fe80::"), dst("ff02::1"), dst("ff02::2"),
			dst("ff02::77"), dst("ff02::1:ff00:1"),
			dst("ff02::1:ff00:99"), dst("ff01::1"), dst("ff05::2"), dst("ff0e::77"), dst("ff00::1"), dst("ff03::1"),
			dst("::1"), dst("::"),
			dst("::ffff:10.0.2.2"), dst("::10.0.2.2"), dst("fec0::1"), dst("fd00::1"), dst("64:ff9b::10.0.2.2")),
		dimensionOf("hop limit", ttl(0), ttl(1), ttl(2), ttl(255)),
		dimensionOf("traffic class", tos(0xb9), Edit{"no flow label", func(d *draft) { d.label = 0 }}),
		dimensionOf("extensions", extensions6()...),
		dimensionOf("transport", transports6()...),
		dimensionOf("size", size(0), size(12), total(1232), total(1240), total(1280), total(1281), total(1300),
			total(1301), total(1400),
			total(1401), total(1500)),
		dimensionOf("fragments", fragments6()...),
		dimensionOf("link", links()...),
		dimensionOf("damage", damage6()...),
	}
}

// LinkLocal is the link-local address of a port: fe80::/64 and its MAC (RFC 4291 appendix A).
func LinkLocal(port int) string { return "fe80::ff:fe00:" + string(rune('0'+port)) }

func extensions6() []Edit {
	return []Edit{
		extensions("hop-by-hop", hopByHop()), extensions("hop-by-hop, router alert", hopByHop(5, 2, 0, 0)),
		extensions("hop-by-hop, router alert of 3 bytes", hopByHop(5, 3, 0, 0, 0)),
		extensions("hop-by-hop, to be skipped", hopByHop(0x1e, 2, 0, 0)),
		extensions("hop-by-hop, to be dropped", hopByHop(0x5e, 2, 0, 0)),
		extensions("hop-by-hop, to be reported", hopByHop(0x9e, 2, 0, 0)),
		extensions("hop-by-hop, to be reported to unicast", hopByHop(0xde, 2, 0, 0)),
		extensions("hop-by-hop, jumbo payload", hopByHop(0xc2, 4, 0, 0, 0, 200)),
		extensions("hop-by-hop, option too long", hopByHop(1, 200, 0, 0)),
		extensions("hop-by-hop, padding not zero", hopByHop(1, 4, 1, 2, 3, 4)),
		extensions("hop-by-hop, 9 paddings", hopByHop(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)),
		extensions("hop-by-hop longer than the packet", extension{extHopByHop, []byte{250, 1, 4, 0, 0, 0, 0}}),
		extensions("hop-by-hop twice", hopByHop(), hopByHop()),
		extensions("hop-by-hop second", destination(), hopByHop()),
		extensions("destination options", destination()),
		extensions("destination options, to be skipped", destination(0x1e, 2, 0, 0)),
		extensions("destination options, to be dropped", destination(0x5e, 2, 0, 0)),
		extensions("destination options, to be reported", destination(0x9e, 2, 0, 0)),
		extensions("destination options, to be reported to unicast", destination(0xde, 2, 0, 0)),
		extensions("destination options, home address",
			destination(201, 16, 0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9)),
		extensions("destination options, cut off", extension{extDestination, []byte{100, 1, 4, 0, 0, 0, 0}}),
		extensions("routing 0", routing(0, 0, "2001:db8:100::1")),
		extensions("routing 0, 1 left", routing(0, 1, "2001:db8:100::1")),
		extensions("routing 0, too many left", routing(0, 9, "2001:db8:100::1")),
		extensions("routing 2", routing(2, 0, "2001:db8:100::1")),
		extensions("routing 2, 1 left", routing(2, 1, "2001:db8:100::1")),
		extensions("routing 3", routing(3, 0, "2001:db8:100::1")),
		extensions("routing 3, 1 left", routing(3, 1, "2001:db8:100::1")),
		extensions("routing 4", routing(4, 0, "2001:db8:100::1")),
		extensions("routing 4, 1 left", routing(4, 1, "2001:db8:100::1", "2001:db8:100::2")),
		extensions("routing 253, 1 left", routing(253, 1, "2001:db8:100::1")),
		extensions("routing 253", routing(253, 0)),
		extensions("atomic fragment", fragmentHeader(0, 0, 7)),
		extensions("two fragment headers", fragmentHeader(0, 0, 7), fragmentHeader(0, 0, 8)),
		extensions("authentication", extension{extAuth,
			[]byte{4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}),
		extensions("all", hopByHop(), destination(), routing(2, 0, "2001:db8:100::1"), fragmentHeader(0, 0, 7),
			destination()),
		extensions("8 destination options", repeat(destination(), 8)...),
		extensions("9 destination options", repeat(destination(), 9)...),
		extensions("40 destination options", repeat(destination(), 40)...),
	}
}

func transports6() []Edit {
	return []Edit{
		carry("to a busy port", udp(4000, 9)), noSum(udp(4000, 4001)),
		badSum("UDP with a bad checksum", udp(4000, 4001)),
		carry("SYN", tcp(2)), carry("ACK", tcp(16)), carry("RST", tcp(4)),
		carry("echo request", icmp6(128, 0, 0, 5, 0, 6)), carry("echo reply", icmp6(129, 0, 0, 5, 0, 6)),
		carry("echo request of code 1", icmp6(128, 1)), badSum("echo request with a bad checksum", icmp6(128, 0)),
		quoting(1, 0, true), quoting(2, 0, true), quoting(3, 0, true), quoting(4, 1, true), quoting(100, 0, true),
		carry("router solicitation", icmp6(133, 0)), carry("router advertisement", icmp6(134, 0)),
		carry("redirect", icmp6(137, 0)),
		carry("multicast listener query", icmp6(130, 0)), carry("ICMPv6 type 255", icmp6(255, 0)),
		carry("ICMPv6 type 200", icmp6(200, 0)),
		carry("protocol 253", raw(253)), carry("SCTP", raw(132)), carry("GRE", raw(47)),
		carry("no next header", raw(59)), carry("IPv4 ICMP", icmp(8, 0)),
	}
}

func fragments6() []Edit {
	return []Edit{
		flags("first fragment", 1, 0), flags("middle fragment", 1, 100), flags("last fragment", 0, 100),
		flags("fragment beyond 65,535", 0, 8191), flags("fragment just below 65,535", 1, 8180),
		cut("in two", piece{0, 24, false}, piece{24, -1, true}),
		cut("in two, the last first", piece{24, -1, true}, piece{0, 24, false}),
		cut("in three, mixed", piece{24, 40, false}, piece{40, -1, true}, piece{0, 24, false}),
		cut("overlapping", piece{0, 32, false}, piece{24, -1, true}),
		cut("one twice", piece{0, 24, false}, piece{0, 24, false}, piece{24, -1, true}),
		cut("two ends", piece{0, 24, false}, piece{24, 32, true}, piece{24, -1, true}),
		cut("a piece of odd length", piece{0, 24, false}, piece{24, 35, false}, piece{40, -1, true}),
		cut("the first missing", piece{24, -1, true}),
	}
}

func damage6() []Edit {
	return []Edit{
		byteAt(14, 0x40, true), byteAt(14, 0x70, true), byteAt(18, 0x7f, true),
		bits("payload length 0", func(b []byte) []byte { be.PutUint16(b[18:], 0); return b }),
		bits("5 bytes longer than it says", func(b []byte) []byte {
			if n := be.Uint16(b[18:]); n > 5 {
				be.PutUint16(b[18:], n-5)
			}
			return b
		}),
		pad(30), bits("the last byte missing", func(b []byte) []byte { return b[:len(b)-1] }),
		truncate(14), truncate(15), truncate(53), truncate(54), truncate(55), truncate(61),
	}
}
