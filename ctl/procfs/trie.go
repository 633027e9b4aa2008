package procfs

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sort"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// writeTrie is /proc/net/fib_trie: fib_trie_seq_show of the kernel's net/ipv4/fib_trie.c. The tables main and local are one
// in the kernel, and shown twice, as long as there are no rules; so it is here.
//
// The router has another trie. This is one that the kernel would have: level-compressed, with its thresholds (what nodes of
// the kernel's own are like also depends on how it grew). It is found from a list of the routes, eight bytes each, since each
// node is written before what is below it.
func writeTrie(s *space, o *output) error {
	var list trie
	err := eachRoute4(s, func(r *nstable.RouteInfo) error {
		b := r.Prefix.Addr().As4()
		list = append(list, alias{
			key: binary.BigEndian.Uint32(b[:]), bits: uint8(r.Prefix.Bits()), scope: r.Scope, kind: r.Kind,
		})
		return nil
	})
	if err != nil {
		return err
	}
	for _, table := range []string{"Main:\n", "Local:\n"} {
		if len(list) == 0 {
			break
		}
		o.printf("%s", table)
		if err := o.node(list, 0, 0); err != nil {
			return err
		}
	}
	return nil
}

// alias is a route: a line of a leaf.
type alias struct {
	key   uint32 // address in host order
	bits  uint8  // prefix length
	scope fib.Scope
	kind  fib.Kind
}

// trie is routes sorted by key. A node is a part of it.
type trie []alias

const keyLength = 32

// node writes a node and what is below it. All keys of t have their first skip bits in common.
func (o *output) node(t trie, skip, depth int) error {
	first, last := t[0].key, t[len(t)-1].key
	if first == last {
		return o.leaf(t, depth)
	}
	for first>>(keyLength-1-skip) == last>>(keyLength-1-skip) {
		skip++
	}
	bits := t.childBits(skip, depth == 0)
	full, empty := t.children(skip, bits)
	o.indent(depth)
	o.printf("  +-- %s/%d %d %d %d\n", address(first&^uint32(1<<(keyLength-skip)-1)), skip, bits, full, empty)
	if err := o.ready(); err != nil {
		return err
	}
	for child := range t.split(skip + bits) {
		if err := o.node(child, skip+bits, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (o *output) leaf(t trie, depth int) error {
	o.indent(depth)
	o.printf("  |-- %s\n", address(t[0].key))
	for i := range t {
		o.indent(depth + 1)
		o.printf("  /%d %s %s\n", t[i].bits, scopeName(t[i].scope), kindName(t[i].kind))
	}
	return o.ready()
}

func (o *output) indent(depth int) {
	for range depth {
		o.buf = append(o.buf, "   "...)
	}
}

// childBits is by how many bits a node at skip chooses among its children: it is doubled as long as enough of the children
// would be used then (should_inflate of the kernel's fib_trie.c).
func (t trie) childBits(skip int, root bool) int {
	threshold := 50
	if root {
		threshold = 30
	}
	bits := 1
	for skip+bits < keyLength {
		used := t.count(skip + bits + 1)
		if 50*used < threshold<<bits {
			break
		}
		bits++
	}
	return bits
}

// count is how many different values the keys have in their first n bits.
func (t trie) count(n int) (values int) {
	for range t.split(n) {
		values++
	}
	return values
}

// children counts those that choose by the very next bits (tnode_full), and those that are not there.
func (t trie) children(skip, bits int) (full, empty int) {
	used := 0
	for child := range t.split(skip + bits) {
		used++
		if next := keyLength - 1 - skip - bits; next >= 0 && child[0].key>>next != child[len(child)-1].key>>next {
			full++
		}
	}
	return full, 1<<bits - used
}

// split yields the parts of t whose keys have their first n bits in common.
func (t trie) split(n int) func(func(trie) bool) {
	return func(yield func(trie) bool) {
		for rest := t; len(rest) > 0; {
			prefix := rest[0].key >> (keyLength - n)
			end := sort.Search(len(rest), func(i int) bool { return rest[i].key>>(keyLength-n) > prefix })
			if !yield(rest[:end]) {
				return
			}
			rest = rest[end:]
		}
	}
}

func address(key uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], key)
	return netip.AddrFrom4(b)
}

// scopeSiteLocal is RT_SCOPE_SITE.
const scopeSiteLocal fib.Scope = 200

// scopeName is rtn_scope.
func scopeName(s fib.Scope) string {
	switch s {
	case fib.ScopeUniverse:
		return "universe"
	case fib.ScopeLink:
		return "link"
	case fib.ScopeHost:
		return "host"
	case fib.ScopeNowhere:
		return "nowhere"
	case scopeSiteLocal:
		return "site"
	}
	return fmt.Sprintf("scope=%d", s)
}

// kindName is rtn_type_names.
func kindName(k fib.Kind) string {
	return [...]string{
		fib.Unicast: "UNICAST", fib.Local: "LOCAL", fib.Broadcast: "BROADCAST", fib.Anycast: "ANYCAST",
		fib.Blackhole: "BLACKHOLE", fib.Unreachable: "UNREACHABLE", fib.Prohibit: "PROHIBIT", fib.Throw: "THROW",
		fib.Netns: "UNICAST",
	}[k]
}
