package nstable

import (
	"iter"
	"net/netip"
	"slices"

	"nsrouter/fib"
)

// Learner brings what is learned from one origin into a namespace: routes and next-hop objects as they are there, without
// the checks that the operator's have to pass. Nothing of it is stored. It is used by the function that it was given to,
// and no longer.
type Learner struct {
	tx     *Tx
	ns     *namespace
	origin fib.Origin
}

// Learn runs fn as a transaction, as Do does. fn may be called twice, and the second time finds what was there before
// the first. A namespace that is no more is a NotFound.
func (t *Table) Learn(public *Namespace, origin fib.Origin, fn func(l *Learner) error) error {
	return t.doVolatile(func(tx *Tx) error {
		if int(public.ID) >= len(t.namespaces) || t.namespaces[public.ID] == nil || t.namespaces[public.ID].public != public ||
			t.namespaces[public.ID].gone {
			return fail(NotFound, "the namespace is deleted")
		}
		return fn(&Learner{tx: tx, ns: t.namespaces[public.ID], origin: origin})
	})
}

// Device is the id of the device with a name; zero if there is none.
func (l *Learner) Device(name string) DeviceID {
	if d := l.ns.byName[name]; d != nil {
		return d.id
	}
	return 0
}

// Way is what routes say that say the same as w, of which the origin need not be set. Its devices and its object are there.
// It is good for the running transaction.
func (l *Learner) Way(w fib.Way) *fib.Way {
	w.Origin = l.origin
	l.tx.touchedIn(l.ns) // what no route comes to use is let go of
	return l.ns.rib.Way(w)
}

// Ways appends the ways of the routes of a prefix that are of the learner's origin, in their order.
func (l *Learner) Ways(ways []*fib.Way, p netip.Prefix) []*fib.Way {
	return fib.LearnedFrom(ways, l.ns.rib.Get(p), l.origin)
}

// Set makes the ways all that the learner's origin has for a prefix (masked). It fails where the namespace may not have
// that many routes; nothing is changed then.
func (l *Learner) Set(p netip.Prefix, ways []*fib.Way) error {
	list := l.ns.rib.Get(p)
	next := fib.SetLearned(list, l.origin, p, ways)
	if len(next) == len(list) && slices.Equal(next, list) {
		return nil
	}
	if err := l.tx.checkRoom(l.ns, len(next)-len(list)); err != nil {
		return err
	}
	if len(next) == len(list) {
		for i := range next {
			if next[i] != list[i] { // flows stay where they can
				l.ns.rib.Follow(l.ns.public.FIB, next[i].Way, list[i].Way)
			}
		}
	}
	l.tx.setRoutes(l.ns, p, list, next)
	return nil
}

// From walks the prefixes at or after p that have routes of the learner's origin, in order. The routes must not be changed
// meanwhile.
func (l *Learner) From(p netip.Prefix) iter.Seq2[netip.Prefix, []*fib.Route] {
	return func(yield func(netip.Prefix, []*fib.Route) bool) {
		for p, list := range l.ns.rib.From(p) {
			own := slices.ContainsFunc(list, func(r *fib.Route) bool { return r.Origin == l.origin })
			if own && !yield(p, list) {
				return
			}
		}
	}
}

// Object is the object with a number of the learner's origin, or nil.
func (l *Learner) Object(number uint32) *fib.Object {
	return l.ns.rib.Object(fib.ObjectOf(l.origin, number))
}

// Objects lists the objects of the learner's origin by their number.
func (l *Learner) Objects() []*fib.Object {
	return slices.DeleteFunc(l.ns.rib.Objects(), func(o *fib.Object) bool { return o.ID.Origin() != l.origin })
}

// SetObject makes or replaces an object, the ID of which is of the learner's origin. Routes that send by it follow. It fails
// where the namespace may not have that many.
func (l *Learner) SetObject(o *fib.Object) error {
	old := l.ns.rib.Object(o.ID)
	if old == nil {
		if err := checkNextHops(l.ns); err != nil {
			return err
		}
	}
	if old != nil && old.Protocol == o.Protocol && old.Blackhole == o.Blackhole &&
		old.Leg == o.Leg && old.IPv6 == o.IPv6 && slices.Equal(old.Members, o.Members) {
		return nil
	}
	l.tx.setObject(l.ns, o.ID, o)
	return nil
}

// DeleteObjects removes objects of the learner's origin, the routes that use them, their memberships, and groups that
// were left without members.
func (l *Learner) DeleteObjects(match func(number uint32) bool) {
	l.tx.deleteObjects(l.ns, func(o *fib.Object) bool {
		return o.ID.Origin() == l.origin && match(o.ID.Number())
	})
}
