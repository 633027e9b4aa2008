package daemon

import (
	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/procfs"
	"nsrouter/ctl/server"
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
		NamespaceOf: s.NamespaceOf,
		Change:      func(r procfs.Reader, req *v1.ChangeRequest) error { return s.ChangeFor(r.UID, r.GID, r.Pid, req) },
	})
	if err != nil {
		return nil, err
	}
	return shown.Close, nil
}
