package poptrie

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// FuzzChanges reads changes of eight bytes each from its input, makes them, and compares the table with the golden one after each.
// The prefixes lie close together, so that they nest and meet in the same nodes.
func FuzzChanges(f *testing.F) {
	rnd := rand.New(rand.NewPCG(1, 1))
	for n := range 24 {
		script := make([]byte, 8*(n+1)*2)
		for i := range script {
			script[i] = byte(rnd.Uint32())
		}
		f.Add(byte(n), script)
	}
	f.Fuzz(func(t *testing.T, setting byte, script []byte) {
		family := []Family{IPv4, IPv6}[setting&1]
		e := new(Epochs)
		r := e.Join()
		tbl := newTable(t, family, Options{Grace: e, RootBits: []uint8{0, 12, 13, 18}[setting>>1&3]})
		all := golden{}
		rnd := rand.New(rand.NewPCG(uint64(setting), 2))
		for ; len(script) >= 8; script = script[8:] {
			fuzzed(t, tbl, all, script)
			p := fuzzedPrefix(family, script)
			check(t, tbl, all, probes(family, []netip.Prefix{p}, rnd, 2))
			if script[0]&64 != 0 {
				r.Quiesce()
			}
		}
		var prefixes []netip.Prefix
		for p := range all {
			prefixes = append(prefixes, p)
		}
		check(t, tbl, all, probes(family, prefixes, rnd, 0))
	})
}

// fuzzedPrefix takes the address from bytes 1 to 5 and the length from byte 6.
func fuzzedPrefix(f Family, b []byte) netip.Prefix {
	x := binary.BigEndian.Uint32(b[1:])
	k := Addr{Hi: 10<<56 ^ uint64(x&0x0f0f0f0f)<<32}
	n := b[6] % 33
	if f == IPv6 {
		k.Hi ^= uint64(b[5]) << (b[1] & 24)
		k.Lo = uint64(x) << 32
		n = b[6] % 129
	}
	return f.prefix(k.mask(n), n)
}

func fuzzed(t *testing.T, tbl *Table, all golden, b []byte) {
	p := fuzzedPrefix(tbl.family, b)
	if b[0]&3 == 0 {
		if ok, err := tbl.Delete(p); err != nil || ok != (all[p] != 0) {
			t.Fatalf("Delete(%v): %v, %v", p, ok, err)
		}
		delete(all, p)
		return
	}
	id := 1 + ID(b[7]&15)
	if b[0]&0x1c == 0x1c {
		id |= 1 << 20
	}
	if err := tbl.Insert(p, id); err != nil {
		t.Fatal(err)
	}
	all[p] = id
}
