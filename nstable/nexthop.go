package nstable

import (
	"fmt"
	"net/netip"
	"slices"

	"nsrouter/fib"
)

// NextHop puts a next-hop object into a namespace the way op says: Add, Replace or Change. The rules are those of the
// kernel's net/ipv4/nexthop.c. It returns the id.
func (tx *Tx) NextHop(op fib.Op, namespace string, s NextHopSpec) (fib.ObjectID, error) {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return 0, err
	}
	if s.ID == 0 {
		if op != fib.Add {
			return 0, fail(Invalid, "Replace requires nexthop id: say id N")
		}
		s.ID = ns.rib.FreeObject()
	}
	old := ns.rib.Object(s.ID)
	switch {
	case old == nil && op == fib.Change:
		return 0, fail(NotFound, "No such file or directory: there is no nexthop id %d (replace makes one)", s.ID)
	case old != nil && op == fib.Add:
		return 0, fail(Exists, "File exists: nexthop id %d (replace changes it)", s.ID)
	}
	if old == nil {
		if err := checkNextHops(ns); err != nil {
			return 0, err
		}
	}
	o, err := tx.object(ns, &s)
	if err != nil {
		return 0, err
	}
	if old != nil {
		if err := tx.checkReplacement(ns, old, o); err != nil {
			return 0, err
		}
	}
	tx.setObject(ns, o.ID, o)
	if err := ns.rib.CheckObject(o.ID); err != nil {
		return 0, recursionError(err, fmt.Sprintf("a route by nexthop id %d", o.ID))
	}
	return o.ID, nil
}

// object checks what a next-hop object is to be.
func (tx *Tx) object(ns *namespace, s *NextHopSpec) (*fib.Object, error) {
	o := &fib.Object{ID: s.ID, Protocol: s.Protocol, Blackhole: s.Blackhole, Members: s.Members, IPv6: s.IPv6}
	if s.Leg.Via.IsValid() {
		o.IPv6 = s.Leg.Via.Is6()
	}
	o.IPv6 = o.IPv6 && s.Members == nil
	hasLeg := s.Leg != LegSpec{}
	switch {
	case s.Members != nil && (hasLeg || s.Blackhole):
		return nil, fail(Invalid, "nexthop id %d: a group has no gateway or device of its own", s.ID)
	case s.Members != nil:
		return o, tx.checkMembers(ns, o)
	case s.Blackhole && hasLeg:
		return nil, fail(Invalid, "nexthop id %d: a blackhole has no gateway or device", s.ID)
	case s.Blackhole:
		return o, nil
	}
	var err error
	if d := ns.byName[s.Leg.Device]; d != nil && d.up && !tx.t.carrier(d) {
		return nil, fail(Refused, "Carrier for nexthop device is down: nexthop id %d dev %s", s.ID, d.name)
	}
	o.Leg, err = tx.leg(ns, &s.Leg, o.IPv6)
	if err == nil && !s.Leg.Via.IsValid() && s.Leg.OnLink {
		err = fail(Invalid, "nexthop id %d: onlink needs via ADDRESS", s.ID)
	}
	return o, err
}

// checkMembers checks a group: nh_check_attr_group and valid_group_nh of the kernel.
func (tx *Tx) checkMembers(ns *namespace, o *fib.Object) error {
	if len(o.Members) == 0 {
		return fail(Invalid, "nexthop id %d: a group needs members: group ID[,WEIGHT]/…", o.ID)
	}
	if len(o.Members) > fib.MaxHops {
		return fail(Invalid, "nexthop id %d has %d members: %d at most", o.ID, len(o.Members), fib.MaxHops)
	}
	for i, m := range o.Members {
		member := ns.rib.Object(m.ID)
		switch {
		case m.Weight < 1 || m.Weight > maxWeight:
			return fail(Invalid, "Invalid value for weight: %d of member %d, use 1 to %d", m.Weight, m.ID, maxWeight)
		case slices.ContainsFunc(o.Members[:i], func(other fib.Member) bool { return other.ID == m.ID }):
			return fail(Invalid, "Nexthop id can not be used twice in a group: %d", m.ID)
		case m.ID == o.ID:
			return fail(Invalid, "Invalid nexthop id: a group can not have itself as a member: %d", m.ID)
		case member == nil:
			return fail(NotFound, "Invalid nexthop id: there is no nexthop %d for the group", m.ID)
		case member.IsGroup():
			return fail(Invalid, "Multipath group can not be a nexthop within a group: %d", m.ID)
		case member.Blackhole && len(o.Members) > 1:
			return fail(Invalid, "Blackhole nexthop can not be used in a group with more than one path: %d", m.ID)
		}
	}
	return nil
}

// checkReplacement refuses what routes or groups that use the object could not follow: replace_nexthop of the kernel.
func (tx *Tx) checkReplacement(ns *namespace, old, o *fib.Object) error {
	switch {
	case old.IsGroup() && !o.IsGroup():
		return fail(Invalid, "Can not replace a nexthop group with a nexthop: id %d", o.ID)
	case !old.IsGroup() && o.IsGroup():
		return fail(Invalid, "Can not replace a nexthop with a nexthop group: id %d", o.ID)
	case o.Blackhole && !old.Blackhole:
		for _, g := range ns.rib.Objects() {
			if len(g.Members) > 1 && slices.ContainsFunc(g.Members, func(m fib.Member) bool { return m.ID == o.ID }) {
				return fail(Invalid, "Blackhole nexthop can not be used in a group with more than one path: %d in %d", o.ID, g.ID)
			}
		}
	}
	if ns.rib.CanSend(o, false) == ns.rib.CanSend(old, false) && ns.rib.CanSend(o, true) == ns.rib.CanSend(old, true) {
		return nil
	}
	for p, list := range ns.rib.From(netip.Prefix{}) {
		for _, r := range list {
			if ns.rib.Sends(r.Way, o.ID) && !ns.rib.CanSend(o, p.Addr().Is6()) {
				return fail(Invalid, "nexthop id %d is used by route %s, whose packets it could not send", o.ID, p)
			}
		}
	}
	return nil
}

// DeleteNextHop removes a next-hop object, the routes that use it, its memberships, and groups that were left without
// members.
func (tx *Tx) DeleteNextHop(namespace string, id fib.ObjectID) error {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return err
	}
	if learned := fib.ObjectOf(fib.FromKernel, id.Number()); ns.rib.Object(id) == nil && ns.rib.Object(learned) != nil {
		return originError(fib.FromKernel, fmt.Sprintf("nexthop id %d", id))
	}
	if ns.rib.Object(id) == nil {
		return fail(NotFound, "No such file or directory: there is no nexthop id %d (see nexthop show)", id)
	}
	tx.deleteObjects(ns, func(o *fib.Object) bool { return o.ID == id })
	return nil
}

// FlushNextHops removes the operator's next-hop objects that match. It returns how many.
func (tx *Tx) FlushNextHops(namespace string, match func(*NextHopInfo) bool) (int, error) {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return 0, err
	}
	return tx.deleteObjects(ns, func(o *fib.Object) bool {
		if o.ID.Origin().Learned() {
			return false
		}
		info := tx.t.nextHopInfo(ns, o)
		return match(&info)
	}), nil
}

// flushDeviceObjects removes the next-hop objects of a device: nexthop_flush_dev of the kernel. Learned ones stay while
// the device does.
func (tx *Tx) flushDeviceObjects(d *device, learned bool) {
	tx.deleteObjects(d.ns, func(o *fib.Object) bool {
		return o.Leg.Device == d.id && o.ID.Origin().Learned() == learned
	})
}

// deleteObjects removes objects and what hangs on them. It returns how many it chose.
func (tx *Tx) deleteObjects(ns *namespace, match func(*fib.Object) bool) int {
	gone := make(map[fib.ObjectID]bool)
	all := ns.rib.Objects()
	for _, o := range all {
		if match(o) {
			gone[o.ID] = true
		}
	}
	n := len(gone)
	if n == 0 {
		return 0
	}
	for _, o := range all {
		left := slices.DeleteFunc(slices.Clone(o.Members), func(m fib.Member) bool { return gone[m.ID] })
		switch {
		case gone[o.ID] || len(left) == len(o.Members):
		case len(left) == 0:
			gone[o.ID] = true // groups are in no groups
		default:
			less := *o
			less.Members = left
			tx.setObject(ns, o.ID, &less)
		}
	}
	used := false
	for id := range gone {
		used = used || ns.rib.Users(id) > 0
	}
	if used {
		tx.deleteRoutes(ns, func(r *fib.Route) bool { return gone[r.Object] })
	}
	for _, o := range all {
		if gone[o.ID] {
			tx.setObject(ns, o.ID, nil)
		}
	}
	return n
}

// setObject makes, replaces or (nil) removes an object: the primitive of all changes of objects.
func (tx *Tx) setObject(ns *namespace, id fib.ObjectID, o *fib.Object) {
	old := ns.rib.Object(id)
	ns.rib.SetObject(id, o)
	tx.onUndo(func() { ns.rib.SetObject(id, old) })
	tx.touchedIn(ns) // groups of ways are to be looked at
	stored := id.Origin() == fib.FromAPI
	if stored && old != nil {
		tx.operated(ns).all = true // routes that send by it follow
	}
	if o == nil {
		if stored {
			tx.remove(BucketNextHop, nextHopKey(ns.id, id))
		}
		tx.announceNextHop(ns, old, true)
		return
	}
	if stored {
		tx.put(BucketNextHop, nextHopKey(ns.id, id), encodeNextHop(o))
	}
	tx.announceNextHop(ns, o, false)
}

func (tx *Tx) announceNextHop(ns *namespace, o *fib.Object, deleted bool) {
	if e := tx.event(ns, NextHopEvent, deleted, false); e != nil {
		e.NextHop = new(tx.t.nextHopInfo(ns, o))
	}
}

func (t *Table) nextHopInfo(ns *namespace, o *fib.Object) NextHopInfo {
	info := NextHopInfo{Object: *o}
	if !o.IsGroup() && !o.Blackhole {
		info.Hop = t.hopInfo(ns, &o.Leg, fib.Unicast)
	}
	return info
}

// NextHops lists the next-hop objects of a namespace by id.
func (t *Table) NextHops(namespace string) ([]NextHopInfo, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	ns, err := t.namespace(namespace)
	if err != nil {
		return nil, err
	}
	var out []NextHopInfo
	for _, o := range ns.rib.Objects() {
		out = append(out, t.nextHopInfo(ns, o))
	}
	return out, nil
}
