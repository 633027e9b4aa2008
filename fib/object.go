package fib

import (
	"cmp"
	"slices"
)

// Object is a next-hop object (ip-nexthop(8)): one leg, a blackhole, or a group of objects. An object in a [RIB] is never
// changed, only replaced.
type Object struct {
	ID        ObjectID
	Protocol  Protocol
	Blackhole bool
	Leg       Leg      // of an object that is neither a blackhole nor a group
	Members   []Member // of a group
	// IPv6 is the family, of the gateway or as it was said. A group has none.
	IPv6 bool
}

// Member is an object in a group.
type Member struct {
	ID     ObjectID
	Weight uint32 // at least 1
}

// IsGroup tells a group of objects.
func (o *Object) IsGroup() bool { return len(o.Members) > 0 }

// Object returns the object of an id, or nil.
func (b *RIB) Object(id ObjectID) *Object { return b.objects[id] }

// SetObject makes, replaces or (nil) removes the object of an id. Routes that use it follow with the next Install.
func (b *RIB) SetObject(id ObjectID, o *Object) {
	if old := b.objects[id]; old != nil {
		b.track([]Leg{old.Leg}, -1)
	}
	delete(b.objects, id)
	if o != nil {
		b.objects[id] = o
		b.track([]Leg{o.Leg}, 1)
	}
	b.Invalidate()
}

// NumObjects is how many objects there are.
func (b *RIB) NumObjects() int { return len(b.objects) }

// Objects lists the objects by id.
func (b *RIB) Objects() []*Object {
	out := make([]*Object, 0, len(b.objects))
	for _, o := range b.objects {
		out = append(out, o)
	}
	slices.SortFunc(out, func(a, b *Object) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// CanSend tells whether packets of a family can be sent by an object: IPv4 also by an IPv6 gateway (RFC 8950).
func (b *RIB) CanSend(o *Object, is6 bool) bool {
	if o.IsGroup() {
		return !slices.ContainsFunc(o.Members, func(m Member) bool {
			member := b.objects[m.ID]
			return member != nil && !b.CanSend(member, is6)
		})
	}
	if is6 {
		return o.IPv6
	}
	return !o.IPv6 || o.Blackhole || o.Leg.Gateway.IsValid()
}

// Users is how many ways send by an object, not counting those by a group that it is a member of.
func (b *RIB) Users(id ObjectID) int { return b.users[id] }

// legs are the legs of a way, those of its object included. Where packets are not sent anywhere, hop says what becomes of
// them.
func (b *RIB) legs(w *Way) (legs []Leg, hop *NextHop) {
	switch w.Kind {
	case Blackhole, Unreachable, Prohibit, Throw:
		return nil, &NextHop{Kind: w.Kind}
	case Netns:
		return nil, &NextHop{Kind: Netns, Gateway: Addr{Hi: netnsMark, Lo: uint64(w.Netns)}, MTU: w.MTU, Source4: w.source4()}
	}
	o := b.objects[w.Object]
	switch {
	case w.Object == 0:
		return w.Legs, nil
	case o == nil:
		return nil, nil
	case o.Blackhole:
		return nil, &NextHop{Kind: Blackhole}
	case !o.IsGroup():
		return []Leg{o.Leg}, nil
	}
	for _, m := range o.Members {
		member := b.objects[m.ID]
		if member == nil {
			continue
		}
		if member.Blackhole { // alone in its group
			return nil, &NextHop{Kind: Blackhole}
		}
		l := member.Leg
		l.Weight = m.Weight
		legs = append(legs, l)
	}
	return legs, nil
}

// Legs are the legs that a way sends by: its own, or those of its next-hop object. The list must not be changed.
func (b *RIB) Legs(w *Way) []Leg {
	legs, _ := b.legs(w)
	return legs
}

// FreeObject is the lowest id that no object has.
func (b *RIB) FreeObject() ObjectID {
	id := ObjectID(1)
	for b.objects[id] != nil {
		id++
	}
	return id
}
