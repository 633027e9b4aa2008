package daemon

import (
	"os"
	"path/filepath"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/procfs"
	"nsrouter/ctl/server"
	"nsrouter/internal/netns"
)

// showFiles mounts the file system that shows the namespaces, if there is to be one, with the rights that s knows. What it
// returns ends that.
func (d *daemon) showFiles(s *server.Server) (end func(), err error) {
	if d.o.ProcFS == "" {
		return func() {}, nil
	}
	shown, err := procfs.Start(procfs.Options{
		Dir: d.o.ProcFS, Table: d.table, Log: d.o.Log,
		MayRead:     func(r procfs.Reader, ns string) bool { return s.MayRead(r.UID, r.GID, r.Pid, ns) },
		NamespaceOf: s.NamespaceOf, LinuxFile: d.hosts.procNet,
		Change: func(r procfs.Reader, req *v1.ChangeRequest) error { return s.ChangeFor(r.UID, r.GID, r.Pid, req) },
	})
	if err != nil {
		return nil, err
	}
	return shown.Close, nil
}

// procNet reads a file of /proc/net in the Linux namespace of a namespace; of one without, in the daemon's own, which own tells.
func (h *hosts) procNet(namespace, name string) (text []byte, own bool, err error) {
	path := filepath.Join("/proc/thread-self/net", name)
	h.mu.Lock()
	n := h.byName[namespace]
	var handle *netns.Handle
	if n != nil {
		handle, err = netns.OfPath(n.handle.Path()) // it stays open when the namespace goes meanwhile
	}
	h.mu.Unlock()
	switch {
	case err != nil:
		return nil, false, err
	case n == nil:
		text, err = os.ReadFile(path)
		return text, true, err
	}
	defer handle.Close()
	err = handle.Do(func() error {
		text, err = os.ReadFile(path)
		return err
	})
	return text, false, err
}
