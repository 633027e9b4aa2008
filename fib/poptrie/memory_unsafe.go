package poptrie

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	smallUnit = 64 << 10 // bytes to grow by
	hugePage  = 2 << 20  // bytes
	hugeFrom  = 4 << 20  // bytes from which on a mapping grows by huge pages, if it did not begin with them
)

// mapping is a range of addresses outside Go's heap. It is reserved whole, and usable as far as it was committed, so that it grows
// without moving under its readers.
type mapping struct {
	mem       []byte // as mapped, for unmapping
	base      unsafe.Pointer
	reserved  int // bytes from base, a multiple of hugePage
	committed int // bytes from base
	hugeFrom  int // bytes from which on it grows by huge pages
}

// reserve takes addresses for at least size bytes. huge asks for huge pages from the first byte on.
func reserve(size int, huge bool) (*mapping, error) {
	size = (size + hugePage - 1) &^ (hugePage - 1)
	mem, err := unix.Mmap(-1, 0, size+hugePage, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d MiB of addresses: %w (ulimit -v must allow it)", size>>20, err)
	}
	skip := -uintptr(unsafe.Pointer(&mem[0])) & (hugePage - 1)
	m := &mapping{mem: mem, base: unsafe.Pointer(&mem[skip]), reserved: size, hugeFrom: hugeFrom}
	if huge {
		m.hugeFrom = 0
	}
	_ = unix.Madvise(mem[skip:int(skip)+size], unix.MADV_HUGEPAGE) // without huge pages all works, slower
	return m, nil
}

// round is the committed size that size bytes need, at least an eighth more than now if it must grow.
func (m *mapping) round(size int) int {
	if size <= m.committed {
		return m.committed
	}
	size = max(size, m.committed+m.committed/8)
	unit := smallUnit
	if size > m.hugeFrom {
		unit = hugePage
	}
	return min((size+unit-1)&^(unit-1), m.reserved)
}

// commit makes the first size bytes usable.
func (m *mapping) commit(size int) error {
	if size <= m.committed {
		return nil
	}
	more := unsafe.Slice((*byte)(unsafe.Add(m.base, m.committed)), size-m.committed)
	if err := unix.Mprotect(more, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		return fmt.Errorf("commit %d KiB of memory: %w", len(more)>>10, err)
	}
	m.committed = size
	return nil
}

func (m *mapping) release() {
	if m != nil && m.mem != nil {
		_ = unix.Munmap(m.mem) // fails only for a range that was not mapped
		m.mem = nil
	}
}

// slice is the reserved range as elements; those beyond the committed bytes must not be touched.
func slice[T any](m *mapping) []T {
	return unsafe.Slice((*T)(m.base), m.reserved/sizeOf[T]())
}

func sizeOf[T any]() int {
	var t T
	return int(unsafe.Sizeof(t))
}

// buffer is a growing slice of pointer-free elements for one user: on Go's heap while small, then outside of it. It may move when it
// grows.
type buffer[T any] struct {
	mem []T
	m   *mapping // nil: on the heap
}

const heapBuffer = 32 << 10 // bytes; above, a buffer is mapped

// reserve makes sure that n elements can be appended, for at most budget bytes more than now.
func (b *buffer[T]) reserve(n, budget int) error {
	need := len(b.mem) + n
	if need <= cap(b.mem) {
		return nil
	}
	size := sizeOf[T]()
	if need*size <= heapBuffer {
		need = max(need, len(b.mem)+len(b.mem)/4)
		if (need-cap(b.mem))*size > budget {
			return ErrMemory
		}
		mem := make([]T, len(b.mem), need)
		copy(mem, b.mem)
		b.mem = mem
		return nil
	}
	m := b.m
	if m == nil || need*size > m.reserved {
		var err error
		if m, err = reserve(max(256<<20, 4*need*size), false); err != nil {
			return err
		}
	}
	err := ErrMemory
	if commit := m.round(need * size); commit-b.bytes() <= budget {
		err = m.commit(commit)
	}
	if err != nil {
		if m != b.m {
			m.release()
		}
		return err
	}
	mem := slice[T](m)[: len(b.mem) : m.committed/size]
	if m != b.m {
		copy(mem, b.mem)
		b.m.release()
	}
	b.m, b.mem = m, mem
	return nil
}

func (b *buffer[T]) bytes() int { return cap(b.mem) * sizeOf[T]() }

func (b *buffer[T]) close() {
	b.m.release()
	*b = buffer[T]{}
}
