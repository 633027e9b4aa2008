package feed

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// maxExported is how many routes of the operator Linux is given in a namespace: they take the kernel's memory, whoever may
// make them.
const maxExported = 100_000

// maxPending is how many prefixes are looked at one by one; beyond, all are.
const maxPending = 16 << 10

// exportRetry is when what Linux did not take is tried again; at once where a link comes up.
const exportRetry = time.Second

// pending is what the exporter is asked for. Any goroutine.
type pending struct {
	mu       sync.Mutex
	prefixes map[netip.Prefix]struct{}
	all      bool
	busy     bool            // some was taken, and is not done
	waiters  []chan struct{} // closed when nothing is pending
}

// maxAwaited is how many prefixes somebody waits for: those that a person has typed.
const maxAwaited = 64

// settled is closed when Linux has what is pending now; nil: it has, or it is more than anybody should wait for.
func (q *pending) settled() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.all || len(q.prefixes) > maxAwaited || len(q.prefixes) == 0 && !q.busy {
		return nil
	}
	w := make(chan struct{})
	q.waiters = append(q.waiters, w)
	return w
}

// finish says that what was taken is done.
func (q *pending) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
	if len(q.prefixes) > 0 && !q.all {
		return
	}
	for _, w := range q.waiters {
		close(w)
	}
	q.waiters = nil
}

func (q *pending) add(prefixes []netip.Prefix, all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = q.all || all || len(q.prefixes)+len(prefixes) > maxPending
	if q.all {
		q.prefixes = nil
		return
	}
	if q.prefixes == nil {
		q.prefixes = make(map[netip.Prefix]struct{})
	}
	for _, p := range prefixes {
		q.prefixes[p] = struct{}{}
	}
}

func (q *pending) take() (prefixes map[netip.Prefix]struct{}, all bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	prefixes, all = q.prefixes, q.all
	q.prefixes, q.all = nil, false
	q.busy = len(prefixes) > 0
	return prefixes, all
}

// exporter writes the operator's routes into Linux. All but pending is of the space's run.
type exporter struct {
	space *space
	pending

	// written are the bodies of the routes that Linux has of the router, by prefix.
	written map[netip.Prefix][]string
	count   int
	retry   time.Time // zero: there is nothing to try again
	again   bool      // with retry: all, not only those refused
	// earliest is before when not all are compared again: that takes a fifth of the time at most.
	earliest time.Time
	// deleting is how many messages of own deletions are to be heard. More than these are somebody else's.
	deleting int
	// excess counts the routes that were left out, fault is the first refusal of the kernel; since the last whole export.
	excess  int
	fault   error
	refused map[netip.Prefix]struct{}
	told    string
	buffer  []byte
	wrote   int // routes that Linux took
}

// export brings Linux up to date with what is pending, and is false if there was nothing.
func (e *exporter) export() bool {
	prefixes, all := e.take()
	defer e.finish()
	now := time.Now()
	if !e.retry.IsZero() && !now.Before(e.retry) {
		all = all || e.again
		if prefixes == nil {
			prefixes = e.refused
		} else {
			maps.Copy(prefixes, e.refused)
		}
		e.retry, e.again, e.refused = time.Time{}, false, nil
	}
	if all && now.Before(e.earliest) {
		e.again, all = true, false
		e.retryAt(e.earliest)
	}
	if !all && len(prefixes) == 0 {
		return false
	}
	e.buffer = make([]byte, dumpBuffer)
	var err error
	if all {
		if err = e.whole(); err != nil {
			e.again = true
			e.retryAt(now.Add(exportRetry))
		}
		done := time.Now()
		e.earliest = done.Add(resyncShare * done.Sub(now))
	}
	for p := range prefixes {
		e.show(p, e.space.server.o.Table.OperatorRoutesOf(e.space.ns, p))
	}
	e.buffer = nil
	e.report(err)
	return true
}

// retryAt has what is in refused, and with again all, tried again at a time, or before.
func (e *exporter) retryAt(at time.Time) {
	if e.retry.IsZero() || at.Before(e.retry) {
		e.retry = at
	}
}

// refuse notes that Linux is not as it is to be for a prefix.
func (e *exporter) refuse(p netip.Prefix, err error) {
	if e.refused == nil {
		e.refused = make(map[netip.Prefix]struct{})
	}
	e.refused[p] = struct{}{}
	e.fault = err
	e.retryAt(time.Now().Add(exportRetry))
}

// whole compares all that the operator has with what Linux has of the router.
func (e *exporter) whole() error {
	written := make(map[netip.Prefix][]string)
	count := 0
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		body := make([]byte, unix.SizeofRtMsg)
		body[0], body[4], body[5] = family, unix.RT_TABLE_MAIN, byte(Protocol)
		again := func() {
			for p := range written {
				if p.Addr().Is6() == (family == unix.AF_INET6) {
					count -= len(written[p])
					delete(written, p)
				}
			}
		}
		var r route
		err := e.space.dump(unix.RTM_GETROUTE, body, e.buffer, again, func(m message) error {
			if parseRoute(m.body, nil, &r) && r.own {
				written[r.prefix] = append(written[r.prefix], exported(&r))
				count++
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the router's routes in Linux: %w", err)
		}
	}
	e.written, e.count, e.excess, e.refused, e.fault = written, count, 0, nil, nil
	seen := make(map[netip.Prefix]bool)
	var last []nstable.RouteInfo
	show := func() {
		if len(last) > 0 {
			seen[last[0].Prefix] = true
			e.show(last[0].Prefix, last)
		}
	}
	err := e.space.server.o.Table.Routes(e.space.ns.Name(), nstable.RouteRange{}, func(i *nstable.RouteInfo) error {
		switch {
		case i.Origin != fib.FromAPI:
			return nil
		case e.space.closed.Load():
			return errors.New("closed")
		case len(last) > 0 && last[0].Prefix != i.Prefix:
			show()
			last = last[:0]
		}
		last = append(last, *i)
		return nil
	})
	if err != nil {
		return err
	}
	show()
	for p := range written {
		if !seen[p] {
			e.show(p, e.space.server.o.Table.OperatorRoutesOf(e.space.ns, p)) // it may have come meanwhile
		}
	}
	return nil
}

// exported is how a route of Linux looks when it is written again.
func exported(r *route) string {
	w := r.way
	if r.prefix.Addr().Is6() {
		sortLegs(w.Legs)
	}
	return string(appendRoute(nil, r.prefix, &w))
}

// show makes the routes that Linux has of the router for a prefix those of the operator, as far as it can have them: the
// first of each metric.
func (e *exporter) show(p netip.Prefix, routes []nstable.RouteInfo) {
	if e.count >= maxExported && len(e.written[p]) == 0 {
		e.excess += len(routes)
		return
	}
	var want []string
	metrics := make(map[uint32]bool)
	for i := range routes {
		r := &routes[i]
		if metrics[r.Metric] {
			continue
		}
		metrics[r.Metric] = true
		if w, ok := e.way(r); ok {
			want = append(want, exported(&route{prefix: p, way: w}))
		}
	}
	for _, body := range slices.Clone(e.written[p]) {
		if !slices.Contains(want, body) {
			e.remove(p, body)
		}
	}
	for _, body := range want {
		if !slices.Contains(e.written[p], body) {
			e.write(p, body)
		}
	}
}

// way is what Linux is told of a route, if it can have it: not where the gateway is to be looked up among routes, or the
// route leads into another namespace.
func (e *exporter) way(r *nstable.RouteInfo) (fib.Way, bool) {
	w := fib.Way{Kind: r.Kind, Protocol: Protocol, Metric: r.Metric, MTU: r.MTU, Source: r.Source}
	if r.Prefix.Addr().Is6() {
		w.Metric = max(w.Metric, 1)
	}
	if r.Kind >= fib.Netns || r.InLocalTable() {
		return w, false
	}
	if r.Kind != fib.Unicast {
		return w, true
	}
	for _, h := range r.Hops {
		index := e.space.indexOf(h.Device)
		if h.Recursive || index == 0 {
			return w, false
		}
		w.Legs = append(w.Legs, fib.Leg{
			Gateway: h.Gateway, Device: fib.DeviceID(index), Weight: min(h.Weight, maxHopWeight),
			OnLink: h.Gateway.IsValid(), // the router has judged that
		})
		if w.Scope = fib.ScopeUniverse; !h.Gateway.IsValid() && r.Prefix.Addr().Is4() {
			w.Scope = fib.ScopeLink
		}
	}
	return w, len(w.Legs) > 0
}

// maxHopWeight is the largest that struct rtnexthop has room for.
const maxHopWeight = 256

func (e *exporter) write(p netip.Prefix, body string) {
	if e.count >= maxExported {
		e.excess++
		return
	}
	err := e.space.asker.request(unix.RTM_NEWROUTE, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL, []byte(body), e.buffer)
	if err == nil {
		e.written[p] = append(e.written[p], body)
		e.count++
		e.wrote++
		return
	}
	if errors.Is(err, unix.EEXIST) {
		return // somebody in Linux has one of that metric, which stays his
	}
	// The TAP is down, or not there yet, or the preferred source is not.
	e.refuse(p, fmt.Errorf("route %s: %w", p, err))
}

func (e *exporter) remove(p netip.Prefix, body string) {
	switch err := e.space.asker.request(unix.RTM_DELROUTE, unix.NLM_F_ACK, []byte(body), e.buffer); {
	case err == nil:
		e.deleting++
	case !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV): // else it went with its link
		e.refuse(p, fmt.Errorf("delete route %s: %w", p, err))
		return
	}
	left := slices.DeleteFunc(e.written[p], func(s string) bool { return s == body })
	e.count--
	if e.written[p] = left; len(left) == 0 {
		delete(e.written, p)
	}
}

// hear takes up that a route of the router was deleted in Linux. If it was not by the router, all are looked at.
func (e *exporter) hear() {
	if e.deleting > 0 {
		e.deleting--
		return
	}
	e.add(nil, true)
}

// report logs why Linux does not have all routes, once until that changes.
func (e *exporter) report(err error) {
	text := ""
	switch {
	case err != nil:
		text = err.Error()
	case e.excess > 0:
		text = fmt.Sprintf("there are %d more than the %d that Linux is given in a namespace", e.excess, maxExported)
	case len(e.refused) > maxRefused:
		text = e.fault.Error()
	}
	if text != "" && text != e.told {
		e.space.log().Warn("programs in the namespace do not have all routes of the operator", zap.String("reason", text))
	}
	e.told = text
}

// maxRefused is how many routes the kernel may refuse without a word: those by a TAP that is about to come up.
const maxRefused = 1024
