package fib

import (
	"unsafe"

	"nsrouter/fib/poptrie"
)

// The tries know ids and addresses by types of their own, of the same layout.

func trieIDs(ids []GroupID) []poptrie.ID {
	return unsafe.Slice((*poptrie.ID)(unsafe.SliceData(ids)), len(ids))
}

func trieAddrs(a []Addr) []poptrie.Addr {
	return unsafe.Slice((*poptrie.Addr)(unsafe.SliceData(a)), len(a))
}
