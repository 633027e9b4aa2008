package dataplane

import "nsrouter/dataplane/counters"

// isMine tells whether packet i can go on here, in a node whose work one worker does for all: the owner of a device's
// neighbours, of a datagram's fragments. To another owner it is handed over. It is dropped where its device has gone down or to
// another namespace on the way: what was received in one must not be met in the other.
func (w *Worker) isMine(i uint16, owner int, node NodeID) bool {
	p := &w.packets[i]
	switch {
	case p.Flags&Handed != 0 && p.Namespace != w.ns.ID:
		w.toDrop(i, counters.OtherNamespace)
	case owner != w.id:
		p.Flags, p.Namespace = p.Flags|Handed, w.ns.ID
		w.handoff(owner, node, p)
	case !w.dev.Up:
		w.toDrop(i, counters.DeviceDown)
	default:
		p.Flags &^= Handed
		return true
	}
	return false
}
