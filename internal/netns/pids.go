package netns

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Inhabited tells the namespaces, by inode, that are those of the main thread of a process.
func Inhabited() (map[uint64]bool, error) {
	inodes := make(map[uint64]bool)
	err := eachProcess(func(_ int, inode uint64) { inodes[inode] = true })
	return inodes, err
}

// Pids returns the processes whose main thread is in the namespace of an inode ([Handle.Inode]), in ascending order.
// Processes that end meanwhile, or that may not be looked at, are left out.
func Pids(inode uint64) ([]int, error) {
	var pids []int
	err := eachProcess(func(pid int, in uint64) {
		if in == inode {
			pids = append(pids, pid)
		}
	})
	slices.Sort(pids)
	return pids, err
}

// eachProcess calls f with each process and the namespace of its main thread.
func eachProcess(f func(pid int, inode uint64)) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(filepath.Join("/proc", entry.Name(), "ns/net"), &st) == nil {
			f(pid, st.Ino)
		}
	}
	return nil
}
