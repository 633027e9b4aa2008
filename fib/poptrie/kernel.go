package poptrie

import (
	"fmt"
	"os"
	"slices"
)

// Kernel is a way to look batches up. All find the same.
type Kernel string

// Kernels.
const (
	Plain  Kernel = "plain"  // Go, one address after another
	BMI2   Kernel = "bmi2"   // assembly, four IPv6 addresses abreast, and as Plain for IPv4; where AVX-512 is not
	AVX512 Kernel = "avx512" // assembly, a batch level by level; short batches take the plain loop
)

// kernelVariable is the environment variable that names the kernel of tables whose options name none.
const kernelVariable = "ROUTER_FIB"

// chooseKernel returns the kernel that a table's options ask for, by name or by leaving it to the environment and the processor.
func chooseKernel(asked Kernel) (Kernel, error) {
	known := kernels()
	if asked == "" {
		if named := Kernel(os.Getenv(kernelVariable)); slices.Contains(known, named) {
			return named, nil
		}
		return known[len(known)-1], nil
	}
	switch {
	case slices.Contains(known, asked):
		return asked, nil
	case asked == AVX512 || asked == BMI2:
		return "", fmt.Errorf("poptrie: kernel %s: this processor lacks some of its instructions (leave the kernel open)", asked)
	}
	return "", fmt.Errorf("poptrie: kernel %q: must be %s, %s, %s or empty", string(asked), Plain, BMI2, AVX512)
}

// kernels are those that the processor has, the fastest last.
func kernels() []Kernel {
	list := []Kernel{Plain}
	if hasBMI2() {
		list = append(list, BMI2)
	}
	if hasAVX512() {
		list = append(list, AVX512)
	}
	return list
}
