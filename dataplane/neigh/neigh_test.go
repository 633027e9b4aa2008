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

// TestAimedScan: addresses that differ only in bits that a hash without a key does not spread, as a sender can choose
// them, make no long chains of slots.
func TestAimedScan(t *testing.T) {
	for _, shift := range []int{0, 8, 16, 32, 40, 43, 50} {
		table := NewTable()
		for i := range uint64(8192) {
			table.Add(fib.Addr{Hi: 0x20010db8 << 32, Lo: i << shift}, 0)
		}
		s := *table.slots.Load()
		longest, chain := 0, 0
		for i := range s {
			if s[i].Load() == nil {
				chain = 0
			} else if chain++; chain > longest {
				longest = chain
			}
		}
		if longest > 256 {
			t.Errorf("shift %d: a chain of %d slots", shift, longest)
		}
	}
}

// TestSweep: after as many slots as there are, each entry has had its turn, in whatever portions.
func TestSweep(t *testing.T) {
	for _, portion := range []int{1, 7, 1 << 20} {
		table, seen := NewTable(), map[*Entry]int{}
		for i := range uint32(100) {
			table.Add(fib.Addr4(i), 0)
		}
		for done := 0; done < table.Slots(); done += min(portion, table.Slots()) {
			table.Sweep(portion, func(e *Entry) { seen[e]++ })
		}
		if len(seen) != 100 {
			t.Errorf("%d of 100 entries in portions of %d", len(seen), portion)
		}
	}
	table := NewTable()
	for i := range uint32(100) {
		table.Add(fib.Addr4(i), 0)
	}
	table.Sweep(table.Slots(), func(e *Entry) { table.Delete(e) })
	if table.Len() != 0 {
		t.Errorf("%d entries left", table.Len())
	}
}

// TestStates: which states have a MAC that may be used, which are known to be right, which are the operator's.
func TestStates(t *testing.T) {
	for s, want := range map[State][4]any{
		Incomplete: {"INCOMPLETE", false, false, false}, Reachable: {"REACHABLE", true, true, false},
		Stale: {"STALE", true, false, false}, Delay: {"DELAY", true, false, false}, Probe: {"PROBE", true, false, false},
		Failed: {"FAILED", false, false, false}, Permanent: {"PERMANENT", true, true, true}, NoARP: {"NOARP", true, true, true},
	} {
		if got := [4]any{s.String(), s.Valid(), s.Connected(), s.Static()}; got != want {
			t.Errorf("%v, want %v", got, want)
		}
		e := NewTable().Add(fib.Addr4(1), 0)
		e.Set(s, 42, 0)
		if _, ok := e.Use(); ok != s.Valid() {
			t.Errorf("%v: usable %v", s, ok)
		}
	}
}
