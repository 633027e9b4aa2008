package hostside

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
)

// asked is the neighbours of a device that Linux has asked for.
type asked struct {
	wake func()

	mu     sync.Mutex // held for a few instructions only, as workers take it
	known  map[fib.Addr]uint64
	behind map[fib.Addr]bool // those of known that have changed since Linux was told
}

// maxKnown bounds the neighbours of a device that Linux is told of without asking. Beyond, all are forgotten: those that
// are in use are asked for again.
const maxKnown = 4096

// changed notes that a neighbour has changed. Workers call it.
func (a *asked) changed(addr fib.Addr) {
	a.mu.Lock()
	_, known := a.known[addr]
	if known {
		a.behind[addr] = true
	}
	a.mu.Unlock()
	if known {
		a.wake()
	}
}

// note begins to follow a neighbour.
func (a *asked) note(addr fib.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known == nil || len(a.known) >= maxKnown {
		a.known, a.behind = make(map[fib.Addr]uint64), make(map[fib.Addr]bool)
	}
	if _, ok := a.known[addr]; !ok {
		a.known[addr] = 0
	}
}

// tell notes the MAC address that Linux was told, 48 bits.
func (a *asked) tell(addr fib.Addr, mac uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.known[addr]; ok {
		a.known[addr] = mac
	}
}

// forget ends to follow a neighbour.
func (a *asked) forget(addr fib.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.known, addr)
	delete(a.behind, addr)
}

// take returns the neighbours that have changed, with what Linux was told.
func (a *asked) take() map[fib.Addr]uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.behind) == 0 {
		return nil
	}
	out := make(map[fib.Addr]uint64, len(a.behind))
	for addr := range a.behind {
		out[addr] = a.known[addr]
	}
	clear(a.behind)
	return out
}

// answer answers the neighbours that Linux has asked for, and tells it those that have changed.
func (sp *space) answer() {
	for q := range sp.heard.takeAsks() {
		if l := sp.byIndex[q.index]; l != nil && !l.stale {
			l.answer(q.addr)
		}
	}
	for _, l := range sp.byIndex {
		for addr, told := range l.asked.take() {
			l.inform(addr, told)
		}
	}
}

// answer tells Linux a neighbour that it asks for, or has the data plane ask for it. One that was not confirmed lately is
// told as well, and asked meanwhile, as a packet would have it.
func (l *link) answer(addr netip.Addr) {
	a := fib.AddrOf(addr)
	l.asked.note(a) // before the look-up: what changes then is told
	if e := l.dev.Neighbors.Lookup(a); e != nil {
		if mac, ok := e.Use(); ok {
			l.tell(e, mac)
			return
		}
	}
	if l.space.asks.take(time.Now()) {
		l.space.server.o.Resolve(l.dev, addr)
	}
}

// inform tells Linux what has become of a neighbour.
func (l *link) inform(a fib.Addr, told uint64) {
	e := l.dev.Neighbors.Lookup(a)
	if e == nil {
		l.asked.forget(a)
		delete(l.static, a.Netip())
		l.reportNeighbor(l.space.raw.deleteNeighbor(l.index, a.Netip()))
		return
	}
	mac, ok := e.MAC()
	switch {
	case ok && mac != told:
		l.tell(e, mac)
	case !ok && e.State() == neigh.Failed:
		l.asked.forget(a)
		l.reportNeighbor(l.space.raw.neighbor(l.index, a.Netip(), [6]byte{}, netlink.NUD_FAILED, false))
	}
}

// tell tells Linux a neighbour's MAC address.
func (l *link) tell(e *neigh.Entry, mac uint64) {
	addr, state := e.Addr.Netip(), uint16(netlink.NUD_REACHABLE)
	if _, ok := l.static[addr]; ok {
		l.static[addr], state = header.MACBytes(mac), netlink.NUD_PERMANENT
	}
	err := l.space.raw.neighbor(l.index, addr, header.MACBytes(mac), state, e.Router.Load())
	if err != nil {
		l.asked.forget(e.Addr)
		l.reportNeighbor(err)
		return
	}
	l.asked.tell(e.Addr, mac)
}

// reportNeighbor logs why Linux was not told of a neighbour, unless it has none such any more.
func (l *link) reportNeighbor(err error) {
	if err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
		l.report("tell it a neighbour", err)
	}
}
