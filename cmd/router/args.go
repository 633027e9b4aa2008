package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// args are the words of a command. The first error sticks: after it there are no more words, so that a parser need look
// at err only once, at its end.
type args struct {
	words []string
	at    int
	seen  []string // keywords that had their value
	err   error
}

// matches tells whether word is full or a beginning of it, as iproute2 abbreviates.
func matches(word, full string) bool { return word != "" && strings.HasPrefix(full, word) }

func (a *args) more() bool { return a.err == nil && a.at < len(a.words) }

func (a *args) peek() string { return a.words[a.at] }

// next is the next word. What is not UTF-8 cannot be said to the daemon.
func (a *args) next() string {
	w := a.words[a.at]
	a.at++
	if !utf8.ValidString(w) {
		a.fail("%q is not UTF-8", w)
	}
	return w
}

func (a *args) rest() []string { return a.words[a.at:] }

func (a *args) fail(format string, v ...any) {
	if a.err == nil {
		a.err = usagef(format, v...)
	}
}

// once fails where a keyword comes a second time.
func (a *args) once(keyword string) { a.onceOf(keyword, strconv.Quote(keyword)) }

// onceOf is once for words of which one may come, called what in the error.
func (a *args) onceOf(keyword, what string) {
	if slices.Contains(a.seen, keyword) {
		a.fail("duplicate %s: give it once", what)
	}
	a.seen = append(a.seen, keyword)
}

// value is the word after keyword.
func (a *args) value(keyword string) string {
	if !a.more() {
		a.fail("command line is not complete: %q needs a value", keyword)
		return ""
	}
	a.once(keyword)
	return a.next()
}

// garbage fails on a word that fits nothing where what was possible.
func (a *args) garbage(word, what string) {
	a.fail("either %q is duplicate, or %q is a garbage", what, word)
}

// done fails on words that are left over.
func (a *args) done() error {
	if a.more() {
		a.fail("%q is a garbage: nothing is expected here", a.peek())
	}
	return a.err
}

func (a *args) number(keyword string) uint32 {
	return a.toNumber(a.value(keyword), keyword, math.MaxUint32)
}

// numberUpTo is the number after keyword, which has an upper bound.
func (a *args) numberUpTo(limit uint32, keyword string) uint32 {
	return a.toNumber(a.value(keyword), keyword, limit)
}

func (a *args) toNumber(s, keyword string, limit uint32) uint32 {
	n, err := strconv.ParseUint(s, 0, 32)
	switch {
	case errors.Is(err, strconv.ErrRange), err == nil && n > uint64(limit):
		a.fail("argument %q is wrong: %q takes a number up to %d", s, keyword, limit)
	case err != nil && strings.HasPrefix(s, "-"):
		a.fail("argument %q is wrong: %q takes a number that is not negative", s, keyword)
	case err != nil:
		a.fail("argument %q is wrong: %q takes a number", s, keyword)
	}
	return uint32(n)
}

// name is the name of a device or namespace after keyword.
func (a *args) device(keyword string) string {
	s := a.value(keyword)
	a.checkDevice(s)
	return s
}

// maxNameLen is IFNAMSIZ less the zero byte.
const maxNameLen = 15

// checkDevice fails on what cannot be a device's name in Linux.
func (a *args) checkDevice(s string) {
	if a.err == nil && (s == "" || len(s) > maxNameLen || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n")) {
		a.fail("%q is not a valid ifname: it has 1 to %d bytes, without \"/\", \":\" and blanks", s, maxNameLen)
	}
}

func (a *args) address(keyword string, family v1.Family) string {
	s := a.value(keyword)
	if a.err != nil {
		return ""
	}
	return a.toAddress(s, family)
}

func (a *args) toAddress(s string, family v1.Family) string {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Zone() != "" || !fits(family, addr) {
		a.fail("%s address is expected rather than %q", familyWord(family), s)
		return ""
	}
	return addr.String()
}

func (a *args) mac(keyword string) string {
	s := a.value(keyword)
	if a.err != nil {
		return ""
	}
	var mac net.HardwareAddr
	for octet := range strings.SplitSeq(s, ":") {
		n, err := strconv.ParseUint(octet, 16, 8)
		if err != nil {
			mac = nil
			break
		}
		mac = append(mac, byte(n))
	}
	if len(mac) != 6 {
		a.fail("%q is invalid lladdr: a MAC address such as 02:00:00:00:00:01 is expected", s)
		return ""
	}
	return mac.String()
}

func familyWord(f v1.Family) string {
	switch f {
	case v1.Family_FAMILY_IPV4:
		return "inet"
	case v1.Family_FAMILY_IPV6:
		return "inet6"
	}
	return "inet or inet6"
}

func fits(f v1.Family, addr netip.Addr) bool {
	switch f {
	case v1.Family_FAMILY_IPV4:
		return addr.Is4()
	case v1.Family_FAMILY_IPV6:
		return addr.Is6()
	}
	return true
}

// isDefault tells the words for the prefix of length 0.
func isDefault(s string) bool { return s == "default" || s == "any" || s == "all" }

// defaultPrefix is the default route of a family, IPv4 unless it is said otherwise.
func defaultPrefix(f v1.Family) string {
	if f == v1.Family_FAMILY_IPV6 {
		return "::/0"
	}
	return "0.0.0.0/0"
}

// toPrefix reads what iproute2 takes for a prefix: ADDR/LEN, ADDR/MASK, a bare address, 10/8. Host bits stay.
func (a *args) toPrefix(s string, family v1.Family) string {
	if a.err != nil {
		return ""
	}
	if isDefault(s) {
		return defaultPrefix(family)
	}
	p, err := parsePrefix(s)
	if err != nil || !fits(family, p.Addr()) {
		a.fail("any valid prefix is expected rather than %q", s)
		return ""
	}
	return p.String()
}

func parsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p, nil
	}
	host, mask, masked := strings.Cut(s, "/")
	if dots := strings.Count(host, "."); dots < 3 && !strings.Contains(host, ":") {
		host += strings.Repeat(".0", 3-dots)
		if !masked {
			return netip.Prefix{}, fmt.Errorf("%q has no length", s)
		}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, errors.Join(err, fmt.Errorf("%q is no address", host))
	}
	if !masked {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	length, err := strconv.ParseUint(mask, 10, 8)
	if m, maskErr := netip.ParseAddr(mask); maskErr == nil && m.Is4() && addr.Is4() {
		b := m.As4()
		v := binary.BigEndian.Uint32(b[:])
		length, err = uint64(bits.LeadingZeros32(^v)), nil
		if v<<length != 0 {
			return netip.Prefix{}, fmt.Errorf("%q is no mask", mask)
		}
	}
	if p := netip.PrefixFrom(addr, int(length)); err == nil && p.IsValid() {
		return p, nil
	}
	return netip.Prefix{}, fmt.Errorf("%q is no prefix length", mask)
}
