// Package tabledump reads dumps of routing tables as a stream: MRT table dumps (RFC 6396, with the additional paths of RFC 8050)
// and plain lists of prefixes, both also packed with gzip or bzip2. What a file is, its first bytes tell, not its name.
//
// A prefix yields one route. Where an MRT dump has it from several peers, the route is that of the first entry with a next hop
// that can be one for the prefix: an IPv6 address for an IPv6 prefix; either family for an IPv4 one (RFC 8950). [Options] narrow
// the entries to those of a peer. A prefix that comes again in a later record or line is yielded again; only the old TABLE_DUMP,
// which has a record for each peer of a prefix, yields the first of such a run that fits.
//
// Whatever is damaged is an [Error] that tells the place: a line of a list, or an MRT record's offset in bytes in the unpacked
// data. Every length field is checked, also those of entries that were not chosen. Attributes other than next hops are not
// looked into, nor are tables of other than unicast prefixes. Memory stays bounded whatever a file claims: a record has at
// most [MaxRecord] bytes, a line [MaxLine], and a buffer grows no faster than the data comes.
package tabledump

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"net/netip"
)

// Limits of what is read, in bytes.
const (
	// MaxRecord is the longest MRT record: some hundred peers with long attributes stay below a tenth of it.
	MaxRecord = 16 << 20
	// MaxLine is the longest line of a list.
	MaxLine = 4096
)

// Options choose among the entries of an MRT dump. A list has no peers, so that either is an error there.
type Options struct {
	// Peer is the peer that the routes are from; the zero value: any.
	Peer netip.Addr
	// PeerAS is the peer's AS number; 0: any.
	PeerAS uint32
}

func (o Options) any() bool { return !o.Peer.IsValid() && o.PeerAS == 0 }

func (o Options) wants(p Peer) bool {
	return (!o.Peer.IsValid() || o.Peer == p.Addr) && (o.PeerAS == 0 || o.PeerAS == p.AS)
}

// String tells the peer that is asked for.
func (o Options) String() string {
	switch {
	case !o.Peer.IsValid():
		return fmt.Sprintf("of AS %d", o.PeerAS)
	case o.PeerAS == 0:
		return o.Peer.String()
	}
	return fmt.Sprintf("%s of AS %d", o.Peer, o.PeerAS)
}

// Peer is who announced a route to the collector of an MRT dump.
type Peer struct {
	Addr netip.Addr
	AS   uint32
}

// Route is a prefix of a dump. It has no host bits, and is never an IPv4-mapped one.
type Route struct {
	Prefix netip.Prefix
	// NextHop is not valid where the dump has none that fits the prefix.
	NextHop netip.Addr
	// Peer is empty in a list.
	Peer Peer
	// Pos is the place in the dump, for [Reader.Where].
	Pos int64
}

// Error is damage of a dump.
type Error struct {
	Where  string
	Reason error
}

func (e *Error) Error() string { return e.Where + ": " + e.Reason.Error() }

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// Reader reads one dump. It is for one goroutine.
type Reader struct {
	name    string
	packed  *counter // what is read of the file itself
	format  format
	skipped int
	err     error // once it is known; sticks
}

// format reads one of the kinds of dump.
type format interface {
	// next reads a line or a record. It returns io.EOF at the end, or what is wrong with the place that pos tells.
	next(r *Route) (content, error)
	// pos is the line or the record's offset that next was about.
	pos() int64
	// where tells a place to people, after the name of the dump.
	where(pos int64) string
}

// content is what a line or a record had.
type content uint8

const (
	nothing content = iota // that is of interest
	skipped                // a prefix without a route for the forwarding table
	found                  // a route, all of which was filled in
)

// NewReader begins to read a dump. The name is for errors. The reader of in stays the caller's; Reader reads ahead of what it
// has returned.
func NewReader(name string, in io.Reader, o Options) (*Reader, error) {
	r := &Reader{name: name, packed: &counter{r: in}}
	data, err := unpack(r.packed)
	if err != nil {
		return nil, &Error{name, err}
	}
	switch {
	case isMRT(data):
		r.format = newMRTDump(data, o)
	case !o.any():
		return nil, &Error{name, errors.New("a list of prefixes names no peers: leave out which peer's routes to take")}
	default:
		r.format = &list{in: data}
	}
	return r, nil
}

// Next fills in the next route. At the end of the dump it returns io.EOF, after damage the same [Error] again and again.
func (r *Reader) Next(route *Route) error {
	for r.err == nil {
		switch what, err := r.format.next(route); {
		case errors.Is(err, io.EOF):
			r.err = io.EOF
		case err != nil:
			r.err = &Error{r.Where(r.format.pos()), err}
		case what == found:
			return nil
		case what == skipped:
			r.skipped++
		}
	}
	return r.err
}

// Routes yields the routes until the end of the dump, or until the damage, with the error alone.
func (r *Reader) Routes() iter.Seq2[Route, error] {
	return func(yield func(Route, error) bool) {
		for {
			var route Route
			err := r.Next(&route)
			if errors.Is(err, io.EOF) || !yield(route, err) || err != nil {
				return
			}
		}
	}
}

// IsMRT tells an MRT dump from a list.
func (r *Reader) IsMRT() bool {
	_, is := r.format.(*mrtDump)
	return is
}

// Skipped is how many records so far had a prefix without a route: not of the peer that was asked for, or not of a unicast table.
func (r *Reader) Skipped() int { return r.skipped }

// BytesRead is how much of the dump was read so far, before unpacking. It may be called beside Next.
func (r *Reader) BytesRead() int64 { return r.packed.n.Load() }

// Where tells the place of a route: the line of a list, or the offset of an MRT record.
func (r *Reader) Where(pos int64) string { return r.name + r.format.where(pos) }
