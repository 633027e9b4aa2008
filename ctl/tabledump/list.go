package tabledump

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
)

// list is a prefix a line, with a next hop if there is one: "PREFIX", "PREFIX ADDR" or "PREFIX via ADDR". Blanks separate, #
// begins a comment.
type list struct {
	in   *bufio.Reader
	line int64
}

func (l *list) pos() int64 { return l.line }

func (l *list) where(line int64) string { return ":" + strconv.FormatInt(line, 10) }

func (l *list) next(r *Route) (content, error) {
	line, err := l.readLine()
	if err != nil {
		return nothing, err
	}
	line, _, _ = bytes.Cut(line, []byte("#"))
	prefix, rest := cutWord(line)
	if len(prefix) == 0 {
		return nothing, nil
	}
	*r = Route{Pos: l.line}
	return found, r.parse(prefix, rest)
}

// readLine returns the next line, valid until the next call.
func (l *list) readLine() ([]byte, error) {
	l.line++
	line, err := l.in.ReadSlice('\n')
	switch {
	case len(line) > MaxLine:
		return nil, fmt.Errorf("the line is longer than %d bytes: this is no list of prefixes", MaxLine)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return line, nil
	}
	return line, err
}

// cutWord cuts the first word off a line.
func cutWord(line []byte) (word, rest []byte) {
	line = bytes.TrimLeft(line, " \t\r\n")
	if end := bytes.IndexAny(line, " \t\r\n"); end >= 0 {
		return line[:end], line[end:]
	}
	return line, nil
}

// parse reads the words of a line.
func (r *Route) parse(prefix, rest []byte) error {
	var err error
	if r.Prefix, err = parsePrefix(string(prefix)); err != nil {
		return err
	}
	word, rest := cutWord(rest)
	if string(word) == "via" {
		if word, rest = cutWord(rest); len(word) == 0 {
			return errors.New("the address after \"via\" is missing")
		}
	}
	if len(word) == 0 {
		return nil
	}
	addr, err := netip.ParseAddr(string(word))
	if err != nil || !fits(r.Prefix, addr) {
		return fmt.Errorf("%s cannot be the next hop of %s", quote(string(word)), r.Prefix)
	}
	r.NextHop = addr
	if word, _ = cutWord(rest); len(word) > 0 {
		return fmt.Errorf("%s is too much: a line is PREFIX, PREFIX ADDR or PREFIX via ADDR", quote(string(word)))
	}
	return nil
}

// quote shows a word, which may be anything, and of any length.
func quote(word string) string {
	const most = 48
	if len(word) > most {
		return strconv.Quote(word[:most]) + "..."
	}
	return strconv.Quote(word)
}

// parsePrefix takes no address without a length: that may be what a cut has left of a prefix.
func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%s is no prefix such as 192.0.2.0/24 or 2001:db8::/32", quote(s))
	}
	return p, checkPrefix(p)
}

func checkPrefix(p netip.Prefix) error {
	switch m := p.Masked(); {
	case p.Addr().Is4In6():
		return fmt.Errorf("prefix %s is an IPv4 one in IPv6 form", p)
	case m != p:
		return fmt.Errorf("prefix %s has host bits: %s has none", p, m)
	}
	return nil
}

// fits tells whether packets for a prefix can be sent to next hop addr: an IPv4 prefix may have one of either family (RFC 8950).
func fits(p netip.Prefix, addr netip.Addr) bool {
	return addr.IsValid() && (addr.Is6() || p.Addr().Is4()) && !addr.Is4In6() && addr.Zone() == "" &&
		!addr.IsUnspecified() && !addr.IsMulticast() && !addr.IsLoopback()
}
