package server

import (
	"errors"
	"fmt"
	"net/http"
	"sync"

	"connectrpc.com/connect"

	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
)

// This file is what callers without all rights may use of the daemon at once, so that none of them keeps the others out, and all
// of them together not root. Decoded, a message takes up to some fifty times the room that it had on its way.
const (
	maxConnections = 128 // of a share
	allConnections = 2048
	maxRequests    = 64 // of a share: monitors most of all, each of which has a buffer of events
	allRequests    = 1024
	maxBulk        = 4 // of a share: batches and loads
	allBulk        = 16

	maxMessage = 16 << 20 // bytes, of callers who have all rights
	// maxOthersBulk leaves room for what the client sends, which is half of it at most.
	maxOthersBulk    = 1 << 20
	maxOthersMessage = 64 << 10

	// What a load keeps until its end: its routes, and where all are put or none, the prefixes.
	maxOthersSpecs = 1 << 16
	maxOthersWhole = 1 << 21
)

// share is among whom callers are counted.
type share struct {
	kind shareKind
	id   uint64
}

// shareKind says by what callers are counted.
type shareKind uint8

const (
	ofStranger  shareKind = iota // all who have no right anywhere, together
	ofNamespace                  // all who may read the namespace that they are in, and are no owners: one process can be many users
	ofUser                       // an owner
)

func (s *Server) share(c *caller) share {
	switch _, inside := s.inside(c); {
	case c == nil:
		return share{}
	case s.table.OwnsAny(c.has):
		return share{ofUser, uint64(c.uid)}
	case inside:
		return share{ofNamespace, c.cookie}
	}
	return share{}
}

// tally counts what shares have at once. The zero value has counted nothing.
type tally struct {
	mu    sync.Mutex
	count map[share]int
	total int
}

// enter counts one more, unless there are as many as may be of the share or in all.
func (t *tally) enter(of share, limit, all int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count[of] >= limit || t.total >= all {
		return false
	}
	if t.count == nil {
		t.count = make(map[share]int)
	}
	t.count[of]++
	t.total++
	return true
}

func (t *tally) leave(of share) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.count[of]--; t.count[of] == 0 {
		delete(t.count, of)
	}
}

// enterConnection counts a connection until leave is called; false: there are enough.
func (s *Server) enterConnection(c *caller) (leave func(), ok bool) {
	if s.admin(c) {
		return func() {}, true
	}
	of := s.share(c)
	return func() { s.connections.leave(of) }, s.connections.enter(of, maxConnections, allConnections)
}

// admit lets requests in, before they are read: those of callers who have some right somewhere, and no more of a share at
// once than is fair.
func (s *Server) admit() http.Handler {
	all, bulk, others := s.serviceOf(maxMessage), s.serviceOf(maxOthersBulk), s.serviceOf(maxOthersMessage)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callerOf(r.Context())
		if s.admin(c) {
			all.ServeHTTP(w, r)
			return
		}
		if err := s.knows(c); err != nil {
			turnAway(w, r, err)
			return
		}
		of, count, limit, limitAll, next := s.share(c), &s.requests, maxRequests, allRequests, others
		if r.URL.Path == nsrouterv1connect.RouterServiceBatchProcedure ||
			r.URL.Path == nsrouterv1connect.RouterServiceLoadRoutesProcedure {
			count, limit, limitAll, next = &s.bulk, maxBulk, allBulk, bulk
		}
		if !count.enter(of, limit, limitAll) {
			turnAway(w, r, connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%s has %d such requests running,"+
				" or all who are not root have %d: wait until one has ended", c, limit, limitAll)))
			return
		}
		defer count.leave(of)
		next.ServeHTTP(w, r)
	})
}

// turnAway answers a request with an error, in the protocol of the request.
func turnAway(w http.ResponseWriter, r *http.Request, err error) {
	if writer := connect.NewErrorWriter(); writer.IsSupported(r) {
		_ = writer.Write(w, r, err) // who asked has gone, if it fails
		return
	}
	status := http.StatusForbidden
	var coded *connect.Error
	if errors.As(err, &coded) && coded.Code() == connect.CodeResourceExhausted {
		status = http.StatusTooManyRequests
	}
	http.Error(w, err.Error(), status)
}

// serviceOf is the service for messages of at most so many bytes.
func (s *Server) serviceOf(maxBytes int) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(nsrouterv1connect.NewRouterServiceHandler(s, connect.WithReadMaxBytes(maxBytes),
		connect.WithInterceptors(guard{s})))
	return mux
}
