package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt trusts the links between its pages: a wrong one makes it read outside the mapped file, or in circles, and a meta
// page that is damaged later is silently passed over for the older one. So the structure is verified here, before bbolt
// sees the file, on the format of version 2:
//
//	page      id(8) flags(2) count(2) overflow(4), then count elements; numbers in the byte order of the machine
//	meta      magic(4) version(4) page size(4) flags(4) root page(8) sequence(8) free list(8) pages(8) transaction(8) FNV-1a(8)
//	branch    element: position of the key, from the element's start(4), its length(4), page(8)
//	leaf      element: flags(4) position(4) key length(4) value length(4); flag 1: the value is a bucket
//	bucket    root page(8) sequence(8); root page 0: the bucket's only page follows inline
//
// What is in the leaves has checksums and counts of our own: see [Store.Load].
const (
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	pageHeader     = 16
	elementSize    = 16
	bucketHeader   = 16
	metaSize       = 64
	branchFlag     = 1
	leafFlag       = 2
	bucketFlag     = 1
	noFreelistPage = 1<<64 - 1
)

// verifier walks the pages of a file, each of them once at most.
type verifier struct {
	file     io.ReaderAt
	pageSize uint64
	seen     []bool // by page; its length is the number of pages in use
}

// verify checks all pages that can be reached in a file of the given size in bytes.
func verify(file io.ReaderAt, size int64) error {
	v := verifier{file: file}
	root, err := v.metas(size)
	if err != nil {
		return err
	}
	return v.tree(root, nil, nil, true)
}

// metas reads both meta pages and returns the root page of the newer one.
func (v *verifier) metas(size int64) (root uint64, err error) {
	first, err := v.meta(0)
	if err != nil {
		return 0, err
	}
	v.pageSize = uint64(binary.NativeEndian.Uint32(first[8:]))
	if v.pageSize < 1024 || v.pageSize > 1<<16 || v.pageSize&(v.pageSize-1) != 0 {
		return 0, fmt.Errorf("it has pages of %d bytes", v.pageSize)
	}
	newest, err := v.meta(int64(v.pageSize))
	if err != nil {
		return 0, err
	}
	if transaction(first) > transaction(newest) {
		newest = first
	}
	pages := binary.NativeEndian.Uint64(newest[40:])
	if pages > uint64(size)/v.pageSize {
		return 0, fmt.Errorf("it is cut off: %d pages of %d bytes are missing at its end", pages-uint64(size)/v.pageSize, v.pageSize)
	}
	if binary.NativeEndian.Uint64(newest[32:]) != noFreelistPage {
		return 0, errors.New("it has a free list, which this router does not write")
	}
	v.seen = make([]bool, pages)
	return binary.NativeEndian.Uint64(newest[16:]), nil
}

func transaction(meta []byte) uint64 { return binary.NativeEndian.Uint64(meta[48:]) }

func (v *verifier) meta(at int64) ([]byte, error) {
	m := make([]byte, metaSize)
	if _, err := v.file.ReadAt(m, at+pageHeader); err != nil {
		return nil, fmt.Errorf("its head cannot be read: %w", err)
	}
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSize-8])
	switch {
	case binary.NativeEndian.Uint32(m) != boltMagic || binary.NativeEndian.Uint32(m[4:]) != boltVersion:
		return nil, errors.New("it is no state file")
	case binary.NativeEndian.Uint64(m[metaSize-8:]) != sum.Sum64():
		return nil, fmt.Errorf("the checksum of its meta page at %d is wrong", at)
	}
	return m, nil
}

// tree checks the page id and all below it. Keys must be from low on, and below high unless that is nil. Buckets can only
// be at the top.
func (v *verifier) tree(id uint64, low, high []byte, top bool) error {
	page, err := v.page(id)
	if err != nil {
		return err
	}
	if err := v.elements(page, low, high, top); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// page reads a page that was not met before.
func (v *verifier) page(id uint64) ([]byte, error) {
	pages := uint64(len(v.seen))
	if id < 2 || id >= pages {
		return nil, fmt.Errorf("page %d is referred to, of %d", id, pages)
	}
	var head [pageHeader]byte
	if _, err := v.file.ReadAt(head[:], int64(id*v.pageSize)); err != nil {
		return nil, err
	}
	more := uint64(binary.NativeEndian.Uint32(head[12:]))
	if binary.NativeEndian.Uint64(head[:]) != id || more >= pages-id {
		return nil, fmt.Errorf("page %d: its header is wrong", id)
	}
	for i := id; i <= id+more; i++ {
		if v.seen[i] {
			return nil, fmt.Errorf("page %d is referred to twice", i)
		}
		v.seen[i] = true
	}
	page := make([]byte, (more+1)*v.pageSize)
	_, err := v.file.ReadAt(page, int64(id*v.pageSize))
	return page, err
}

// elements checks what is in a page.
func (v *verifier) elements(page, low, high []byte, top bool) error {
	flags, count := binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
	if flags != branchFlag && flags != leafFlag || flags == branchFlag && count == 0 ||
		pageHeader+count*elementSize > len(page) {
		return errors.New("its header is wrong")
	}
	key := func(i int) ([]byte, error) {
		at := pageHeader + i*elementSize
		position, length := binary.NativeEndian.Uint32(page[at:]), binary.NativeEndian.Uint32(page[at+4:])
		if flags == leafFlag {
			position, length = length, binary.NativeEndian.Uint32(page[at+8:])
		}
		return slice(page, at, position, length)
	}
	var next []byte
	for i := range count {
		k := next
		var err error
		if i == 0 {
			k, err = key(0)
		}
		next = high
		if err == nil && i+1 < count {
			next, err = key(i + 1)
		}
		switch {
		case err != nil:
			return err
		case len(k) == 0 || bytes.Compare(k, low) < 0 || next != nil && bytes.Compare(k, next) >= 0:
			return errors.New("its keys are out of order")
		}
		if flags == branchFlag {
			err = v.tree(binary.NativeEndian.Uint64(page[pageHeader+i*elementSize+8:]), k, next, top)
		} else {
			err = v.value(page, pageHeader+i*elementSize, len(k), top)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// value checks the value of the leaf element at an offset, and the bucket in it.
func (v *verifier) value(page []byte, at, keyLength int, top bool) error {
	position, length := binary.NativeEndian.Uint32(page[at+4:]), binary.NativeEndian.Uint32(page[at+12:])
	value, err := slice(page, at+keyLength, position, length)
	switch flags := binary.NativeEndian.Uint32(page[at:]); {
	case err != nil:
		return err
	case flags == 0 && !top:
		return nil
	case flags != bucketFlag || !top || len(value) < bucketHeader:
		return errors.New("a bucket is where none can be, or the other way round")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return v.tree(root, nil, nil, false)
	}
	if len(value) < bucketHeader+pageHeader {
		return errors.New("a bucket is too short")
	}
	return v.elements(value[bucketHeader:], nil, nil, false)
}

// slice returns length bytes of a page from at+position on.
func slice(page []byte, at int, position, length uint32) ([]byte, error) {
	start := uint64(at) + uint64(position)
	if start+uint64(length) > uint64(len(page)) {
		return nil, errors.New("an entry reaches beyond its end")
	}
	return page[start : start+uint64(length)], nil
}
