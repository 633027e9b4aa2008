package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"time"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/tabledump"
)

// importSpec is what the words of "route import" ask for.
type importSpec struct {
	file     string
	options  tabledump.Options
	family   v1.Family
	all      target // where routes go whose next hop no rule is about; empty: to that next hop
	rules    []mapRule
	protocol uint32
	metric   *uint32
	limit    int  // routes; 0: all
	partial  bool // apply what comes before damage
	replace  bool // delete the protocol's routes that the file does not have
}

// target is where routes are sent. The zero value is nowhere.
type target struct {
	via  netip.Addr
	dev  string
	nhid uint32
}

// mapRule sends the routes of some next hops elsewhere.
type mapRule struct {
	hops netip.Prefix
	to   target
}

// target is where routes go that have a next hop in the file, which may be invalid. Of several rules the narrowest holds.
func (s *importSpec) target(hop netip.Addr) target {
	to, bits := s.all, -1
	for _, rule := range s.rules {
		if rule.hops.Contains(hop) && rule.hops.Bits() > bits {
			to, bits = rule.to, rule.hops.Bits()
		}
	}
	if to == (target{}) {
		to.via = hop
	}
	return to
}

// routeImport applies a dump of a routing table:
//
//	route import FILE [ via ADDR ] [ dev NAME ] [ nhid ID ] [ MAP ]... [ peer ADDR ] [ peer-as N ]
//	    [ proto P ] [ metric N ] [ limit N ] [ partial ] [ replace ]
//	MAP := map { ADDR | PREFIX | default } { [ via ADDR ] [ dev NAME ] | nhid ID }
//
// The gateway of a route is its next hop in the file, unless a "map" of that next hop, or "via", "dev" and "nhid" for all others,
// say otherwise. All routes are applied or none, unless "partial" is given: then those before damage or a refusal. What is
// there already is replaced; "replace" deletes the protocol's other routes at the end, so that no packet meets a gap.
func (c *cli) routeImport(ctx context.Context, a *args) error {
	s := importWords(c, a)
	if err := a.done(); err != nil {
		return err
	}
	start := time.Now()
	bar := newProgress(c.err)
	defer bar.clear()
	table, err := c.readImport(ctx, s, bar)
	if err != nil {
		return err
	}
	if table.damage != nil && !s.partial {
		return fmt.Errorf("%w (nothing was applied; \"partial\" applies what comes before: %s)",
			table.damage, routeCount(table.routes.Len()))
	}
	if table.damage == nil && table.routes.Len() == 0 {
		return fmt.Errorf("%q has no routes to apply: %s read, %d of them skipped", s.file, routeCount(table.read), table.skipped)
	}
	sum := importSummary{Read: table.read, Skipped: table.skipped}
	if sum.Applied, err = c.applyImport(ctx, s, table, bar); err != nil {
		return err
	}
	if s.replace && table.damage == nil {
		if sum.Removed, err = c.pruneImport(ctx, s, table); err != nil {
			return err
		}
	}
	bar.clear()
	sum.Seconds = time.Since(start).Seconds()
	if err := c.printImport(sum); err != nil {
		return err
	}
	return table.damage
}

// importWords reads the words of the command.
func importWords(c *cli, a *args) *importSpec {
	s := &importSpec{family: c.family, protocol: protoMRT}
	if !a.more() {
		a.fail("not enough information: the file is missing (\"-\" is standard input)")
		return s
	}
	s.file = a.next()
	var all target
	for a.more() {
		if w := a.next(); !a.targetWord(w, &all) && !s.word(a, w) {
			a.garbage(w, "file")
		}
	}
	a.checkTarget(all)
	if s.replace && s.limit > 0 {
		a.fail("\"replace\" goes without \"limit\": it would remove routes that the file has")
	}
	switch none := (target{}); {
	case all != none && s.all != none:
		a.fail("duplicate \"map default\": \"via\", \"dev\" and \"nhid\" outside of a \"map\" mean the same")
	case all != none:
		s.all = all
	}
	return s
}

// word reads keyword w and its value, or tells that it is none.
func (s *importSpec) word(a *args, w string) bool {
	switch {
	case w == "map":
		a.mapRule(s)
	case w == "peer":
		s.options.Peer = a.netipAddr("peer")
	case w == "peer-as":
		s.options.PeerAS = a.number("peer-as")
	case w == "metric", matches(w, "priority") && len(w) > 2, matches(w, "preference") && len(w) > 4:
		s.metric = new(a.number("metric"))
	case w == "limit":
		if s.limit = int(a.number("limit")); s.limit == 0 {
			a.fail("argument \"0\" is wrong: \"limit\" takes a number of routes")
		}
	case w == "partial":
		s.partial = true
	case w == "replace":
		s.replace = true
	case matches(w, "protocol"):
		if s.protocol = a.protocol(); s.protocol == 0 {
			s.protocol = protoBoot // as the daemon takes it
		}
	default:
		return false
	}
	return true
}

// Makers of routes, of rtnetlink's RTPROT_*.
const (
	protoBoot = 3
	protoMRT  = 10
)

// mapRule reads what comes after "map": a next hop and where to send its routes, for which words may come again.
func (a *args) mapRule(s *importSpec) {
	if !a.more() {
		a.fail("command line is not complete: \"map\" needs a next hop")
		return
	}
	left, seen := a.next(), a.seen
	a.seen = nil
	var to target
	for a.more() {
		if a.at++; !a.targetWord(a.words[a.at-1], &to) {
			a.at--
			break
		}
	}
	a.seen = seen
	a.checkTarget(to)
	switch hops, err := parsePrefix(left); {
	case to == (target{}):
		a.fail("\"via ADDR\", \"dev NAME\" or \"nhid ID\" is expected after \"map %s\"", left)
	case isDefault(left):
		a.once("map default")
		s.all = to
	case err != nil || hops != hops.Masked():
		a.fail("a next hop, a prefix of next hops or \"default\" is expected after \"map\" rather than %q", left)
	default:
		s.rules = append(s.rules, mapRule{hops, to})
	}
}

// targetWord reads keyword w, which was taken, and its value, or tells that it is none.
func (a *args) targetWord(w string, to *target) bool {
	switch w {
	case "via":
		to.via = a.netipAddr("via")
	case "dev":
		to.dev = a.device("dev")
	case "nhid":
		if to.nhid = a.number("nhid"); to.nhid == 0 {
			a.fail("argument \"0\" is wrong: \"nhid\" takes the id of a nexthop object")
		}
	default:
		return false
	}
	return true
}

func (a *args) checkTarget(to target) {
	if to.nhid != 0 && to != (target{nhid: to.nhid}) {
		a.fail("\"nhid\" goes without \"via\" and \"dev\": the nexthop object has them")
	}
}

func (a *args) netipAddr(keyword string) netip.Addr {
	addr, _ := netip.ParseAddr(a.address(keyword, v1.Family_FAMILY_UNSPECIFIED))
	return addr.Unmap()
}

// openImport opens the file. The size is that in bytes, or 0 where it is not known.
func (c *cli) openImport(ctx context.Context, name string) (in io.Reader, size int64, closing func(), err error) {
	switch {
	case name == "-" && c.batch == "-":
		return nil, 0, nil, usagef("standard input has the commands of this batch: import from a file")
	case name == "-":
		pipe := untilDone(ctx, c.in)
		return pipe, 0, func() { _ = pipe.Close() }, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, nil, usagef("cannot open file %q for reading: %v", name, errors.Unwrap(err))
	}
	in, closing = f, func() { _ = f.Close() }
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	} else {
		in = untilDone(ctx, f)
	}
	return in, size, closing, nil
}

// untilDone reads what may keep its reader waiting, such as a pipe, until the context is done.
func untilDone(ctx context.Context, in io.Reader) *io.PipeReader {
	out, through := io.Pipe()
	context.AfterFunc(ctx, func() { _ = through.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(through, in)
		_ = through.CloseWithError(err)
	}()
	return out
}

// importSummary is what an import has done.
type importSummary struct {
	Read    int     `json:"read"`
	Applied uint64  `json:"applied"`
	Skipped int     `json:"skipped"`
	Removed uint64  `json:"removed,omitempty"`
	Seconds float64 `json:"seconds"`
}

func (c *cli) printImport(s importSummary) error {
	text := fmt.Sprintf("%s applied in %.1f s", routeCount(int(s.Applied)), s.Seconds)
	if rate := float64(s.Applied) / s.Seconds; s.Seconds > 0 && s.Applied > 1000 {
		text += " (" + strconv.FormatFloat(rate, 'f', 0, 64) + "/s)"
	}
	if s.Skipped > 0 {
		text += fmt.Sprintf(", %d of %d read were skipped", s.Skipped, s.Read)
	}
	if s.Removed > 0 {
		text += fmt.Sprintf(", %d removed that are no longer there", s.Removed)
	}
	return c.print(record{json: s, text: func() string { return text + "\n" }})
}

// routeCount says how many routes.
func routeCount(n int) string {
	if n == 1 {
		return "1 route"
	}
	return strconv.Itoa(n) + " routes"
}
