package server

import (
	"context"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// NamespaceOf is the router namespace of a process, by the Linux network namespace that it is in now: init where that is
// nobody's. It may be called from any goroutine.
func (s *Server) NamespaceOf(pid uint32) (string, error) { return s.identify(pid) }

// ChangeFor makes a change on behalf of a process that asked for it by another way than the socket, as [Server.MayRead] knows
// it: judged and audited like all others.
func (s *Server) ChangeFor(uid, gid, pid uint32, req *v1.ChangeRequest) error {
	c := &caller{uid: uid, gid: gid, pid: int32(pid)}
	if pid != 0 {
		c.groups, c.inode, c.comm = processGroups(pid), netnsInode(pid), processComm(pid)
	}
	_, err := s.Change(context.WithValue(context.Background(), callerKey{}, c), req)
	return err
}
