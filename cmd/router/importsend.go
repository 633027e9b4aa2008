package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/client"
)

// importSender takes the routes of an import to the daemon, which may refuse one long after it was sent, and takes none
// after that.
type importSender struct {
	*client.Loader

	spec    *importSpec
	numbers [2]map[target]uint32 // of the loader's routes, by family (0: IPv4) and what they are sent to
}

func (c *cli) newImportSender(ctx context.Context, s *importSpec) (*importSender, error) {
	refusal := client.KeepNone
	if s.partial {
		refusal = client.KeepBefore
	}
	loader, err := c.client.NewLoader(ctx, c.netns, v1.Verb_VERB_REPLACE, refusal)
	return &importSender{
		Loader: loader, spec: s, numbers: [2]map[target]uint32{make(map[target]uint32), make(map[target]uint32)},
	}, err
}

// put sends a route. It returns false once the daemon takes no more: then Finish tells why.
func (i *importSender) put(p netip.Prefix, to target) bool {
	numbers := i.numbers[familyOf(p)]
	number, known := numbers[to]
	if !known {
		r := &v1.RouteChange{
			Prefix: defaultPrefix(v1.Family_FAMILY_IPV4), Dev: to.dev, Nhid: to.nhid, Metric: i.spec.metric,
			Protocol: i.spec.protocol,
		}
		if p.Addr().Is6() {
			r.Prefix = defaultPrefix(v1.Family_FAMILY_IPV6)
		}
		if to.via.IsValid() {
			r.Gateway = to.via.String()
		}
		number = i.Route(r)
		numbers[to] = number
	}
	return i.Put(number, p)
}

// applyImport sends the routes of a table. It returns how many were applied.
func (c *cli) applyImport(ctx context.Context, s *importSpec, t *importTable, bar *progress) (uint64, error) {
	n := 0
	answer, err := c.sendImport(ctx, s, t, &n, bar)
	switch {
	case ctx.Err() != nil:
		if !s.partial {
			return 0, fmt.Errorf("interrupted: all of the %s were applied, or none", routeCount(t.routes.Len()))
		}
		return 0, fmt.Errorf("interrupted: up to %d of %s were applied", n, routeCount(t.routes.Len()))
	case err != nil:
		return 0, err
	case len(answer.Failures) > 0:
		return 0, t.refused(answer)
	}
	return answer.Applied, nil
}

// sendImport counts in n what it has sent.
func (c *cli) sendImport(
	ctx context.Context, s *importSpec, t *importTable, n *int, bar *progress,
) (*v1.LoadRoutesResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sender, err := c.newImportSender(ctx, s)
	if err != nil {
		return nil, err
	}
	for r := range t.routes.All() {
		if !sender.put(r.Prefix, t.targets[r.ID]) {
			break
		}
		if *n++; *n%checkEvery == 0 {
			bar.show("applying", *n, part(int64(*n), int64(t.routes.Len())))
		}
	}
	return sender.Finish()
}

// refused tells which route was refused.
func (t *importTable) refused(answer *v1.LoadRoutesResponse) error {
	first := answer.Failures[0]
	n := first.Index
	for r := range t.routes.All() {
		if n == 0 {
			where := fmt.Sprintf("%s: %s: %s", t.where(r.Pos), r.Prefix, first.Message)
			if answer.Applied == 0 {
				return fmt.Errorf("%s (nothing was applied; \"partial\" applies what comes before)", where)
			}
			return fmt.Errorf("%s (%d of %d routes were applied)", where, answer.Applied, t.routes.Len())
		}
		n--
	}
	return errors.New(first.Message)
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
	stream, err := c.client.Batch(ctx)
	if err != nil {
		return 0, err
	}
	for part := range slices.Chunk(stale, chunk) {
		if stream.Send(&v1.BatchRequest{Changes: part}) != nil {
			break // the answer tells why
		}
	}
	done, err := stream.CloseAndReceive()
	switch {
	case err != nil:
		return 0, err
	case len(done.Failures) > 0:
		return done.Applied, fmt.Errorf(
			"%s (%d of %d routes that the file does not have were removed, and all of its own are applied)",
			done.Failures[0].Message, done.Applied, len(stale))
	}
	return done.Applied, nil
}

// staleRoutes are the deletions of the routes that are not to be kept.
func (c *cli) staleRoutes(ctx context.Context, s *importSpec, keep *bart.Lite) ([]*v1.ChangeRequest, error) {
	stream, err := c.client.ListRoutes(ctx, &v1.ListRoutesRequest{
		Netns: c.netns, Filter: &v1.RouteFilter{Family: s.family, Protocol: s.protocol, Metric: s.metric},
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	var stale []*v1.ChangeRequest
	for stream.Receive() {
		for _, r := range stream.Msg().Routes {
			if p, err := netip.ParsePrefix(r.Prefix); err == nil && !keep.Get(p) {
				route := &v1.RouteChange{
					Verb: v1.Verb_VERB_DELETE, Prefix: r.Prefix, Metric: &r.Metric, Protocol: s.protocol,
				}
				stale = append(stale, &v1.ChangeRequest{Netns: c.netns, Op: &v1.ChangeRequest_Route{Route: route}})
			}
		}
	}
	return stale, stream.Err()
}
