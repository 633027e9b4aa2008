package dpdk

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory is what DPDK's programs have.
type Memory struct {
	HugePages bool
}

// String tells the pages.
func (m Memory) String() string {
	if m.HugePages {
		return "huge pages"
	}
	return "pages of 4 KiB (no huge pages could be reserved)"
}

// pagesFile is where writing a number reserves as many pages of the default size.
const pagesFile = "/proc/sys/vm/nr_hugepages"

// pages are the machine's.
type pages struct {
	total, free  int // huge ones of the default size, reserved and of these unused
	kib          int // size of one; zero if the kernel has none
	availableKiB int // of small ones
}

// Reserve has the kernel reserve so much memory in huge pages of the default size, beside what is reserved and in use already. If it
// cannot, or would need more than half of the memory for it, it changes nothing, and programs run without. release gives back what was
// reserved; it is called once.
func Reserve(mib int) (m Memory, release func() error, err error) {
	return reserve(mib, readPages, setPages)
}

func reserve(mib int, read func() (pages, error), set func(int) error) (m Memory, release func() error, err error) {
	nothing := func() error { return nil }
	p, err := read()
	if err != nil || p.kib == 0 {
		return Memory{}, nothing, err
	}
	more := (mib<<10+p.kib-1)/p.kib - p.free
	if more <= 0 {
		return Memory{HugePages: true}, nothing, nil
	}
	if more > p.availableKiB/2/p.kib || set(p.total+more) != nil { // too little memory, or not allowed
		return Memory{}, nothing, nil
	}
	release = func() error {
		now, err := read()
		if err != nil {
			return err
		}
		return set(max(0, now.total-more)) // others may have changed it meanwhile
	}
	got, err := read()
	if err != nil || got.total < p.total+more {
		more = got.total - p.total
		return Memory{}, nothing, release()
	}
	return Memory{HugePages: true}, release, nil
}

func setPages(n int) error {
	if err := os.WriteFile(pagesFile, []byte(strconv.Itoa(n)), 0o644); err != nil {
		return fmt.Errorf("set the number of huge pages to %d: %w", n, err)
	}
	return nil
}

func readPages() (p pages, err error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return p, err
	}
	values := map[string]*int{
		"HugePages_Total": &p.total, "HugePages_Free": &p.free, "Hugepagesize": &p.kib, "MemAvailable": &p.availableKiB,
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if to := values[name]; to != nil {
			if *to, err = strconv.Atoi(strings.Fields(value)[0]); err != nil {
				return p, fmt.Errorf("/proc/meminfo: %q: %w", line, err)
			}
		}
	}
	return p, nil
}
