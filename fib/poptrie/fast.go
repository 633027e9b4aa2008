package poptrie

import "sync/atomic"

// Budget is memory, in bytes, that any number of tables share for larger roots. All methods of tables that use it may run at the same
// time.
type Budget struct{ left atomic.Int64 }

// NewBudget returns a budget of some bytes.
func NewBudget(bytes int) *Budget {
	b := new(Budget)
	b.left.Store(int64(bytes))
	return b
}

// Left is what no table has taken, in bytes.
func (b *Budget) Left() int { return int(b.left.Load()) }

func (b *Budget) take(n int64) bool {
	for {
		left := b.left.Load()
		if left < n {
			return false
		}
		if b.left.CompareAndSwap(left, left-n) {
			return true
		}
	}
}

func (b *Budget) give(n int64) { b.left.Add(n) }

const (
	fastMin  = 250_000      // prefixes from which on a fast root pays
	fastCost = 4 << maxBits // bytes
)

// accelerate gives a table that has become large a fast root, if the budget has room for one.
func (t *Table) accelerate() {
	if t.form.fast {
		return
	}
	if s, f, ok := t.constructFast(t.trie); ok {
		t.swap(s, f)
	}
}

// constructFast builds a store with a fast root from a trie, if that is large enough and the budget has room. Where only the table's
// own limit has none, it is not tried again before the next Load.
func (t *Table) constructFast(from *trie) (*store, form, bool) {
	if t.fast == nil || t.slow || t.fixed != 0 || t.family != IPv4 || from.size <= fastMin {
		return nil, form{}, false
	}
	if !t.form.fast && !t.fast.take(fastCost) {
		return nil, form{}, false
	}
	f := form{rootBits: maxBits, wide: from.wide > 0, huge: true, fast: true}
	s, err := t.construct(from, f, t.limit)
	if err != nil {
		t.slow = true
		if !t.form.fast {
			t.fast.give(fastCost)
		}
	}
	return s, f, err == nil
}

// slowDown builds the table without the fast root, which has no room any more within the limit.
func (t *Table) slowDown(limit int) error {
	t.slow = true
	return t.rebuild(formFor(t.trie.size, form{}, t.trie.wide > 0, t.fixed), limit)
}

// payBack returns what the table has of the budget.
func (t *Table) payBack() {
	if t.form.fast {
		t.fast.give(fastCost)
		t.form.fast = false
	}
}
