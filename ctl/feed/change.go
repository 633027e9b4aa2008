package feed

import (
	"golang.org/x/sys/unix"

	"nsrouter/fib"
)

// changeKind is what a change is about.
type changeKind uint8

const (
	routeAdded changeKind = iota
	routeDeleted
	nexthopSet
	nexthopDeleted
)

// change is one message of Linux that concerns routes.
type change struct {
	kind  changeKind
	flags uint16 // of the message
	route
	nexthop *nexthop // of nexthopSet and nexthopDeleted
}

// batch is changes that are made together, in their order.
type batch struct {
	list []change
	legs []fib.Leg // of the list, one after the other
	// ownDeleted is called for each route of the router itself that is deleted; nil: nobody.
	ownDeleted func()
}

// maxBatch is how many changes are made together at most.
const maxBatch = 16 << 10

func (b *batch) full() bool { return len(b.list) >= maxBatch }

func (b *batch) reset() {
	clear(b.list)
	b.list, b.legs = b.list[:0], b.legs[:0]
}

// message takes up a message about routes or next-hop objects.
func (b *batch) message(m message) {
	switch m.kind {
	case unix.RTM_NEWROUTE:
		b.addRoute(routeAdded, m)
	case unix.RTM_DELROUTE:
		b.addRoute(routeDeleted, m)
	case unix.RTM_NEWNEXTHOP:
		b.addNexthop(nexthopSet, m)
	case unix.RTM_DELNEXTHOP:
		b.addNexthop(nexthopDeleted, m)
	}
}

func (b *batch) addRoute(kind changeKind, m message) {
	c := change{kind: kind, flags: m.flags}
	if !parseRoute(m.body, b.legs[len(b.legs):], &c.route) {
		return
	}
	if c.own {
		if kind == routeDeleted && b.ownDeleted != nil {
			b.ownDeleted()
		}
		return
	}
	n := len(c.way.Legs)
	b.legs = append(b.legs, c.way.Legs...)
	c.way.Legs = b.legs[len(b.legs)-n : len(b.legs) : len(b.legs)]
	b.list = append(b.list, c)
}

func (b *batch) addNexthop(kind changeKind, m message) {
	if n, ok := parseNexthop(m.body); ok {
		b.list = append(b.list, change{kind: kind, nexthop: &n})
	}
}
