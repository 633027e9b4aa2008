//go:build !amd64

package poptrie

import "unsafe"

func hasAVX512() bool { return false }

func hasBMI2() bool { return false }

func walkFour(*node, *[walkMax]uint64, *[walkMax]uint64, int, int) {
	panic("poptrie: BMI2 is amd64's")
}

func lookupAVX512(*space, unsafe.Pointer, *ID, int, bool) {
	panic("poptrie: AVX-512 is amd64's")
}
