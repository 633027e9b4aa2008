package corpus

// dimensions4 are what IPv4 packets differ in. The order is that in which edits are made: a size comes after what it
// depends on.
func dimensions4() []dimension {
	return []dimension{
		dimensionOf("source",
			onLink(), otherLink(), src("10.0.1.1"), src("10.0.2.1"), src("127.0.0.1"), src("224.0.0.1"),
			src("255.255.255.255"), src("0.0.0.0"), src("0.1.2.3"), src("240.0.0.1"), src("10.0.1.255"),
			src("10.0.1.0"),
			src("10.0.2.255"), src("169.254.9.9"), src("203.0.113.5")),
		dimensionOf("destination",
			dst("198.51.100.9"), dst("198.18.0.1"), dst("10.0.1.1"), dst("10.0.2.1"), dst("10.0.1.2"),
			dst("172.31.0.1"),
			dst("192.0.2.1"), dst("192.0.2.200"), dst("203.0.113.1"), dst("10.0.1.255"), dst("10.0.2.255"),
			dst("10.0.1.0"),
			dst("10.0.2.0"), dst("224.0.0.1"), dst("224.0.0.5"), dst("239.1.2.3"), dst("255.255.255.255"),
			dst("127.0.0.1"),
			dst("127.255.255.255"), dst("0.0.0.0"), dst("0.1.2.3"), dst("240.0.0.1"), dst("169.254.1.1")),
		dimensionOf("TTL", ttl(0), ttl(1), ttl(2), ttl(255)),
		dimensionOf("TOS", tos(0xb9), tos(0xff)),
		dimensionOf("options", options4()...),
		dimensionOf("transport", transports4()...),
		dimensionOf("size", size(0), size(12), total(500), total(576), total(600), total(601), total(1400),
			total(1401), total(1500)),
		dimensionOf("fragments", fragments4()...),
		dimensionOf("link", links()...),
		dimensionOf("damage", damage4()...),
	}
}

func options4() []Edit {
	return []Edit{
		options("no operation", 1, 1, 1, 0),
		options("record route", route(7, 3, 4, "")...),
		options("record route, half full", route(7, 3, 8, "192.0.2.77")...),
		options("record route, full", route(7, 3, 16, "")...),
		options("record route, half a slot", append(route(7, 1, 4, ""), 1)[:6]...),
		options("record route, pointer before the data", route(7, 3, 3, "")...),
		options("record route, pointer between slots", route(7, 3, 5, "")...),
		options("record route of 2 bytes", 7, 2, 0, 0),
		options("two record routes", append(route(7, 1, 4, ""), route(7, 1, 4, "")...)...),
		options("timestamps", timestamp(12, 5, 0, "")...),
		options("timestamps, full", timestamp(12, 17, 0, "")...),
		options("timestamps, overflow 15", timestamp(12, 17, 0xf0, "")...),
		options("timestamps with addresses", timestamp(16, 5, 1, "")...),
		options("timestamps with addresses, room for half", timestamp(12, 13, 1, "")...),
		options("timestamp of port 2", timestamp(8, 5, 3, "10.0.2.1")...),
		options("timestamp of another", timestamp(8, 5, 3, "192.0.2.9")...),
		options("timestamp, flag 2", timestamp(8, 5, 2, "")...),
		options("timestamp, pointer before the data", timestamp(8, 4, 0, "")...),
		options("timestamp of 3 bytes", 68, 3, 5, 0),
		options("loose source route", route(131, 2, 4, "10.0.2.2")...),
		options("loose source route, ended", route(131, 2, 12, "10.0.2.2")...),
		options("strict source route", route(137, 2, 4, "10.0.2.2")...),
		options("strict source route, ended", route(137, 1, 8, "10.0.2.2")...),
		options("router alert", 148, 4, 0, 0),
		options("router alert of 3 bytes", 148, 3, 0, 0),
		options("security", 130, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0),
		options("commercial security", 134, 6, 0, 0, 0, 1),
		options("stream identifier", 136, 4, 0, 9),
		options("an unknown option", 30, 4, 0, 1),
		options("an unknown option to be copied", 158, 4, 0, 1),
		options("an option of length 0", 30, 0, 0, 0),
		options("an option of length 1", 30, 1, 0, 0),
		options("an option longer than the header", 30, 9, 0, 0),
		options("an option without its length", 1, 1, 1, 30),
		options("an end and more behind", 0, 131, 7, 4),
		options("40 bytes of options", make([]byte, 40)...),
	}
}

func transports4() []Edit {
	return []Edit{
		carry("to a busy port", udp(4000, 9)), noSum(udp(4000, 4001)),
		badSum("UDP with a bad checksum", udp(4000, 4001)),
		carry("SYN", tcp(2)), carry("ACK", tcp(16)), carry("RST", tcp(4)),
		carry("echo request", icmp(8, 0, 0, 5, 0, 6)), carry("echo reply", icmp(0, 0, 0, 5, 0, 6)),
		carry("echo request of code 1", icmp(8, 1)), badSum("echo request with a bad checksum", icmp(8, 0)),
		quoting(3, 1, false), quoting(3, 4, false), quoting(5, 1, false), quoting(11, 0, false), quoting(12, 0, false),
		carry("source quench", icmp(4, 0)), carry("timestamp request", icmp(13, 0, 0, 5, 0, 6)),
		carry("information request", icmp(15, 0)), carry("address mask request", icmp(17, 0)),
		carry("router solicitation", icmp(10, 0)),
		carry("ICMP type 200", icmp(200, 0)),
		carry("IGMP query", transport{protocol: 2, header: []byte{0x11, 0, 0, 0, 0, 0, 0, 0}, sumAt: 2}),
		carry("protocol 253", raw(253)), carry("SCTP", raw(132)), carry("GRE", raw(47)), carry("protocol 0", raw(0)),
		carry("protocol 255", raw(255)),
	}
}

func fragments4() []Edit {
	return []Edit{
		flags("reserved flag", 4, 0), flags("DF", 2, 0), flags("first fragment", 1, 0),
		flags("first fragment with DF", 3, 0),
		flags("middle fragment", 1, 100), flags("last fragment", 0, 100), flags("last fragment with DF", 2, 100),
		flags("fragment beyond 65,535", 0, 8190), flags("fragment just below 65,535", 1, 8180),
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

func links() []Edit {
	return []Edit{
		ethernetTo("another station's", MAC{2, 0, 0, 0, 0, 0x99}), ethernetTo("the other port's", RouterMAC(2)),
		ethernetTo("link-layer broadcast", MAC{255, 255, 255, 255, 255, 255}),
		ethernetTo("link-layer multicast", MAC{1, 0, 0x5e, 0, 0, 5}),
		ethernetGroup(),
		tagged("VLAN 5", 0x81, 0, 0, 5), tagged("priority tag", 0x81, 0, 0xa0, 0),
		tagged("two tags", 0x88, 0xa8, 0, 5, 0x81, 0, 0, 6),
		{"from a multicast MAC", func(d *draft) { d.from = MAC{3, 0, 0, 0, 1, 1} }},
		{"from the router's own MAC", func(d *draft) { d.from = RouterMAC(1) }},
	}
}

func damage4() []Edit {
	return []Edit{
		byteAt(14, 0x55, true), byteAt(14, 0x44, true), byteAt(14, 0x4f, true), byteAt(14, 0x65, true),
		byteAt(17, 19, true), byteAt(16, 0x7f, true), bits("5 bytes longer than it says", func(b []byte) []byte {
			if len(b) > 60 {
				be.PutUint16(b[16:], be.Uint16(b[16:])-5)
				fixSum4(b)
			}
			return b
		}),
		bits("checksum", func(b []byte) []byte { b[24] ^= 1; return b }),
		bits("checksum 0xffff for 0", func(b []byte) []byte { b[24], b[25] = 255, 255; return b }),
		pad(30), bits("the last byte missing", func(b []byte) []byte { return b[:len(b)-1] }),
		truncate(14), truncate(15), truncate(33), truncate(34), truncate(41),
	}
}
