package procfs

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// many is how many routes TestLarge has: enough that a file in memory would show.
const many = 100_000

// largeSpace is a namespace with many routes.
func largeSpace(t *testing.T) *space {
	t.Helper()
	table, err := nstable.Open(nstable.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	err = table.Do(func(tx *nstable.Tx) error {
		load, err := tx.LoadRoutes(fib.Add, nstable.InitName, nstable.RouteSpec{
			Prefix: netip.MustParsePrefix("11.0.0.0/24"), Kind: fib.Blackhole, HasKind: true})
		if err != nil {
			return err
		}
		for i := range uint32(many) {
			var b [4]byte
			binary.BigEndian.PutUint32(b[:], 11<<24+i<<8)
			if err := load.Put(netip.PrefixFrom(netip.AddrFrom4(b), 24)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return newTree(Options{Table: table}).space(nstable.InitName)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestLarge: a file of many routes is whole, and takes little memory in the middle of it; the route file next to none, the
// trie eight bytes a route.
func TestLarge(t *testing.T) {
	s := largeSpace(t)
	for _, c := range []struct {
		name   string
		write  func(*space, *output) error
		leaves string
		memory uint64
	}{
		{"route", writeRoute, "\n", 2 << 20},
		{"fib_trie", writeTrie, "/24 universe BLACKHOLE\n", 2<<20 + 16*many}, // a list that grows has twice its room
	} {
		before := heap()
		r := newStream(func(o *output) error { return c.write(s, o) })
		var text strings.Builder
		piece := make([]byte, 1<<20)
		for at := int64(0); ; {
			n, err := r.readAt(piece, at)
			if err != nil {
				t.Fatal(err)
			}
			if at == 0 {
				if grown := int64(heap()) - int64(before) - int64(len(piece)); grown > int64(c.memory) {
					t.Errorf("%s takes %d KiB while it is read", c.name, grown>>10)
				}
			}
			at += int64(n)
			text.Write(piece[:n])
			if n < len(piece) {
				break
			}
		}
		r.stop()
		want := many + 1 // the line of names
		if c.name == "fib_trie" {
			want = 2 * many // two tables
		}
		if n := strings.Count(text.String(), c.leaves); n != want {
			t.Errorf("%s has %d routes", c.name, n)
		}
	}
}
