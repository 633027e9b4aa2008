package nstable

import "testing"

// TestDoFor: a device is found by whatever name it and its namespace have, and not once it has left that.
func TestDoFor(t *testing.T) {
	b := newBench(t)
	b.ok(b.addNamespace("red"))
	b.ok(b.addNamespace("blue"))
	_, err := b.AddLink("red", LinkSpec{Name: "d0", Kind: Dummy})
	b.ok(err)
	var dev *Device
	for _, d := range b.View().Devices {
		if d != nil && d.Name == "d0" {
			dev = d
		}
	}
	found := func() (where string, err error) {
		err = b.DoFor(dev, func(_ *Tx, namespace, name string) error { where = namespace + "/" + name; return nil })
		return where, err
	}
	expect := func(want string) {
		t.Helper()
		where, err := found()
		b.ok(err)
		b.want(where, want)
	}
	expect("red/d0")
	b.ok(b.SetLink("red", "d0", LinkChange{Name: "d1"}))
	b.ok(b.Do(func(tx *Tx) error { return tx.RenameNamespace("red", "rouge") }))
	b.ok(b.addNamespace("red"))
	_, err = b.AddLink("red", LinkSpec{Name: "d1", Kind: Dummy})
	b.ok(err)
	expect("rouge/d1")
	b.ok(b.SetLinkOf(dev, LinkChange{MTU: 1400}))
	links, err := b.Links("rouge", "d1")
	b.ok(err)
	if links[0].MTU != 1400 {
		t.Errorf("MTU %d", links[0].MTU)
	}
	b.ok(b.SetLink("rouge", "d1", LinkChange{Namespace: "blue"}))
	_, err = found()
	b.refused(err, NotFound, "d0")
	b.refused(b.SetLinkOf(dev, LinkChange{MTU: 1300}), NotFound, "d0")
	b.ok(b.SetLink("blue", "d1", LinkChange{Namespace: "rouge"})) // back, as another
	_, err = found()
	b.refused(err, NotFound, "d0")
}
