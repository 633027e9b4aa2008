package nstable

import (
	"testing"

	"nsrouter/fib"
	"nsrouter/nstable/setting"
)

// aged is a record as routers of that version wrote it. It has no settings but a namespace's limit of routes, and none
// of what came later.
func aged(t *testing.T, version byte, bucket Bucket, key, value []byte) []byte {
	t.Helper()
	w := &writer{[]byte{version}}
	switch bucket {
	case BucketNamespace:
		name, settings, owners, err := decodeNamespace(value)
		if err != nil || len(owners) > 0 {
			t.Fatal(owners, err)
		}
		w.string(name)
		if version > 1 {
			w.num(uint64(settings.MaxRoutes))
		}
	case BucketDevice:
		if value[len(value)-1] != 0 {
			t.Fatalf("device %x has settings", key)
		}
		w.b = append(w.b, value[1:len(value)-1]...)
	case BucketRoute:
		r, _, err := decodeRoute(key, value)
		if err != nil {
			t.Fatal(err)
		}
		if version > 1 {
			w.b = append(w.b, value[1:]...)
			break
		}
		w.num(uint64(r.Kind))
		w.num(uint64(r.Legs[0].Device))
		w.addr(r.Legs[0].Gateway)
		w.addr(r.Source)
		for _, n := range []uint64{uint64(r.Protocol), uint64(r.Scope), uint64(r.MTU), w.flag(1, r.Legs[0].OnLink)} {
			w.num(n)
		}
	default:
		w.b = append(w.b, value[1:]...)
	}
	return w.b
}

// TestOldVersions: what older routers have stored is restored, with the settings of today at their defaults, and can be
// changed and restored again.
func TestOldVersions(t *testing.T) {
	for version := byte(1); version < recordVersion; version++ {
		b := newBench(t)
		b.xdp("init", "p", "192.0.2.1/24", "2001:db8::1/64")
		b.link("init", LinkSpec{Name: "v", Kind: Veth, Peer: "w"}, "198.51.100.1/24")
		b.ok(b.route(fib.Add, "init", via("10.0.0.0/8", "192.0.2.9", "p")))
		b.ok(b.route(fib.Add, "init", via("2001:db8:5::/48", "", "v")))
		if version > 1 {
			b.ok(b.Do(func(tx *Tx) error {
				return tx.SetNamespace("init", []setting.Value{{Name: "max-routes", Value: "77"}})
			}))
		}
		want := dump(b.Table)
		b.Close()
		for bucket, records := range b.store.data {
			for key, value := range records {
				records[key] = aged(t, version, Bucket(bucket), []byte(key), value)
			}
		}
		b.open()
		b.want(dump(b.Table), want)
		b.ok(b.SetLink("init", "p", LinkChange{Settings: []setting.Value{{Name: "rp-filter", Value: "loose"}}}))
		want = dump(b.Table)
		b.reopen()
		b.want(dump(b.Table), want)
	}
}
