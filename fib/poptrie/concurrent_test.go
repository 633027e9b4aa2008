package poptrie

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// universe is a set of prefixes, half of which are always in the table, while the others come and go. Each has two ids, which tell
// prefix and version, so that a reader can judge each answer.
type universe struct {
	prefixes []netip.Prefix // the first half is permanent
	golden   golden         // permanent prefixes only, 1 + their index
	base     ID             // of the ids
}

func newUniverse(f Family, n int, base ID, rnd *rand.Rand) *universe {
	u := &universe{golden: golden{}, base: base}
	routes := sample(realTable(f), n)
	for i, r := range routes {
		if r.prefix.Bits() == 0 {
			continue
		}
		u.prefixes = append(u.prefixes, r.prefix)
		if i < n/2 {
			u.golden[r.prefix] = ID(len(u.prefixes))
		}
	}
	return u
}

func (u *universe) id(i int, version uint32) ID { return u.base + ID(i)*2 + version&1 }

// judge tells whether id can be right for an address whose longest permanent prefix is the given one (1 + index, zero for none).
func (u *universe) judge(a netip.Addr, permanent, id ID) error {
	if id == 0 {
		if permanent != 0 {
			return fmt.Errorf("%v: no prefix, although %v is there", a, u.prefixes[permanent-1])
		}
		return nil
	}
	i := int(id-u.base) / 2
	if id < u.base || i >= len(u.prefixes) {
		return fmt.Errorf("%v: id %d was never given", a, id)
	}
	p := u.prefixes[i]
	if !p.Contains(a) || permanent != 0 && u.prefixes[permanent-1].Bits() > p.Bits() {
		return fmt.Errorf("%v: found %v", a, p)
	}
	return nil
}

// read looks addresses up and judges the answers until stop.
func (u *universe) read(tbl *Table, r *Reader, keys []Addr, permanent []ID, stop *atomic.Bool) (n int, err error) {
	ids, dst := make([]ID, benchBatch), make([]uint32, benchBatch)
	for at := 0; !stop.Load(); at = (at + benchBatch) % len(keys) {
		part := keys[at : at+benchBatch]
		r.Quiesce()
		if tbl.family == IPv4 {
			for i, k := range part {
				dst[i] = uint32(k.Hi >> 32)
			}
			tbl.Lookup4(dst, ids)
		} else {
			tbl.Lookup6(part, ids)
		}
		if at%(8*benchBatch) == 0 {
			r.Offline()
			runtime.Gosched()
		}
		for i, k := range part {
			if err := u.judge(addrOf(tbl.family, k), permanent[at+i], ids[i]); err != nil {
				return n, err
			}
		}
		n += len(part)
	}
	r.Offline()
	return n, nil
}

// churn makes n changes: new versions, withdrawals, and the same prefixes again.
func (u *universe) churn(tbl *Table, n int, rnd *rand.Rand) error {
	half := len(u.golden)
	for range n {
		i := rnd.IntN(len(u.prefixes))
		if i >= half && rnd.IntN(3) == 0 {
			if _, err := tbl.Delete(u.prefixes[i]); err != nil {
				return err
			}
			continue
		}
		if err := tbl.Insert(u.prefixes[i], u.id(i, rnd.Uint32())); err != nil {
			return err
		}
	}
	return nil
}

// TestReadersDuringChurn lets two readers judge every answer while the writer changes the table, in each of its forms.
func TestReadersDuringChurn(t *testing.T) {
	for _, kernel := range kernels() {
		t.Run(string(kernel), func(t *testing.T) { readDuringChurn(t, kernel) })
	}
}

func readDuringChurn(t *testing.T, kernel Kernel) {
	for _, c := range []struct {
		family     Family
		n, changes int
		base       ID
	}{
		{IPv4, 60, 4000, 1}, {IPv6, 100, 8000, 1}, {IPv4, 3000, 40_000, 1}, {IPv6, 3000, 40_000, 60_000},
		{IPv4, 30_000, 200_000, 1}, {IPv6, 30_000, 200_000, 1}, {IPv4, 60_000, 100_000, 1 << 20},
	} {
		t.Run(fmt.Sprintf("%v/%d/%d", c.family, c.n, c.base), func(t *testing.T) {
			if raceEnabled {
				c.changes /= 8
			}
			rnd := rand.New(rand.NewPCG(uint64(c.n), uint64(c.family)))
			u := newUniverse(c.family, c.n, c.base, rnd)
			e := new(Epochs)
			tbl := newTable(t, c.family, Options{Grace: e, Kernel: kernel})
			for i := range u.golden {
				if err := tbl.Insert(i, u.id(int(u.golden[i]-1), 0)); err != nil {
					t.Fatal(err)
				}
			}
			keys := make([]Addr, 64*benchBatch)
			permanent := make([]ID, len(keys))
			for i := range keys {
				keys[i] = randomIn(u.prefixes[rnd.IntN(len(u.prefixes))], rnd)
				permanent[i] = u.golden.lookup(addrOf(c.family, keys[i]))
			}
			var stop atomic.Bool
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					r := e.Join()
					defer e.Leave(r)
					if n, err := u.read(tbl, r, keys, permanent, &stop); err != nil {
						t.Errorf("after %d look-ups: %v", n, err)
					}
				})
			}
			if err := u.churn(tbl, c.changes, rnd); err != nil {
				t.Error(err)
			}
			stop.Store(true)
			wg.Wait()
		})
	}
}
