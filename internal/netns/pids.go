package netns

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Pids returns the processes whose main thread is in the namespace of an inode ([Handle.Inode]), in ascending order.
// Processes that end meanwhile, or that may not be looked at, are left out.
func Pids(inode uint64) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(filepath.Join("/proc", entry.Name(), "ns/net"), &st) == nil && st.Ino == inode {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}
