package nstable

// present finds a device that was published by what names it for good, its id and its table of neighbours: it may have
// another name by now, and its namespace, too. One that has left its namespace is not found.
func (t *Table) present(dev *Device) (namespace, name string, err error) {
	if int(dev.ID) < len(t.devices) {
		d := t.devices[dev.ID] // which may have moved in a transaction that is not published yet
		if d != nil && !d.gone && d.public != nil && d.public.Neighbors == dev.Neighbors && d.ns.public == dev.Namespace {
			return d.ns.name, d.name, nil
		}
	}
	return "", "", fail(NotFound, "Cannot find device %q: it has left its namespace", dev.Name)
}

// DoFor is Do for a device that was published, with what it and its namespace are called now.
func (t *Table) DoFor(dev *Device, fn func(tx *Tx, namespace, name string) error) error {
	return t.Do(func(tx *Tx) error {
		namespace, name, err := tx.t.present(dev)
		if err != nil {
			return err
		}
		return fn(tx, namespace, name)
	})
}

// SetLinkOf is SetLink for a device that was published. It names it just before: a device that is renamed in between and
// leaves its name to another is not told from that.
func (t *Table) SetLinkOf(dev *Device, c LinkChange) error {
	t.mu.Lock()
	namespace, name, err := t.present(dev)
	t.mu.Unlock()
	if err != nil {
		return err
	}
	return t.SetLink(namespace, name, c)
}
