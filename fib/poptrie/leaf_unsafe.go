package poptrie

import (
	"sync/atomic"
	"unsafe"
)

// setLeaf changes the id of a leaf that readers may be looking at. A leaf of 16 bits is stored together with its neighbour, which only
// the writer changes as well: Go has no atomic store of 16 bits. Readers see the old id or the new one.
func (s *space) setLeaf(i, id uint32) {
	if s.wide {
		atomic.StoreUint32(&s.leaf32[i], id)
		return
	}
	pair := [2]uint16{s.leaf16[i&^1], s.leaf16[i|1]}
	pair[i&1] = uint16(id)
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&s.leaf16[i&^1])), *(*uint32)(unsafe.Pointer(&pair)))
}
