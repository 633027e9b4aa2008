//go:build dpdk

package main

/*
#cgo pkg-config: libdpdk
#cgo CFLAGS: -O3 -march=native -DALLOW_EXPERIMENTAL_API
#include "dpdk.h"
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lpm.h>
#include <rte_version.h>

static int last_error(void) { return rte_errno; }
*/
import "C"

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"nsrouter/fib/poptrie"
	"nsrouter/perf/hugepages"
)

// dpdkPages are the huge pages of 2 MiB that DPDK's tables need here.
const dpdkPages = 1000

// startDPDK starts DPDK for tables that the calling thread, locked and pinned to a CPU, makes. It reserves huge pages, and stop gives
// them back.
func startDPDK(cpu int) (stop func(), note string, err error) {
	restore, reserved := hugepages.Reserve(dpdkPages)
	huge := 0
	if reserved {
		huge = 1
	}
	if err := initDPDK(cpu, huge); err != nil {
		restore()
		return nil, "", err
	}
	note = ", on reserved huge pages"
	if huge == 0 {
		note = fmt.Sprintf(", WITHOUT huge pages: %d could not be reserved in %s", dpdkPages, hugepages.File)
	}
	return restore, C.GoString(C.rte_version()) + note, nil
}

func initDPDK(cpu, huge int) error {
	if r := C.fb_start(C.int(cpu), C.int(huge)); r < 0 {
		return fmt.Errorf("start DPDK: %w (run as root)", unix.Errno(C.last_error()))
	}
	return nil
}

func dpdkContenders() []*contender {
	list := []*contender{
		{name: "rte_lpm", make: newLPM, only: poptrie.IPv4, steady: true, heavy: true, rival: true},
		{name: "rte_fib scalar", make: fibBuilder(0), only: poptrie.IPv4, heavy: true},
		{name: "rte_fib6 scalar", make: fib6Builder(0), only: poptrie.IPv6, heavy: true},
	}
	if C.fb_vector() == 0 {
		return list
	}
	list[1].steady, list[2].steady = true, true
	return append(list,
		&contender{name: "rte_fib AVX-512", make: fibBuilder(1), only: poptrie.IPv4, heavy: true, rival: true},
		&contender{name: "rte_fib6 AVX-512", make: fib6Builder(1), only: poptrie.IPv6, heavy: true, rival: true})
}

// columns are routes as C takes them.
type columns struct {
	ip4  []uint32
	ip6  []byte
	bits []uint8
	id   []uint32
}

func columnsOf(routes []route) columns {
	var c columns
	for _, r := range routes {
		if r.prefix.Addr().Is4() {
			c.ip4 = append(c.ip4, uint32(addrOf(r.prefix.Addr()).Hi>>32))
		} else {
			b := r.prefix.Addr().As16()
			c.ip6 = append(c.ip6, b[:]...)
		}
		c.bits, c.id = append(c.bits, uint8(r.prefix.Bits())), append(c.id, r.id)
	}
	return c
}

// c is a slice as C's pointer.
func c8(s []uint8) *C.uint8_t    { return (*C.uint8_t)(unsafe.SliceData(s)) }
func c32(s []uint32) *C.uint32_t { return (*C.uint32_t)(unsafe.SliceData(s)) }

// Groups of 256 entries more than the routes need: for changes; and rte_fib6 reserves for each route what it might need.
const (
	spareGroups  = 1024
	spareGroups6 = 1 << 18
)

// base is what DPDK's tables have in common: they have no notion of a reader's quiescence.
type base struct{ size footprint }

func (*base) quiesce()            {}
func (*base) offline()            {}
func (b *base) memory() footprint { return b.size }

// measured runs build, and takes what it allocates as the table's size; 64 MiB of it are the first 24 bits' entries.
func (b *base) measured(groups int, build func() error) error {
	before := C.fb_allocated()
	err := build()
	b.size = footprint{lookup: 4<<24 + groups<<10, all: int(C.fb_allocated() - before)}
	return err
}

func dpdkError(what string) error {
	return fmt.Errorf("%s: %w", what, unix.Errno(C.last_error()))
}

func refused(what string, r C.int) error {
	if r == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w", what, unix.Errno(-r))
}

type lpm struct {
	base
	t *C.struct_rte_lpm
}

func newLPM(_ poptrie.Family, routes []route, _ bool) (table, error) {
	routes = slices.Clone(routes)
	slices.SortStableFunc(routes, func(a, b route) int { return a.prefix.Bits() - b.prefix.Bits() })
	c, groups, x := columnsOf(routes), groupsBelow(routes), new(lpm)
	err := x.measured(groups, func() error {
		if x.t = C.fb_lpm_new(C.uint(groups + spareGroups)); x.t == nil {
			return dpdkError("rte_lpm_create")
		}
		C.fb_lpm_fill(x.t, c32(c.ip4), c8(c.bits), c32(c.id), C.int(len(routes)))
		return nil
	})
	return x, err
}

func (x *lpm) look(q *queries, from, to int, ids []poptrie.ID) {
	C.fb_lpm_look(x.t, c32(q.v4[from:]), c32(ids), C.int(to-from), batch)
}

var errSteady = errors.New("is not changed in this benchmark: it searches all rules of a length for each change")

func (x *lpm) insert(netip.Prefix, poptrie.ID) error { return errSteady }
func (x *lpm) remove(netip.Prefix) error             { return errSteady }
func (x *lpm) close()                                { C.rte_lpm_free(x.t) }

type fib4 struct {
	base
	t *C.struct_rte_fib
}

func fibBuilder(vector C.int) func(poptrie.Family, []route, bool) (table, error) {
	return func(_ poptrie.Family, routes []route, _ bool) (table, error) {
		c, groups, x := columnsOf(routes), groupsBelow(routes), new(fib4)
		err := x.measured(groups, func() error {
			if x.t = C.fb_fib_new(vector, C.uint(groups+spareGroups)); x.t == nil {
				return dpdkError("rte_fib_create")
			}
			return refused("rte_fib_add", C.fb_fib_add_all(x.t, c32(c.ip4), c8(c.bits), c32(c.id), C.int(len(routes))))
		})
		return x, err
	}
}

func (x *fib4) look(q *queries, from, to int, ids []poptrie.ID) {
	C.fb_fib_look(x.t, c32(q.v4[from:]), c32(ids), C.int(to-from), batch)
}

func (x *fib4) insert(p netip.Prefix, id poptrie.ID) error {
	ip := C.uint32_t(addrOf(p.Addr()).Hi >> 32)
	return refused("rte_fib_add", C.rte_fib_add(x.t, ip, C.uint8_t(p.Bits()), C.uint64_t(id)))
}

func (x *fib4) remove(p netip.Prefix) error {
	ip := C.uint32_t(addrOf(p.Addr()).Hi >> 32)
	return refused("rte_fib_delete", C.rte_fib_delete(x.t, ip, C.uint8_t(p.Bits())))
}

func (x *fib4) close() { C.rte_fib_free(x.t) }

type fib6 struct {
	base
	t *C.struct_rte_fib6
}

func fib6Builder(vector C.int) func(poptrie.Family, []route, bool) (table, error) {
	return func(_ poptrie.Family, routes []route, _ bool) (table, error) {
		c, groups, x := columnsOf(routes), groupsBelow(routes), new(fib6)
		err := x.measured(groups, func() error {
			if x.t = C.fb_fib6_new(vector, C.uint(groups+spareGroups6)); x.t == nil {
				return dpdkError("rte_fib6_create")
			}
			return refused("rte_fib6_add", C.fb_fib6_add_all(x.t, c8(c.ip6), c8(c.bits), c32(c.id), C.int(len(routes))))
		})
		return x, err
	}
}

func (x *fib6) look(q *queries, from, to int, ids []poptrie.ID) {
	C.fb_fib6_look(x.t, (*C.uint8_t)(unsafe.Pointer(&q.wire[from])), c32(ids), C.int(to-from), batch)
}

func (x *fib6) insert(p netip.Prefix, id poptrie.ID) error {
	ip := p.Addr().As16()
	return refused("rte_fib6_add", C.rte_fib6_add(x.t, c8(ip[:]), C.uint8_t(p.Bits()), C.uint64_t(id)))
}

func (x *fib6) remove(p netip.Prefix) error {
	ip := p.Addr().As16()
	return refused("rte_fib6_delete", C.rte_fib6_delete(x.t, c8(ip[:]), C.uint8_t(p.Bits())))
}

func (x *fib6) close() { C.rte_fib6_free(x.t) }
