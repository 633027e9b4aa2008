package main

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/client"
)

// A routing table is a batch of many routes of which few differ in more than their prefix. Where many routes of one
// verb follow each other, the further ones are sent as a load, which says all but the prefix once.

const (
	// minRun is how many routes have to follow each other before a load begins, which waits for what was before it.
	minRun = 512
	// maxTemplates is how many routes that differ in more than their prefix one load has at most.
	maxTemplates = 4096
)

// runKey is what the routes of a load have in common.
type runKey struct {
	netns string
	verb  v1.Verb
}

// routeLoad is a load being sent. Routes without their prefix are its templates.
type routeLoad struct {
	*client.Loader
	runKey

	byContent map[string]uint32 // number of a template by what it says
	// byText has the numbers by the text behind the prefix, of lines that begin with head, for IPv4 and IPv6.
	byText [2]map[string]uint32
	head   string

	lines []int // of all prefixes: where they were read
}

func newRouteLoad(ctx context.Context, c *cli, key runKey) (*routeLoad, error) {
	refusal := client.KeepBefore
	if c.force {
		refusal = client.GoOn
	}
	loader, err := c.client.NewLoader(ctx, key.netns, key.verb, refusal)
	if err != nil {
		return nil, err
	}
	return &routeLoad{
		Loader: loader, runKey: key, byContent: make(map[string]uint32),
		byText: [2]map[string]uint32{make(map[string]uint32), make(map[string]uint32)},
	}, nil
}

// loadText adds the route of a line without taking it apart, if it is like one before it.
func (q *queue) loadText(text string) (known bool, err error) {
	l := q.load
	if l == nil || l.head == "" || !strings.HasPrefix(text, l.head) {
		return false, nil
	}
	word, tail, _ := strings.Cut(text[len(l.head):], " ")
	p, ok := loadPrefix(word)
	if !ok {
		return false, nil
	}
	template, ok := l.byText[familyOf(p)][tail]
	if !ok {
		return false, nil
	}
	return true, q.loadRoute(p, template)
}

// loadChange adds a route to the load, if there is one that takes it.
func (q *queue) loadChange(ctx context.Context, req *v1.ChangeRequest) (known bool, err error) {
	if q.load == nil {
		return false, nil
	}
	key, p, ok := loadable(req)
	if !ok || q.load.runKey != key {
		return false, nil
	}
	if len(q.load.byContent) == maxTemplates {
		if err := q.endLoad(); err != nil {
			return true, err
		}
		if q.load, err = newRouteLoad(ctx, q.c, key); err != nil {
			return true, err
		}
	}
	template := q.load.template(req.GetRoute(), p)
	q.load.learn(q.text, p, template)
	return true, q.loadRoute(p, template)
}

// countRun counts routes that follow each other, of which req is the last, and begins a load after many.
func (q *queue) countRun(ctx context.Context, req *v1.ChangeRequest) error {
	key, _, ok := loadable(req)
	if !ok || key != q.run {
		q.run, q.runLength = key, 0
	}
	if !ok {
		return nil
	}
	if q.runLength++; q.runLength < minRun {
		return nil
	}
	q.runLength = 0
	if err := q.finishChanges(ctx); err != nil {
		return err
	}
	var err error
	q.load, err = newRouteLoad(ctx, q.c, key)
	return err
}

// loadable tells what a load can say, and of which load and with which prefix.
func loadable(req *v1.ChangeRequest) (key runKey, p netip.Prefix, ok bool) {
	r := req.GetRoute()
	switch r.GetVerb() {
	case v1.Verb_VERB_ADD, v1.Verb_VERB_REPLACE, v1.Verb_VERB_APPEND:
	default:
		return key, p, false
	}
	// What the daemon refuses without looking at its state would end a load, and not tell the line.
	one := r.Gateway != "" || r.Dev != "" || r.Onlink
	if one && len(r.Nexthops) > 0 || isMapped(r.Gateway) || isMapped(r.Src) ||
		slices.ContainsFunc(r.Nexthops, func(h *v1.RouteHop) bool { return isMapped(h.Gateway) }) {
		return key, p, false
	}
	p, ok = loadPrefix(r.Prefix)
	return runKey{req.Netns, r.Verb}, p, ok
}

// isMapped tells an IPv4-mapped IPv6 address.
func isMapped(addr string) bool { return strings.HasPrefix(addr, "::ffff:") }

// loadPrefix reads a prefix. Of one with host bits, which IPv4 refuses, a load has no form.
func loadPrefix(s string) (netip.Prefix, bool) {
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return p, false
	}
	masked := p.Masked()
	return masked, masked == p || p.Addr().Is6()
}

// familyOf is 0 for IPv4, 1 for IPv6.
func familyOf(p netip.Prefix) int {
	if p.Addr().Is6() {
		return 1
	}
	return 0
}

// template returns the number of the template of a route, which becomes the load's.
func (l *routeLoad) template(r *v1.RouteChange, p netip.Prefix) uint32 {
	family := v1.Family_FAMILY_IPV4
	if p.Addr().Is6() {
		family = v1.Family_FAMILY_IPV6
	}
	r.Prefix = defaultPrefix(family)
	content, _ := proto.MarshalOptions{Deterministic: true}.Marshal(r) // a line is UTF-8
	n, ok := l.byContent[string(content)]
	if !ok {
		n = l.Route(r)
		l.byContent[string(content)] = n
	}
	return n
}

// learn remembers what a line of the usual form says behind its prefix, which is the third word.
func (l *routeLoad) learn(text string, p netip.Prefix, template uint32) {
	first := strings.IndexByte(text, ' ') + 1
	second := strings.IndexByte(text[first:], ' ') + 1
	word, tail, _ := strings.Cut(text[first+second:], " ")
	if same, ok := loadPrefix(word); !ok || same != p {
		return
	}
	if head := text[:first+second]; l.head != head {
		l.head = strings.Clone(head)
		clear(l.byText[0])
		clear(l.byText[1])
	}
	texts := l.byText[familyOf(p)]
	if len(texts) < maxTemplates {
		texts[strings.Clone(tail)] = template
	}
}

// loadRoute adds a route to the load.
func (q *queue) loadRoute(p netip.Prefix, template uint32) error {
	q.load.lines = append(q.load.lines, q.line)
	if !q.load.Put(template, p) {
		return q.endLoad() // which tells why the daemon ended it
	}
	return nil
}

// endLoad waits until all routes of the load are made, and reports those that failed.
func (q *queue) endLoad() error {
	l := q.load
	if l == nil {
		return nil
	}
	q.load = nil
	answer, err := l.Finish()
	if err != nil {
		return err
	}
	return q.reportAll(answer.Failures, l.lines)
}
