package client

import (
	"context"
	"encoding/binary"
	"net/netip"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// Loader sends the routes of a table over one stream: see LoadRoutes of the API. Errors of the daemon come with Finish.
// It has one user at a time.
type Loader struct {
	stream *connect.ClientStreamForClientSimple[v1.LoadRoutesRequest, v1.LoadRoutesResponse]
	part   *v1.LoadRoutesRequest
	routes uint32
	inPart int
	bytes  int // of the routes in part
	broken bool
}

// partSize is how many prefixes go into one message, and so into one transaction of the daemon.
const partSize = 32 << 10

// partBytes is how many bytes of routes go into one message: the daemon takes none above 1 MiB of those who are not root.
const partBytes = 256 << 10

// Refusal is what becomes of a load when a route is refused.
type Refusal uint8

// Refusals.
const (
	KeepBefore Refusal = iota // what came before stays
	GoOn                      // all others are put
	KeepNone                  // nothing is put, and nothing before Finish
)

// NewLoader begins to load routes into a namespace; verb is ADD, REPLACE or APPEND.
func (c *Client) NewLoader(ctx context.Context, netns string, verb v1.Verb, refusal Refusal) (*Loader, error) {
	stream, err := c.LoadRoutes(ctx)
	if err != nil {
		return nil, err
	}
	return &Loader{stream: stream, part: &v1.LoadRoutesRequest{
		Netns: netns, Verb: verb, Force: refusal == GoOn, Whole: refusal == KeepNone,
	}}, nil
}

// Route says what the prefixes to come have in common, by the number that it returns. Of r's own prefix the family counts.
func (l *Loader) Route(r *v1.RouteChange) uint32 {
	l.part.Routes = append(l.part.Routes, r)
	l.routes++
	if l.bytes += proto.Size(r); l.bytes >= partBytes {
		l.send()
	}
	return l.routes - 1
}

// Put sends a prefix, of the family of its route, sooner or later. It returns false once the daemon takes no more: then
// Finish tells why.
func (l *Loader) Put(route uint32, p netip.Prefix) bool {
	if l.broken {
		return false
	}
	b := binary.AppendUvarint(l.part.Prefixes, uint64(route))
	b = append(b, byte(p.Bits()))
	size := (p.Bits() + 7) / 8
	if p.Addr().Is4() {
		a := p.Addr().As4()
		b = append(b, a[:size]...)
	} else {
		a := p.Addr().As16()
		b = append(b, a[:size]...)
	}
	l.part.Prefixes = b
	if l.inPart++; l.inPart == partSize {
		l.send()
	}
	return !l.broken
}

func (l *Loader) send() {
	// Why it fails is told by the answer.
	l.broken = l.broken || l.stream.Send(l.part) != nil
	l.part = &v1.LoadRoutesRequest{Prefixes: l.part.Prefixes[:0]} // what was there is on its way as bytes
	l.inPart, l.bytes = 0, 0
}

// Finish sends what is left and waits until all routes are in use, and durable.
func (l *Loader) Finish() (*v1.LoadRoutesResponse, error) {
	l.send()
	return l.stream.CloseAndReceive()
}
