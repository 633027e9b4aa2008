package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"connectrpc.com/connect"
	"github.com/gaissmai/bart"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// routeSender takes the routes of an import to the daemon, which may refuse one long after it was sent, and takes none after that.
type routeSender interface {
	// put sends a route that is made or replaced. io.EOF says that the daemon takes no more: finish tells why.
	put(p netip.Prefix, to target) error
	// finish waits until what was sent is applied.
	finish() (sent, error)
}

// sent is what became of the routes that were sent.
type sent struct {
	applied uint64
	refused *v1.BatchFailure // the first that was refused, counted from 0
}

// newRouteSender begins to send routes. The context ends it.
func (c *cli) newRouteSender(ctx context.Context, s *importSpec) (routeSender, error) {
	return c.newBatchSender(ctx, s)
}

// batchSender sends over the API's stream of changes of any kind.
type batchSender struct {
	netns   string
	spec    *importSpec
	stream  *connect.ClientStreamForClientSimple[v1.BatchRequest, v1.BatchResponse]
	changes []*v1.ChangeRequest
}

func (c *cli) newBatchSender(ctx context.Context, s *importSpec) (*batchSender, error) {
	stream, err := c.client.Batch(ctx)
	return &batchSender{netns: c.netns, spec: s, stream: stream}, err
}

func (b *batchSender) put(p netip.Prefix, to target) error {
	if to.nhid != 0 {
		return usagef("\"nhid\" is not supported yet")
	}
	r := &v1.RouteChange{
		Verb: v1.Verb_VERB_REPLACE, Prefix: p.String(), Dev: to.dev, Metric: b.spec.metric, Protocol: b.spec.protocol,
	}
	if to.via.IsValid() {
		r.Gateway = to.via.String()
	}
	return b.change(r)
}

func (b *batchSender) change(r *v1.RouteChange) error {
	b.changes = append(b.changes, &v1.ChangeRequest{Netns: b.netns, Op: &v1.ChangeRequest_Route{Route: r}})
	if len(b.changes) < chunk {
		return nil
	}
	return b.flush()
}

func (b *batchSender) flush() error {
	err := b.stream.Send(&v1.BatchRequest{Changes: b.changes})
	b.changes = b.changes[:0] // it is on its way as bytes
	return err
}

func (b *batchSender) finish() (sent, error) {
	if len(b.changes) > 0 {
		if err := b.flush(); err != nil && !errors.Is(err, io.EOF) {
			return sent{}, err
		}
	}
	answer, err := b.stream.CloseAndReceive()
	if err != nil {
		return sent{}, err
	}
	out := sent{applied: answer.Applied}
	if len(answer.Failures) > 0 {
		out.refused = answer.Failures[0]
	}
	return out, nil
}

// applyImport sends the routes of a table. It returns how many were applied.
func (c *cli) applyImport(ctx context.Context, s *importSpec, t *importTable, bar *progress) (uint64, error) {
	n := 0
	done, err := c.sendImport(ctx, s, t, &n, bar)
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("interrupted: up to %d of %d routes were applied", n, t.routes.Len())
	case err == nil && done.refused != nil:
		return 0, t.refused(done)
	}
	return done.applied, err
}

// sendImport counts in n what it has sent.
func (c *cli) sendImport(ctx context.Context, s *importSpec, t *importTable, n *int, bar *progress) (sent, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sender, err := c.newRouteSender(ctx, s)
	if err != nil {
		return sent{}, err
	}
	for r := range t.routes.All() {
		if err = sender.put(r.Prefix, t.targets[r.ID]); err != nil {
			break
		}
		if *n++; *n%checkEvery == 0 {
			bar.show("applying", *n, part(int64(*n), int64(t.routes.Len())))
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return sent{}, err
	}
	return sender.finish()
}

// refused tells which route was refused.
func (t *importTable) refused(done sent) error {
	n := done.refused.Index
	for r := range t.routes.All() {
		if n == 0 {
			return fmt.Errorf("%s: %s: %s (%d of %d routes were applied)",
				t.where(r.Pos), r.Prefix, done.refused.Message, done.applied, t.routes.Len())
		}
		n--
	}
	return errors.New(done.refused.Message)
}

// pruneImport deletes the routes of the import's protocol that are not in the table. It returns how many.
func (c *cli) pruneImport(ctx context.Context, s *importSpec, t *importTable) (uint64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var keep bart.Lite
	for r := range t.routes.All() {
		keep.Insert(r.Prefix)
	}
	stale, err := c.staleRoutes(ctx, s, &keep)
	if err != nil || len(stale) == 0 {
		return 0, err
	}
	b, err := c.newBatchSender(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, r := range stale {
		if err = b.change(r); err != nil {
			break
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	done, err := b.finish()
	if err == nil && done.refused != nil {
		err = fmt.Errorf("%s (%d of %d routes that the file does not have were removed, and all of its own are applied)",
			done.refused.Message, done.applied, len(stale))
	}
	return done.applied, err
}

// staleRoutes are the deletions of the routes that are not to be kept.
func (c *cli) staleRoutes(ctx context.Context, s *importSpec, keep *bart.Lite) ([]*v1.RouteChange, error) {
	stream, err := c.client.ListRoutes(ctx, &v1.ListRoutesRequest{
		Netns: c.netns, Filter: &v1.RouteFilter{Family: s.family, Protocol: s.protocol, Metric: s.metric},
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	var stale []*v1.RouteChange
	for stream.Receive() {
		for _, r := range stream.Msg().Routes {
			if p, err := netip.ParsePrefix(r.Prefix); err == nil && !keep.Get(p) {
				stale = append(stale, &v1.RouteChange{
					Verb: v1.Verb_VERB_DELETE, Prefix: r.Prefix, Metric: &r.Metric, Protocol: s.protocol,
				})
			}
		}
	}
	return stale, stream.Err()
}
