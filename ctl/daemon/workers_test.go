package daemon

import (
	"slices"
	"strings"
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

// TestRoomForFrames: as many frames as there is memory for, and the mend where there are more.
func TestRoomForFrames(t *testing.T) {
	const info = "MemTotal: 9000000 kB\nMemAvailable: 1024000 kB\nHugePages_Free: 0\nHugepagesize: 2048 kB\n"
	if err := roomForFrames(info, 460_800); err != nil {
		t.Error(err)
	}
	err := roomForFrames(info, 460_801)
	if err == nil || !strings.Contains(err.Error(), "ask for 460800 or fewer") {
		t.Error(err)
	}
	if err := roomForFrames(strings.Replace(info, "Free: 0", "Free: 1000", 1), 1_024_000); err != nil {
		t.Error(err)
	}
}

// TestWorkerCPUs: lists of CPUs that cannot be are refused, with the reason and the mend.
func TestWorkerCPUs(t *testing.T) {
	all, err := allowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := workerCPUs(all, 0); err != nil || !slices.Equal(got, all) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := workerCPUs(nil, len(all)); err != nil || !slices.Equal(got, all) {
		t.Errorf("%v, %v", got, err)
	}
	for want, try := range map[string]func() ([]int, error){
		"CPU 1000 may not be used": func() ([]int, error) { return workerCPUs([]int{all[0], 1000}, 0) },
		"is named twice":           func() ([]int, error) { return workerCPUs([]int{all[0], all[0]}, 0) },
		"may use only":             func() ([]int, error) { return workerCPUs(nil, len(all)+1) },
	} {
		if cpus, err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v: want %q", cpus, err, want)
		}
	}
}
