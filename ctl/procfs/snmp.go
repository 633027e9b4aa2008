package procfs

import (
	"bytes"
	"fmt"
	"maps"
	"strings"

	"nsrouter/dataplane/counters"
)

// The files of counters have as many lines and columns as those of the kernel that the daemon runs on: theirs are taken, and
// filled in. IP and ICMP are the router's; what is of sockets (TCP, UDP) is what the Linux namespace has counted.

// defaultTTL is that of the router's own packets.
const defaultTTL = 64

// writeSNMP is /proc/net/snmp: lines of names and lines of values (snmp_seq_show of the kernel's net/ipv4/proc.c).
func writeSNMP(s *space, o *output) error {
	totals, text, err := s.counts("snmp")
	if err != nil {
		return err
	}
	forwarding := uint64(1)
	if s.public.Settings().NoForward4 {
		forwarding = 2
	}
	ours := map[string]map[string]uint64{"Ip:": ip4Columns(&totals), "Icmp:": icmp4Columns(&totals)}
	maps.Copy(ours["Ip:"], map[string]uint64{"Forwarding": forwarding, "DefaultTTL": defaultTTL})
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "IcmpMsg:" { // of the types that there were, and by their numbers
			continue
		}
		columns := ours[fields[0]]
		switch {
		case len(names) == 0 || names[0] != fields[0]:
			names = fields
		case columns == nil:
			names = nil
		default:
			line = fields[0]
			for _, name := range names[1:] {
				line += fmt.Sprintf(" %d", columns[name])
			}
			line += "\n"
			names = nil
		}
		o.printf("%s", line)
	}
	return nil
}

func ip4Columns(t *counters.Totals) map[string]uint64 {
	m, drops := &t.MIB, &t.Drops
	bad := drops[counters.IP4BadHeader] + drops[counters.IP4BadChecksum] + drops[counters.IP4BadOption]
	return map[string]uint64{
		"InReceives":      m[counters.IP4Received],
		"InHdrErrors":     m[counters.IP4HeaderErrors] + bad,
		"InAddrErrors":    m[counters.IP4AddressErrors] + drops[counters.IP4BadDestination],
		"ForwDatagrams":   less(m[counters.IP4Forwarded], m[counters.IP4HeaderErrors]),
		"InUnknownProtos": m[counters.IP4UnknownProtocol],
		"InDelivers":      m[counters.IP4Local],
		"OutRequests":     m[counters.IP4Output],
		"OutTransmits":    m[counters.IP4Output] + less(m[counters.IP4Forwarded], m[counters.IP4HeaderErrors]),
		"OutNoRoutes":     m[counters.IP4NoRoute],
		"ReasmReqds":      m[counters.IP4ReassemblyRequests],
		"ReasmOKs":        m[counters.IP4Reassembled],
		"FragOKs":         m[counters.IP4Fragmented],
	}
}

// less is what was to be forwarded without those whose TTL had run out, which Linux does not count. The two are read one after
// the other.
func less(forwarded, expired uint64) uint64 { return forwarded - min(forwarded, expired) }

func icmp4Columns(t *counters.Totals) map[string]uint64 {
	m := &t.MIB
	out := map[string]uint64{
		"OutDestUnreachs":  m[counters.ICMP4Unreachable],
		"OutTimeExcds":     m[counters.ICMP4TimeExceeded],
		"OutParmProbs":     m[counters.ICMP4Parameter],
		"OutEchoReps":      m[counters.ICMP4EchoReply],
		"OutTimestampReps": m[counters.ICMP4TimestampReply],
	}
	out["OutMsgs"] = sum(out)
	out["InMsgs"], out["InErrors"] = m[counters.ICMP4Received], m[counters.ICMP4Errors]
	out["InEchos"] = m[counters.ICMP4Echo]
	out["OutRateLimitGlobal"] = t.Suppressed[counters.ErrorAnswer]
	return out
}

func sum(columns map[string]uint64) (n uint64) {
	for _, v := range columns {
		n += v
	}
	return n
}

// writeSNMP6 is /proc/net/snmp6: a name and a value in each line (snmp6_seq_show_item of the kernel's net/ipv6/proc.c).
func writeSNMP6(s *space, o *output) error {
	totals, text, err := s.counts("snmp6")
	if err != nil {
		return err
	}
	ours := columns6(&totals)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if strings.HasPrefix(line, "Icmp6InType") || strings.HasPrefix(line, "Icmp6OutType") {
			continue // by the types that there were, and their numbers
		}
		if len(fields) == 2 && (strings.HasPrefix(line, "Ip6") || strings.HasPrefix(line, "Icmp6")) {
			line = fmt.Sprintf("%-32s\t%d\n", fields[0], ours[fields[0]])
		}
		o.printf("%s", line)
	}
	return nil
}

func columns6(t *counters.Totals) map[string]uint64 {
	m, drops := &t.MIB, &t.Drops
	icmp := map[string]uint64{
		"Icmp6OutDestUnreachs":           m[counters.ICMP6Unreachable],
		"Icmp6OutPktTooBigs":             m[counters.ICMP6PacketTooBig],
		"Icmp6OutTimeExcds":              m[counters.ICMP6TimeExceeded],
		"Icmp6OutParmProblems":           m[counters.ICMP6Parameter],
		"Icmp6OutEchoReplies":            m[counters.ICMP6EchoReply],
		"Icmp6OutNeighborSolicits":       m[counters.ICMP6SolicitSent],
		"Icmp6OutNeighborAdvertisements": m[counters.ICMP6AdvertSent],
	}
	icmp["Icmp6OutMsgs"] = sum(icmp)
	maps.Copy(icmp, map[string]uint64{
		"Ip6InReceives":                 m[counters.IP6Received],
		"Ip6InHdrErrors":                m[counters.IP6HeaderErrors] + drops[counters.IP6BadHeader] + drops[counters.IP6BadOptions],
		"Ip6InTooBigErrors":             m[counters.IP6TooBig],
		"Ip6InNoRoutes":                 m[counters.IP6NoRoute],
		"Ip6InAddrErrors":               m[counters.IP6AddressErrors] + drops[counters.IP6BadSource],
		"Ip6InUnknownProtos":            m[counters.IP6UnknownProtocol],
		"Ip6InTruncatedPkts":            drops[counters.IP6Truncated],
		"Ip6InDelivers":                 m[counters.IP6Local],
		"Ip6OutForwDatagrams":           less(m[counters.IP6Forwarded], m[counters.IP6HeaderErrors]),
		"Ip6OutRequests":                m[counters.IP6Output] + m[counters.ICMP6SolicitSent] + m[counters.ICMP6AdvertSent],
		"Ip6ReasmReqds":                 m[counters.IP6ReassemblyRequests],
		"Ip6ReasmOKs":                   m[counters.IP6Reassembled],
		"Icmp6InMsgs":                   m[counters.ICMP6Received],
		"Icmp6InErrors":                 m[counters.ICMP6Errors],
		"Icmp6InEchos":                  m[counters.ICMP6Echo],
		"Icmp6InNeighborSolicits":       m[counters.ICMP6NeighborSolicit],
		"Icmp6InNeighborAdvertisements": m[counters.ICMP6NeighborAdvert],
		"Icmp6InRouterSolicits":         m[counters.ICMP6RouterSolicit],
	})
	return icmp
}

// writeSockets is a file about sockets, which are those of the Linux namespace.
func writeSockets(name string) func(*space, *output) error {
	return func(s *space, o *output) error {
		text, err := s.linuxFile(name)
		o.buf = append(o.buf, text...)
		return err
	}
}

// counts are what the router has counted for the namespace, and a file of the Linux namespace, which counts besides.
func (s *space) counts(file string) (totals counters.Totals, text []byte, err error) {
	if totals, err = s.tree.Table.NamespaceCounters(s.name); err != nil {
		return totals, nil, err
	}
	text, err = s.linuxFile(file)
	return totals, text, err
}

// linuxFile is a file of the Linux namespace; of a namespace without, in which there are no sockets, one with zeros.
func (s *space) linuxFile(name string) ([]byte, error) {
	text, others, err := s.tree.LinuxFile(s.name, name)
	if err != nil || !others {
		return text, err
	}
	var out bytes.Buffer
	for line := range bytes.Lines(text) {
		fields := bytes.Split(bytes.TrimSuffix(line, []byte("\n")), []byte(" "))
		for i, field := range fields {
			if i > 0 {
				out.WriteByte(' ')
			}
			if before, number := cutNumber(field); number {
				out.Write(before)
				out.WriteByte('0')
			} else {
				out.Write(field)
			}
		}
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

// cutNumber tells whether a word is a number, perhaps behind a tab, and what is before it.
func cutNumber(word []byte) (before []byte, number bool) {
	tab := bytes.LastIndexByte(word, '\t') + 1
	rest := word[tab:]
	for _, c := range rest { // -1 is no count, but "no limit"
		if c < '0' || c > '9' {
			return nil, false
		}
	}
	return word[:tab], len(rest) > 0
}
