package nstable

import "nsrouter/dataplane/counters"

// departure is a device that left a namespace in the running transaction.
type departure struct {
	device *device
	from   *namespace
}

// settle leaves in the namespace what the device has counted there. It is called when no worker counts for the
// namespace any more; one reading ends the old account and opens the next, so that nothing is lost or counted twice.
func (l departure) settle() {
	var now counters.Totals
	l.device.counters.Sum(&now)
	since := now
	since.Sub(&l.device.base)
	l.from.retired.Add(&since)
	l.device.base = now
}

// NamespaceCounters returns what was counted in a namespace since it was made, by devices that are in it and by those
// that have left it or are deleted. A packet that its device received here, and that was waiting for a neighbour when
// the device moved, is counted as held here, and where the device then was when it left the wait.
func (t *Table) NamespaceCounters(name string) (counters.Totals, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ns, err := t.namespace(name)
	if err != nil {
		return counters.Totals{}, err
	}
	sum := ns.retired
	for _, d := range ns.byName {
		d.counters.Sum(&sum)
		sum.Sub(&d.base)
	}
	if int64(sum.Held) < 0 { // more left the wait than entered it here
		sum.Held = 0
	}
	return sum, nil
}
