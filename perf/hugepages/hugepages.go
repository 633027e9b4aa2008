// Package hugepages reserves huge pages for a benchmark and gives them back.
package hugepages

import (
	"os"
	"strconv"
	"strings"
)

// File is where the kernel has the number of reserved huge pages of 2 MiB.
const File = "/proc/sys/vm/nr_hugepages"

// Reserve adds n pages to the machine's, if it can. What restore takes away is as many, not all: another program may have changed
// the number meanwhile. It may be called whether there are pages or not.
func Reserve(n int) (restore func(), ok bool) {
	restore = func() { _, _ = add(-n) } // worked upwards
	before, err := add(n)
	if err != nil {
		return func() {}, false
	}
	if after, err := add(0); err != nil || after < before+n {
		restore()
		return func() {}, false
	}
	return restore, true
}

// add changes the number of reserved pages by n and returns what it was.
func add(n int) (before int, err error) {
	text, err := os.ReadFile(File)
	if err != nil {
		return 0, err
	}
	if before, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil || n == 0 {
		return before, err
	}
	return before, os.WriteFile(File, []byte(strconv.Itoa(max(0, before+n))), 0)
}
