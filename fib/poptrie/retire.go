package poptrie

// retired holds what was taken out of a table until no reader can be inside.
type retired struct {
	blocks []retiredBlock // of the present store, oldest first; those before head are done
	head   int
	stores []retiredStore
}

type retiredBlock struct {
	epoch uint64
	block block
}

type retiredStore struct {
	epoch uint64
	store *store
}

func (r *retired) len() int { return len(r.blocks) - r.head + len(r.stores) }

// forget lets go of all blocks: their store is gone, or will be.
func (r *retired) forget() { r.blocks, r.head = nil, 0 }

// finish closes the stores that were retired by an epoch.
func (r *retired) finish(safe uint64) {
	kept := r.stores[:0]
	for _, s := range r.stores {
		if s.epoch <= safe {
			s.store.close()
		} else {
			kept = append(kept, s)
		}
	}
	clear(r.stores[len(kept):])
	r.stores = kept
}

// reclaimEvery is how many retired blocks make a look at the readers worth while.
const reclaimEvery = 64

// retire takes the dropped blocks of the change that was just published out of use.
func (t *Table) retire() {
	s, r := t.store, &t.retired
	if t.grace == nil {
		for _, b := range s.change.frees {
			s.recycle(b)
		}
		return
	}
	epoch := t.grace.Advance()
	for _, b := range s.change.frees {
		r.blocks = append(r.blocks, retiredBlock{epoch, b})
	}
	if len(r.blocks)-r.head >= reclaimEvery {
		t.reclaim()
	}
}

func (t *Table) retireStore(s *store) {
	if t.grace == nil {
		s.close()
		return
	}
	t.retired.stores = append(t.retired.stores, retiredStore{t.grace.Advance(), s})
	t.reclaim()
}

func (t *Table) reclaim() {
	if t.grace != nil {
		t.Reclaim(t.grace.Safe())
	}
}

// Reclaim makes what was retired by an epoch available again: an epoch that [Grace] called safe. Changes do so themselves; a call of
// its own gives memory back early. For the writer.
func (t *Table) Reclaim(safe uint64) {
	r := &t.retired
	for r.head < len(r.blocks) && r.blocks[r.head].epoch <= safe {
		t.store.recycle(r.blocks[r.head].block)
		r.head++
	}
	if r.head > len(r.blocks)/2 {
		r.blocks = append(r.blocks[:0], r.blocks[r.head:]...)
		r.head = 0
	}
	r.finish(safe)
}
