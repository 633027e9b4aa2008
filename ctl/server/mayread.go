package server

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// MayRead tells whether a process may read a namespace: what a file system that shows namespaces asks, which the kernel tells
// of a request the user and the group by which it looks at files, and the process, of the daemon's pid namespace (0: of
// another; it has its user's rights then, and those of that group). The process must wait for the answer, so that it is the
// same as long as it is asked about. It may be called from any goroutine.
func (s *Server) MayRead(uid, gid, pid uint32, namespace string) bool {
	c := &caller{uid: uid, gid: gid, pid: int32(pid)}
	if pid != 0 {
		c.groups = processGroups(pid)
		c.inode = netnsInode(pid)
	}
	return s.may(context.WithValue(context.Background(), callerKey{}, c), toRead, namespace)
}

// processGroups are the supplementary groups of a process; none if it has ended.
func processGroups(pid uint32) (groups []uint32) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(status)) {
		list, ok := strings.CutPrefix(line, "Groups:")
		if !ok {
			continue
		}
		for _, word := range strings.Fields(list) {
			if id, err := strconv.ParseUint(word, 10, 32); err == nil {
				groups = append(groups, uint32(id))
			}
		}
	}
	return groups
}

// netnsInode is the inode of the Linux network namespace of a process; 0 if it has ended.
func netnsInode(pid uint32) uint64 {
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/ns/net", pid), &st) != nil {
		return 0
	}
	return st.Ino
}
