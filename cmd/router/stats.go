package main

import (
	"fmt"
	"strconv"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// statsJSON are a link's counters: stats64 as in ip(8), and what this router counts besides.
type statsJSON struct {
	Stats64 struct {
		Rx rxJSON `json:"rx"`
		Tx txJSON `json:"tx"`
	} `json:"stats64"`
	Forwarding struct {
		Forwarded        uint64 `json:"forwarded"`
		Delivered        uint64 `json:"delivered"`
		Held             uint64 `json:"held"`
		PartialChecksums uint64 `json:"partial_checksums"`
	} `json:"forwarding"`
	Drops      map[string]uint64 `json:"drops"`
	Suppressed map[string]uint64 `json:"suppressed,omitempty"` // answers that rate limits kept back
	XDP        []queueJSON       `json:"xdp,omitempty"`
}

type rxJSON struct {
	Bytes      uint64 `json:"bytes"`
	Packets    uint64 `json:"packets"`
	Errors     uint64 `json:"errors"`
	Dropped    uint64 `json:"dropped"`
	OverErrors uint64 `json:"over_errors"`
	Multicast  uint64 `json:"multicast"`
}

type txJSON struct {
	Bytes         uint64 `json:"bytes"`
	Packets       uint64 `json:"packets"`
	Errors        uint64 `json:"errors"`
	Dropped       uint64 `json:"dropped"`
	CarrierErrors uint64 `json:"carrier_errors"`
	Collisions    uint64 `json:"collisions"`
}

// queueJSON has what the data plane moved, and then the names of the kernel's struct xdp_statistics.
type queueJSON struct {
	Queue           uint32 `json:"queue"`
	Worker          uint32 `json:"worker"`
	RxPackets       uint64 `json:"rx_packets"`
	TxPackets       uint64 `json:"tx_packets"`
	RxDropped       uint64 `json:"rx_dropped"`
	RxInvalidDescs  uint64 `json:"rx_invalid_descs"`
	TxInvalidDescs  uint64 `json:"tx_invalid_descs"`
	RxRingFull      uint64 `json:"rx_ring_full"`
	RxFillRingEmpty uint64 `json:"rx_fill_ring_empty_descs"`
	TxRingEmpty     uint64 `json:"tx_ring_empty_descs"`
}

// statsObject sorts the counters into iproute2's: dropped is what the router dropped, for a reason each; over_errors
// ("missed") is what the kernel could not hand to it.
func statsObject(s *v1.LinkStats) *statsJSON {
	o := &statsJSON{Drops: make(map[string]uint64)}
	o.Stats64.Rx = rxJSON{Bytes: s.RxBytes, Packets: s.RxPackets, Multicast: s.RxMulticast}
	o.Stats64.Tx = txJSON{Bytes: s.TxBytes, Packets: s.TxPackets}
	o.Forwarding.Forwarded, o.Forwarding.Delivered, o.Forwarding.Held = s.Forwarded, s.Delivered, s.Held
	o.Forwarding.PartialChecksums = s.PartialChecksums
	for _, d := range s.Drops {
		o.Drops[d.Reason] = d.Packets
		o.Stats64.Rx.Dropped += d.Packets
	}
	o.Suppressed = suppressedObject(s.Suppressed)
	for _, q := range s.Queues {
		o.XDP = append(o.XDP, queueJSON{
			q.Queue, q.Worker, q.RxPackets, q.TxPackets,
			q.RxDropped, q.RxInvalidDescs, q.TxInvalidDescs, q.RxRingFull, q.RxFillRingEmptyDescs, q.TxRingEmptyDescs,
		})
		o.Stats64.Rx.OverErrors += q.RxDropped + q.RxRingFull
		o.Stats64.Rx.Errors += q.RxInvalidDescs
		o.Stats64.Tx.Errors += q.TxInvalidDescs
	}
	return o
}

func statsText(s *v1.LinkStats) string {
	if s == nil {
		return ""
	}
	o := statsObject(s)
	rx, tx := &o.Stats64.Rx, &o.Stats64.Tx
	rxValues := []uint64{rx.Bytes, rx.Packets, rx.Errors, rx.Dropped, rx.OverErrors, rx.Multicast}
	txValues := []uint64{tx.Bytes, tx.Packets, tx.Errors, tx.Dropped, tx.CarrierErrors, tx.Collisions}
	widths := []int{len("*X errors:"), len("packets"), len("errors"), len("dropped"), len("heartbt"), len("overrun")}
	for i := range widths {
		widths[i] = max(widths[i], digits(rxValues[i]), digits(txValues[i]))
	}
	var b strings.Builder
	statsTable(&b, "RX: ", widths, []string{"bytes", "packets", "errors", "dropped", "missed", "mcast"}, rxValues)
	statsTable(&b, "TX: ", widths, []string{"bytes", "packets", "errors", "dropped", "carrier", "collsns"}, txValues)
	fmt.Fprintf(&b, "    forwarded %d delivered %d held %d", s.Forwarded, s.Delivered, s.Held)
	if s.PartialChecksums > 0 {
		fmt.Fprintf(&b, " partial-checksums %d (turn the sender's transmit checksum offload off)", s.PartialChecksums)
	}
	b.WriteString("\n")
	b.WriteString(dropsText(s.Drops))
	b.WriteString(suppressedLine(s.Suppressed))
	for _, q := range s.Queues {
		fmt.Fprintf(&b, "    queue %d: worker %d rx %d tx %d rx_dropped %d rx_invalid_descs %d tx_invalid_descs %d",
			q.Queue, q.Worker, q.RxPackets, q.TxPackets, q.RxDropped, q.RxInvalidDescs, q.TxInvalidDescs)
		fmt.Fprintf(&b, " rx_ring_full %d rx_fill_ring_empty_descs %d tx_ring_empty_descs %d\n",
			q.RxRingFull, q.RxFillRingEmptyDescs, q.TxRingEmptyDescs)
	}
	return b.String()
}

// dropsText is a line with the reasons that there were, or nothing.
func dropsText(drops []*v1.Drop) string {
	if len(drops) == 0 {
		return ""
	}
	s := "    drops:"
	for _, d := range drops {
		s += fmt.Sprintf(" %s %d", d.Reason, d.Packets)
	}
	return s + "\n"
}

func suppressedObject(all []*v1.SuppressedAnswers) map[string]uint64 {
	if len(all) == 0 {
		return nil
	}
	o := make(map[string]uint64)
	for _, a := range all {
		o[a.Kind] = a.Packets
	}
	return o
}

// suppressedLine is a line with the answers that rate limits kept back, or nothing.
func suppressedLine(all []*v1.SuppressedAnswers) string {
	if len(all) == 0 {
		return ""
	}
	return "   " + suppressedText(all) + "\n"
}

func digits(n uint64) int { return len(strconv.FormatUint(n, 10)) }

// compressedWidth is that of a column that iproute2 leaves blank unless a link compresses.
const compressedWidth = 10

func statsTable(b *strings.Builder, title string, widths []int, names []string, values []uint64) {
	b.WriteString("    " + title)
	for i, name := range names {
		width := widths[i]
		if i == 0 {
			width -= len(title)
		}
		fmt.Fprintf(b, "%*s ", width, name)
	}
	fmt.Fprintf(b, "%*s\n   ", compressedWidth, "")
	for i, v := range values {
		fmt.Fprintf(b, " %*d", widths[i], v)
	}
	b.WriteString(" \n")
}
