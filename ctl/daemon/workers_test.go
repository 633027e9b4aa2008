package daemon

import (
	"slices"
	"testing"
)

// TestReceiverCPUs: the kernel receives for a worker on a CPU of its NUMA node without a worker, where there is one, on machines
// that are made up.
func TestReceiverCPUs(t *testing.T) {
	halves := func(cpu int) int { return cpu / 4 } // two nodes of four CPUs
	one := func(int) int { return 0 }
	for name, c := range map[string]struct {
		workers, allowed, want []int
		node                   func(int) int
	}{
		"two CPUs":                 {[]int{1}, []int{0, 1}, []int{0}, one},
		"no CPU is left":           {[]int{0, 1}, []int{0, 1}, []int{0, 1}, one},
		"each its own":             {[]int{1, 2}, []int{0, 1, 2, 3}, []int{0, 3}, one},
		"in turn":                  {[]int{1, 2, 3}, []int{0, 1, 2, 3}, []int{0, 0, 0}, one},
		"two nodes":                {[]int{1, 5}, []int{0, 1, 2, 3, 4, 5, 6, 7}, []int{0, 4}, halves},
		"the other node is better": {[]int{0, 1, 2, 3}, []int{0, 1, 2, 3, 4, 5}, []int{4, 5, 4, 5}, halves},
		"may not use all":          {[]int{1, 5}, []int{1, 5, 6}, []int{6, 6}, halves},
	} {
		if got := receiverCPUs(c.workers, c.allowed, c.node); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
