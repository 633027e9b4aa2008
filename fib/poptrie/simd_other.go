//go:build !amd64

package poptrie

import "unsafe"

func hasAVX512() bool { return false }

func lookupAVX512(*space, unsafe.Pointer, *ID, int, bool) {
	panic("poptrie: AVX-512 is amd64's")
}
