package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The log is a sequence of groups, one for each commit that had routes. Numbers in the header are in network byte order.
//
//	header     magic(4) CRC of the rest of the header(4) store(8) sequence(8) state(8) length of the body(8)
//	           operations(4) CRC of the body(4)
//	body       operations, endMark(1)
//	operation  length of the key, length of the value plus 1 or 0 for a removal (unsigned varints), key, value
//
// The first group is a snapshot: all that was there when the file was made, in ascending order. The file gets its name
// when the snapshot is durable.
const (
	groupMagic = "\xa7nsr"
	headerSize = 48
	// endMark is not zero, so that a sector that a group reaches into has something else than zeros: see [torn].
	endMark = 0xe5
	// sectorSize is what a disk writes as a whole, or not at all. What a write does not change stays as it is.
	sectorSize = 512
)

// header is the head of a group.
type header struct {
	store    uint64 // whose log it is: a random number, which the database has too
	sequence uint64 // 1 more than that of the group before; a snapshot has that of the last group it replaces
	state    uint64 // number of the last commit so far that was about both routes and the database
	length   uint64 // of the body, in bytes
	ops      uint32
	sum      uint32 // CRC of the body
}

// put writes the header to the first headerSize bytes of b.
func (h *header) put(b []byte) {
	copy(b, groupMagic)
	binary.BigEndian.PutUint64(b[8:], h.store)
	binary.BigEndian.PutUint64(b[16:], h.sequence)
	binary.BigEndian.PutUint64(b[24:], h.state)
	binary.BigEndian.PutUint64(b[32:], h.length)
	binary.BigEndian.PutUint32(b[40:], h.ops)
	binary.BigEndian.PutUint32(b[44:], h.sum)
	binary.BigEndian.PutUint32(b[4:], crc(0, b[8:headerSize]))
}

// parseHeader reads the header that b starts with; ok tells whether there is one.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < headerSize || string(b[:4]) != groupMagic || binary.BigEndian.Uint32(b[4:]) != crc(0, b[8:headerSize]) {
		return header{}, false
	}
	return header{
		store:    binary.BigEndian.Uint64(b[8:]),
		sequence: binary.BigEndian.Uint64(b[16:]),
		state:    binary.BigEndian.Uint64(b[24:]),
		length:   binary.BigEndian.Uint64(b[32:]),
		ops:      binary.BigEndian.Uint32(b[40:]),
		sum:      binary.BigEndian.Uint32(b[44:]),
	}, true
}

// crc goes on with the checksum of Castagnoli, which CPUs have an instruction for. It takes a megabyte at a time: the
// scheduler cannot interrupt the assembly, and workers would wait for a garbage collection that waits for it.
func crc(sum uint32, b []byte) uint32 {
	const piece = 1 << 20
	table := crc32.MakeTable(crc32.Castagnoli)
	for ; len(b) > piece; b = b[piece:] {
		sum = crc32.Update(sum, table, b[:piece])
	}
	return crc32.Update(sum, table, b)
}

// appendOp appends an operation to a body.
func appendOp(b, key, value []byte) []byte {
	size := uint64(0)
	if value != nil {
		size = uint64(len(value)) + 1
	}
	b = binary.AppendUvarint(b, uint64(len(key)))
	b = binary.AppendUvarint(b, size)
	return append(append(b, key...), value...)
}

var errOperation = errors.New("an operation reaches beyond the end of its group")

// parseOp takes the operation apart that b starts with; size is how many bytes it has, value is nil for a removal.
func parseOp(b []byte) (key, value []byte, size int, err error) {
	keySize, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, nil, 0, errOperation
	}
	valueSize, m := binary.Uvarint(b[n:])
	rest := uint64(len(b) - n - max(m, 0))
	if m <= 0 || keySize > rest || valueSize > rest-keySize+1 {
		return nil, nil, 0, errOperation
	}
	end := n + m + int(keySize)
	key = b[n+m : end : end]
	if valueSize > 0 {
		start := end
		end += int(valueSize - 1)
		value = b[start:end:end]
	}
	return key, value, end, nil
}

// torn tells whether rest, which starts at an offset of the log behind its last whole group, is what a crash has left of
// one append. An append is acknowledged when it is durable, and only then the next one starts. So a crash leaves less
// than one group, from which bytes are missing at the end, or sectors that never reached the disk and read as zeros.
// Anything else is damage that came later: to a group that was acknowledged.
func torn(rest []byte, at int) bool {
	h, ok := parseHeader(rest)
	switch {
	case len(rest) < headerSize || ok && h.length > uint64(len(rest)-headerSize):
		return true
	case ok:
		return uint64(len(rest)-headerSize) == h.length && hole(rest, at)
	}
	for i := 1; i < len(rest); i++ {
		next := bytes.Index(rest[i:], []byte(groupMagic))
		if next < 0 {
			break
		}
		i += next
		if _, ok := parseHeader(rest[i:]); ok {
			return false
		}
	}
	return hole(rest[:headerSize], at)
}

// hole tells whether b, at an offset in the file, has nothing but zeros where it is in a sector.
func hole(b []byte, at int) bool {
	for len(b) > 0 {
		n := min(sectorSize-at%sectorSize, len(b))
		if len(bytes.TrimLeft(b[:n], "\x00")) == 0 {
			return true
		}
		b, at = b[n:], at+n
	}
	return false
}
