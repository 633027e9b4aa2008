package poptrie

import (
	"math"
	"sync"
	"sync/atomic"
)

// Grace tells a table's writer when memory that it took out of the structure can be used again: when no reader can still be on its
// way through it. One Grace serves any number of tables and readers. [Epochs] is one; a program whose readers already announce
// when they hold no reference implements it over what it has.
type Grace interface {
	// Advance begins a new epoch and returns its number, greater than all before.
	Advance() uint64
	// Safe returns the last epoch that every reader has noticed: each of them has, since Advance returned that number, been at a
	// point where it was inside no look-up, or has been so all the time (a sleeping reader).
	Safe() uint64
}

// Epochs is a [Grace] for readers that report to it.
type Epochs struct {
	now     atomic.Uint64
	mu      sync.Mutex
	readers []*Reader // under mu
}

// Reader is one thread of look-ups as [Epochs] sees it. Its methods are the thread's own.
type Reader struct {
	_    [56]byte // its own cache line, written by the reader often
	seen atomic.Uint64
	now  *atomic.Uint64
	_    [48]byte
}

const offline = math.MaxUint64

// Join adds a reader, which is offline until its first Quiesce.
func (e *Epochs) Join() *Reader {
	r := &Reader{now: &e.now}
	r.seen.Store(offline)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.readers = append(e.readers, r)
	return r
}

// Leave removes a reader.
func (e *Epochs) Leave(r *Reader) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, o := range e.readers {
		if o == r {
			e.readers = append(e.readers[:i:i], e.readers[i+1:]...)
			return
		}
	}
}

// Advance implements [Grace].
func (e *Epochs) Advance() uint64 { return e.now.Add(1) }

// Safe implements [Grace].
func (e *Epochs) Safe() uint64 {
	safe := e.now.Load()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.readers {
		safe = min(safe, r.seen.Load())
	}
	return safe
}

// Quiesce says that the reader is inside no look-up now. It is to be called between batches, and before the first look-up after
// Offline. It costs a load and a store.
func (r *Reader) Quiesce() { r.seen.Store(r.now.Load()) }

// Offline says that the reader makes no look-ups until its next Quiesce: before it sleeps.
func (r *Reader) Offline() { r.seen.Store(offline) }
