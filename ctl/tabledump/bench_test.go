package tabledump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"testing"
)

// tableSize is about that of the IPv4 Internet.
const tableSize = 1 << 20

// prefix24 is the n-th /24 from 1.0.0.0 on.
func prefix24(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(1 + n>>16), byte(n >> 8), byte(n)}), 24)
}

func benchRead(b *testing.B, data []byte) {
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := NewReader("dump", bytes.NewReader(data), Options{})
		if err != nil {
			b.Fatal(err)
		}
		routes := 0
		var route Route
		for err = r.Next(&route); err == nil; err = r.Next(&route) {
			routes++
		}
		if !errors.Is(err, io.EOF) || routes != tableSize {
			b.Fatal(routes, err)
		}
	}
	b.ReportMetric(float64(b.N)*tableSize/b.Elapsed().Seconds()/1e6, "Mroutes/s")
}

func BenchmarkList(b *testing.B) {
	var text bytes.Buffer
	for i := range tableSize {
		fmt.Fprintf(&text, "%s via 192.0.2.%d\n", prefix24(i), 1+i%200)
	}
	b.Run("plain", func(b *testing.B) { benchRead(b, text.Bytes()) })
	b.Run("gzip", func(b *testing.B) { benchRead(b, gzipped(b, text.Bytes())) })
}

// BenchmarkMRT has two peers a prefix, and forty as the big collectors have.
func BenchmarkMRT(b *testing.B) {
	for _, n := range []int{2, 40} {
		var entries []entry
		for i := range n {
			entries = append(entries, via(b, uint16(i%len(peers())), fmt.Sprintf("192.0.2.%d", 1+i)))
		}
		d := (&dump{t: b}).peerTable()
		head := d.Len()
		d.rib("1.0.0.0/24", entries...)
		record := bytes.Clone(d.Bytes()[head:])
		d.Truncate(head)
		for i := range tableSize {
			const prefix = 12 + 4 + 1 // after header, sequence number and length
			p := prefix24(i).Addr().As4()
			copy(record[prefix:], p[:3])
			d.Write(record)
		}
		b.Run(fmt.Sprintf("peers=%d", n), func(b *testing.B) { benchRead(b, d.Bytes()) })
		if n == 2 {
			b.Run("peers=2/gzip", func(b *testing.B) { benchRead(b, gzipped(b, d.Bytes())) })
		}
	}
}
