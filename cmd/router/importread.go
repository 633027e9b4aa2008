package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"nsrouter/ctl/tabledump"
)

// maxImport bounds the routes of one import, and with it the memory: about ten bytes each.
const maxImport = 1 << 24

// importTable is a file that was read, before any of it is applied.
type importTable struct {
	routes  tabledump.Store
	targets []target // by the ID of a stored route
	read    int
	skipped int
	damage  error // what is wrong with the file after these routes
	where   func(pos int64) string
}

// importReader fills a table.
type importReader struct {
	*importTable
	spec *importSpec
	mrt  bool
	ids  map[target]uint32
}

// checkEvery is after how many routes it is looked whether to go on, and what progress there is.
const checkEvery = 1 << 12

// readImport reads the whole file.
func (c *cli) readImport(ctx context.Context, s *importSpec, bar *progress) (*importTable, error) {
	in, size, closing, err := c.openImport(ctx, s.file)
	if err != nil {
		return nil, err
	}
	defer closing()
	r, err := tabledump.NewReader(s.file, in, s.options)
	if err != nil {
		return nil, interrupted(ctx, err)
	}
	t := &importReader{
		importTable: &importTable{where: r.Where}, spec: s, mrt: r.IsMRT(), ids: make(map[target]uint32),
	}
	var route tabledump.Route
	for !t.full() {
		if err = r.Next(&route); err != nil {
			break
		}
		if t.read++; t.read%checkEvery == 0 {
			if ctx.Err() != nil {
				break
			}
			bar.show("reading", t.read, part(r.BytesRead(), size))
		}
		if err := t.add(&route); err != nil {
			return nil, err
		}
	}
	var damage *tabledump.Error
	switch {
	case ctx.Err() != nil:
		return nil, interrupted(ctx, err)
	case errors.As(err, &damage):
		t.damage = err
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	}
	t.read, t.skipped = t.read+r.Skipped(), t.skipped+r.Skipped()
	if t.routes.Len() > maxImport {
		return nil, fmt.Errorf("%s has more than %d routes: take fewer with \"limit\", -4 or -6", s.file, maxImport)
	}
	return t.importTable, nil
}

// full tells that no more routes are wanted.
func (t *importReader) full() bool {
	n := t.routes.Len()
	return n > maxImport || t.spec.limit > 0 && n >= t.spec.limit
}

// add keeps a route, or skips it. A prefix of an MRT dump without a next hop that could be used is the collector's own; in a list
// the next hop was forgotten.
func (t *importReader) add(r *tabledump.Route) error {
	if !fits(t.spec.family, r.Prefix.Addr()) {
		t.skipped++
		return nil
	}
	to := t.spec.target(r.NextHop)
	switch {
	case to == (target{}) && t.mrt:
		t.skipped++
		return nil
	case to == (target{}):
		return fmt.Errorf("%s: %s has no next hop: give one for all such routes with \"via ADDR\", \"dev NAME\" or \"nhid ID\"",
			t.where(r.Pos), r.Prefix)
	case to.via.Is4() && r.Prefix.Addr().Is6():
		return fmt.Errorf("%s: %s cannot go via %s: take one family alone with -4 or -6, or \"map\" the next hops of each",
			t.where(r.Pos), r.Prefix, to.via)
	}
	id, known := t.ids[to]
	if !known {
		id = uint32(len(t.targets))
		t.ids[to], t.targets = id, append(t.targets, to)
	}
	t.routes.Add(tabledump.Stored{Prefix: r.Prefix, ID: id, Pos: r.Pos})
	return nil
}

// interrupted is the reason why nothing was read: err, or that the context is done.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted: nothing was applied")
	}
	return err
}
