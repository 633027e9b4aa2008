package neigh

import (
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"nsrouter/fib"
)

// TestModel compares the table with a map under random operations, through growth and tombstones.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, model := NewTable(), map[fib.Addr]*Entry{}
		addr := rapid.Custom(func(t *rapid.T) fib.Addr {
			return fib.Addr{Hi: rapid.Uint64Range(0, 1).Draw(t, "hi"), Lo: rapid.Uint64Range(0, 60).Draw(t, "lo")}
		})
		for range rapid.IntRange(1, 300).Draw(t, "operations") {
			a := addr.Draw(t, "addr")
			switch e := model[a]; {
			case e == nil:
				model[a] = table.Add(a, 1)
			case rapid.Bool().Draw(t, "delete"):
				table.Delete(e)
				delete(model, a)
			}
			if table.Len() != len(model) {
				t.Fatalf("%d entries, want %d", table.Len(), len(model))
			}
		}
		for hi := range uint64(2) {
			for lo := range uint64(61) {
				a := fib.Addr{Hi: hi, Lo: lo}
				if table.Lookup(a) != model[a] {
					t.Fatalf("%v: %v, want %v", a.Netip(), table.Lookup(a), model[a])
				}
			}
		}
		n := 0
		table.All(func(e *Entry) bool { n++; return model[e.Addr] == e })
		if n != len(model) {
			t.Fatalf("All gave %d of %d", n, len(model))
		}
	})
}

func TestWord(t *testing.T) {
	e := NewTable().Add(fib.Addr4(1), 5)
	if _, ok := e.Use(); ok || e.State() != Incomplete {
		t.Error("a new entry can be used")
	}
	const mac = 0xfe0000000001
	e.Set(Reachable, mac, 7)
	if m, ok := e.Use(); !ok || m != mac || e.State() != Reachable || e.Changed.Load() != 7 {
		t.Errorf("%x %v %v", m, ok, e.State())
	}
	if !e.TakeUsed() || e.TakeUsed() || e.State() != Reachable {
		t.Error("the mark of use is not taken exactly once")
	}
	e.Set(Failed, 0, 9)
	if _, ok := e.MAC(); ok {
		t.Error("a failed entry can be used")
	}
}

// TestReaders: readers on other goroutines find stable entries at any time while the owner adds, deletes and grows.
func TestReaders(t *testing.T) {
	table := NewTable()
	fixed := table.Add(fib.Addr4(1), 0)
	fixed.Set(Permanent, 42, 0)
	var stop atomic.Bool
	done := make(chan string)
	for range 2 {
		go func() {
			fault := ""
			for !stop.Load() {
				e := table.Lookup(fib.Addr4(1))
				if e != fixed {
					fault = "the entry is not found"
				} else if m, ok := e.Use(); !ok || m != 42 {
					fault = "the entry is not whole"
				}
			}
			done <- fault
		}()
	}
	for range 50 {
		var list []*Entry
		for i := range uint32(500) {
			list = append(list, table.Add(fib.Addr4(100+i), 0))
		}
		for _, e := range list {
			table.Delete(e)
		}
	}
	stop.Store(true)
	for range 2 {
		if f := <-done; f != "" {
			t.Error(f)
		}
	}
}
