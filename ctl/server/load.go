package server

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// load is a stream of routes being put.
type load struct {
	server *Server
	ctx    context.Context
	ns     string
	verb   v1.Verb
	op     fib.Op
	force  bool
	whole  bool
	answer *v1.LoadRoutesResponse
	done   uint64      // prefixes put or refused so far
	broken atomic.Bool // the stream ended badly
}

// loadPart is what one message asks for.
type loadPart struct {
	specs    []nstable.RouteSpec // all so far
	prefixes []routeOf
}

// routeOf is a prefix and which specification it has.
type routeOf struct {
	prefix netip.Prefix
	spec   uint32
}

// LoadRoutes puts many routes, a transaction for each message. While one is made, the next message is read.
func (s *Server) LoadRoutes(
	ctx context.Context, stream *connect.ClientStream[v1.LoadRoutesRequest],
) (*v1.LoadRoutesResponse, error) {
	l := &load{server: s, ctx: ctx, answer: &v1.LoadRoutesResponse{}}
	parts := make(chan loadPart, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		var all loadPart
		for part := range parts {
			if all.specs = part.specs; l.whole {
				all.prefixes = append(all.prefixes, part.prefixes...)
			} else if !l.put(&part) {
				return
			}
		}
		if l.whole && !l.broken.Load() {
			l.putAll(&all)
		}
	}()
	err := l.receive(ctx, stream, parts, ended)
	l.broken.Store(err != nil)
	close(parts)
	<-ended
	l.audit(ctx, err)
	if err != nil {
		return nil, apiError(err)
	}
	return l.answer, nil
}

// receive reads messages until the stream or the putting ends.
func (l *load) receive(
	ctx context.Context, stream *connect.ClientStream[v1.LoadRoutesRequest], parts chan<- loadPart, ended <-chan struct{},
) error {
	var specs []nstable.RouteSpec
	kept := 0
	for first := true; stream.Receive(); first = false {
		msg := stream.Msg()
		if first {
			if err := l.begin(ctx, msg); err != nil {
				return err
			}
		}
		for _, r := range msg.GetRoutes() {
			spec, err := routeSpec(r)
			if err != nil {
				return fmt.Errorf("route %d of the load: %w", len(specs), err)
			}
			specs = append(specs, spec)
		}
		prefixes, err := unpack(msg.GetPrefixes(), specs)
		if err != nil {
			return err
		}
		if l.whole {
			kept += len(prefixes)
		}
		if !l.server.admin(callerOf(ctx)) && (len(specs) > maxOthersSpecs || kept > maxOthersWhole) {
			return denied("a load that root does not make has at most %d routes that differ in more than their prefix, and is"+
				" not for all or nothing with more than %d prefixes", maxOthersSpecs, maxOthersWhole)
		}
		select {
		case parts <- loadPart{specs, prefixes}:
		case <-ended: // at a failure
			return nil
		}
	}
	return stream.Err()
}

func (l *load) begin(ctx context.Context, msg *v1.LoadRoutesRequest) error {
	l.ns, l.force, l.whole = l.server.namespace(ctx, msg.GetNetns()), msg.GetForce(), msg.GetWhole()
	op, ok := routeOp(msg.GetVerb())
	if !ok || op == fib.Change {
		return invalid("routes can be loaded with add, replace or append")
	}
	if l.force && l.whole {
		return invalid("a load is either forced or whole")
	}
	l.op, l.verb = op, msg.GetVerb()
	_, err := l.server.table.Namespace(l.ns)
	return err
}

var errPacked = errors.New("the packed prefixes are damaged")

// unpack reads packed prefixes: see LoadRoutesRequest.
func unpack(b []byte, specs []nstable.RouteSpec) ([]routeOf, error) {
	out := make([]routeOf, 0, len(b)/5)
	for len(b) > 0 {
		spec, n := binary.Uvarint(b)
		if n <= 0 || len(b) == n || spec >= uint64(len(specs)) {
			return nil, invalid("%v after %d: they name a route that was not sent, or end early", errPacked, len(out))
		}
		length := int(b[n])
		b = b[n+1:]
		is6 := specs[spec].Prefix.Addr().Is6()
		var addr [16]byte
		limit := 4
		if is6 {
			limit = 16
		}
		size := (length + 7) / 8
		if size > limit || size > len(b) {
			return nil, invalid("%v after %d: a length of %d bits does not fit", errPacked, len(out), length)
		}
		copy(addr[:], b[:size])
		b = b[size:]
		p := netip.PrefixFrom(netip.AddrFrom16(addr), length)
		if !is6 {
			p = netip.PrefixFrom(netip.AddrFrom4([4]byte(addr[:4])), length)
		}
		out = append(out, routeOf{p, uint32(spec)})
	}
	return out, nil
}

// put makes the routes of a part, each of which succeeds or fails alone. It returns false where the load ends at a
// failure.
func (l *load) put(part *loadPart) bool {
	n := len(part.prefixes)
	if n == 0 {
		return true
	}
	defer l.server.holdRights(l.ctx)()
	if err := l.judge(); err != nil {
		l.fail(l.done, err)
		return false
	}
	failed, err := l.server.table.Bulk(n, l.force, l.putter(part))
	if err != nil {
		l.fail(l.done, fmt.Errorf("%w (nor were the %d routes after it made)", err, n-1))
		return false
	}
	for _, f := range failed {
		l.fail(l.done+uint64(f.Index), named(f.Err, part.prefixes[f.Index].prefix))
	}
	l.answer.Applied += uint64(n - len(failed))
	l.done += uint64(n)
	if len(failed) > 0 && !l.force {
		l.answer.Applied -= uint64(n - 1 - failed[0].Index) // those after it were not tried
		return false
	}
	if len(l.answer.Failures) >= maxFailures {
		l.fail(l.done, fmt.Errorf("%d routes were refused: the load ends here", len(l.answer.Failures)))
		return false
	}
	return true
}

// judge refuses what the caller may not do any more since the message was read.
func (l *load) judge() error {
	return l.server.permit(l.ctx, l.server.procedures[nsrouterv1connect.RouterServiceLoadRoutesProcedure], l.ns)
}

// named is an error that names a prefix.
func named(err error, p netip.Prefix) error {
	if strings.Contains(err.Error(), p.String()) {
		return err
	}
	return fmt.Errorf("%s: %w", p, err)
}

// putter returns what puts the i-th route of a part.
func (l *load) putter(part *loadPart) func(tx *nstable.Tx, i int) error {
	loads := make([]*nstable.RouteLoad, len(part.specs))
	return func(tx *nstable.Tx, i int) (err error) {
		r := &part.prefixes[i]
		if loads[r.spec] == nil {
			if loads[r.spec], err = tx.LoadRoutes(l.op, l.ns, part.specs[r.spec]); err != nil {
				return err
			}
		}
		return loads[r.spec].Put(r.prefix)
	}
}

// putAll makes all routes, or none of them.
func (l *load) putAll(part *loadPart) {
	defer l.server.holdRights(l.ctx)()
	if err := l.judge(); err != nil {
		l.fail(0, err)
		return
	}
	at, put := 0, l.putter(part)
	err := l.server.table.Do(func(tx *nstable.Tx) error {
		for at = range part.prefixes {
			if err := put(tx, at); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		l.fail(uint64(at), err)
		return
	}
	l.answer.Applied = uint64(len(part.prefixes))
}

func (l *load) fail(index uint64, err error) {
	l.answer.Failures = append(l.answer.Failures, &v1.BatchFailure{Index: index, Message: l.server.words(l.ctx, err)})
}
