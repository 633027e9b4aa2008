package poptrie

import (
	"fmt"
	"os"
)

// Kernel is a way to look batches up. All find the same.
type Kernel string

// Kernels.
const (
	Plain  Kernel = "plain"  // Go, one address after another
	AVX512 Kernel = "avx512" // assembly, a batch level by level; short batches take the plain loop
)

// kernelVariable is the environment variable that names the kernel of tables whose options name none.
const kernelVariable = "ROUTER_FIB"

// chooseKernel returns the kernel that a table's options ask for, by name or by leaving it to the environment and the processor.
func chooseKernel(asked Kernel) (Kernel, error) {
	switch asked {
	case Plain:
		return Plain, nil
	case AVX512:
		if !hasAVX512() {
			return "", fmt.Errorf("poptrie: kernel %s: this processor lacks some of its instructions (leave the kernel open)", asked)
		}
		return AVX512, nil
	case "":
		if hasAVX512() && Kernel(os.Getenv(kernelVariable)) != Plain {
			return AVX512, nil
		}
		return Plain, nil
	}
	return "", fmt.Errorf("poptrie: kernel %q: must be %s, %s or empty", string(asked), Plain, AVX512)
}
