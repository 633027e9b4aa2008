package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// record is an operation of a log, to be sorted. The head of its key is here so that few comparisons look into the log.
type record struct {
	head [3]uint64 // the first 24 bytes of the key as numbers, with zeros behind a shorter one
	at   int       // where in the log it is, in bytes
}

// liveRecords returns what the groups of a log leave: by ascending key the last operation of each key, unless that is a
// removal; and how many bytes a log of nothing else has. The log ends with the group of the given header. It was read
// again since it was opened, so its checksums are checked again.
func liveRecords(log []byte, last header) (live []record, size int64, err error) {
	if _, end, err := scan(log, last.store, last.state); err != nil || end != int64(len(log)) {
		return nil, 0, errors.Join(err, fmt.Errorf("%d bytes of %d can be read", end, len(log)))
	}
	all, err := records(log)
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(all, func(a, b record) int {
		if c := compareKeys(log, a, b); c != 0 {
			return c
		}
		return cmp.Compare(a.at, b.at)
	})
	live, size = all[:0], headerSize+1 // with the endMark
	for i, r := range all {
		if i+1 < len(all) && compareKeys(log, r, all[i+1]) == 0 {
			continue
		}
		if _, value, n, _ := parseOp(log[r.at:]); value != nil {
			live = append(live, r)
			size += int64(n)
		}
	}
	return live, size, nil
}

// records returns all operations of a log, which was scanned, in their order.
func records(log []byte) ([]record, error) {
	n := 0
	for at := 0; at < len(log); {
		h, _ := parseHeader(log[at:])
		n += int(min(uint64(h.ops), h.length/2)) // an operation has two bytes at least
		at += headerSize + int(h.length)
	}
	all := make([]record, 0, n)
	for at := 0; at < len(log); {
		h, _ := parseHeader(log[at:])
		at += headerSize
		end := at + int(h.length) - 1 // without the endMark
		before := len(all)
		for at < end {
			key, _, size, err := parseOp(log[at:end])
			if err != nil {
				return nil, err
			}
			all = append(all, record{keyHead(key), at})
			at += size
		}
		if n := len(all) - before; n != int(h.ops) || h.length == 0 || log[end] != endMark {
			return nil, fmt.Errorf("the group before byte %d has %d operations, it had %d", at, n, h.ops)
		}
		at = end + 1
	}
	return all, nil
}

func keyHead(key []byte) (head [3]uint64) {
	if len(key) < 24 {
		var padded [24]byte
		copy(padded[:], key)
		key = padded[:]
	}
	for i := range head {
		head[i] = binary.BigEndian.Uint64(key[8*i:])
	}
	return head
}

func compareKeys(log []byte, a, b record) int {
	for i := range a.head {
		if a.head[i] != b.head[i] {
			return cmp.Compare(a.head[i], b.head[i])
		}
	}
	keyA, _ := a.op(log)
	keyB, _ := b.op(log)
	return bytes.Compare(keyA, keyB)
}

// op returns what the record stands for.
func (r record) op(log []byte) (key, value []byte) {
	key, value, _, _ = parseOp(log[r.at:])
	return key, value
}
