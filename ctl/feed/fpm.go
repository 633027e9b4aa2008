package feed

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/fib"
	"nsrouter/nstable"
)

// fpm takes the routes that a routing daemon tells by FPM, the protocol of FRR's dplane_fpm_nl: a TCP connection to a
// listener on the loopback address of the Linux namespace, over which netlink messages come, each with a header. What is told of
// a prefix is all that there is.
//
// When the connection ends, the routes stay for the stale time; if there is another one by then, those that it does not
// tell again within that time go.
type fpm struct {
	space *space

	// The following are the space's run's.

	port     uint32 // zero: there is no listener
	listener net.Listener
	fault    string
	serving  sync.WaitGroup

	mu     sync.Mutex
	conn   net.Conn    // the one that routes come by
	sweep  *time.Timer // nil: nothing is stale
	fresh  []netip.Prefix
	room   int             // for fresh, before it is looked at what is in there twice
	number map[uint32]bool // of objects told since the connection began; nil: nothing is stale
	told   bool            // there was a connection
	ending bool            // no more of them
	logged time.Time       // when a message was
}

// FPM's header: version, type, length with the header in network byte order (fpm/fpm.h of FRR).
const (
	fpmHeader  = 4
	fpmVersion = 1
	fpmNetlink = 1
)

// errFPM says that what came is no FPM.
var errFPM = errors.New("it is not FPM in netlink encoding (zebra -M dplane_fpm_nl)")

// follow listens where the settings of the namespace say so.
func (f *fpm) follow() {
	port := f.space.ns.Settings().FPMPort
	if port == f.port {
		return
	}
	f.close()
	f.forget(false)
	f.port = port
	if port == 0 {
		return
	}
	err := f.space.handle.Do(func() (err error) {
		f.listener, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.FormatUint(uint64(port), 10)))
		return err
	})
	if err != nil {
		f.port, f.listener = 0, nil
		if text := err.Error(); text != f.fault {
			f.fault = text
			f.space.log().Warn("no routes are taken by FPM: choose another fpm-port", zap.Error(err))
		}
		return
	}
	f.fault = ""
	f.mu.Lock()
	f.ending = false
	f.mu.Unlock()
	f.serving.Go(f.accept)
}

// accept serves one connection after the other; a new one ends the last, which may be that of a daemon that has died.
func (f *fpm) accept() {
	for {
		conn, err := f.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no file descriptor, for one
			time.Sleep(acceptPause)
			continue
		case !f.begin(conn):
			conn.Close()
			return
		}
		f.serving.Go(func() {
			err := f.serve(conn)
			conn.Close()
			f.end(conn, err)
		})
	}
}

// acceptPause is the time between two tries to accept a connection that fail.
const acceptPause = time.Second

// begin has a connection be the one that routes come by. Those of an earlier one are stale until they are told again. It is
// false for one that comes when the listener is closed: nobody would end it.
func (f *fpm) begin(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending {
		return false
	}
	if f.conn != nil {
		f.conn.Close()
	}
	f.conn = conn
	f.fresh, f.number = nil, nil
	if f.told {
		f.number = make(map[uint32]bool)
		f.staleAfter(f.staleTime())
	}
	f.told = true
	return true
}

func (f *fpm) staleTime() time.Duration {
	return time.Duration(f.space.ns.Settings().StaleTime) * time.Second
}

// end starts the stale timer when the connection that routes came by is over.
func (f *fpm) end(conn net.Conn, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != conn {
		return
	}
	f.conn = nil
	f.fresh, f.number = nil, nil
	if f.space.closed.Load() {
		return
	}
	f.warn("the routing daemon's FPM connection has ended; its routes stay for the stale-time", zap.Error(err))
	f.staleAfter(f.staleTime())
}

// logPause is the time between two messages about a namespace: who connects can cause any number.
const logPause = time.Second

// warn logs a message, unless one was just logged; under the lock.
func (f *fpm) warn(message string, fields ...zap.Field) {
	if now := time.Now(); now.Sub(f.logged) >= logPause {
		f.logged = now
		f.space.log().Warn(message, fields...)
	}
}

// staleAfter sweeps after a time; under the lock.
func (f *fpm) staleAfter(d time.Duration) {
	if f.sweep != nil {
		f.sweep.Stop()
	}
	var timer *time.Timer
	timer = time.AfterFunc(d, func() {
		f.mu.Lock()
		if f.sweep != timer {
			f.mu.Unlock()
			return
		}
		f.sweep = nil
		f.mu.Unlock()
		f.forget(true)
	})
	f.sweep = timer
}

// forget takes away the routes and objects that were not told since the connection began; with keep unset all.
func (f *fpm) forget(keep bool) {
	f.mu.Lock()
	defer f.mu.Unlock() // what is told meanwhile waits: it would be taken for stale
	var fresh []netip.Prefix
	numbers := f.number
	if keep && f.conn != nil {
		fresh = f.fresh
	} else {
		numbers = nil
	}
	f.fresh, f.number = nil, nil
	slices.SortFunc(fresh, fib.ComparePrefixes)
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := sweep(family, fresh, f.learn); err != nil {
			return // deleted, or shutting down
		}
	}
	_ = f.learn(func(a *applier) { a.learner.DeleteObjects(func(n uint32) bool { return !numbers[n] }) })
}

// serve takes routes from a connection until it ends.
func (f *fpm) serve(conn net.Conn) error {
	const room = 256 << 10
	r := bufio.NewReaderSize(conn, room)
	var b batch
	for {
		payload, err := readFPM(r)
		if err != nil {
			return err
		}
		for m := range messages(payload) {
			b.message(m)
		}
		if b.full() || !wholeFPM(r) {
			if err := f.take(conn, &b); err != nil {
				return err
			}
			b.reset()
		}
	}
}

// readFPM reads a message and returns what is behind its header, good until the next call.
func readFPM(r *bufio.Reader) ([]byte, error) {
	header, err := r.Peek(fpmHeader)
	if err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(header[2:]))
	if header[0] != fpmVersion || header[1] != fpmNetlink || size < fpmHeader {
		return nil, fmt.Errorf("%w: version %d, type %d, length %d", errFPM, header[0], header[1], size)
	}
	message, err := r.Peek(size)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	_, err = r.Discard(size)
	return message[fpmHeader:], err
}

// wholeFPM tells whether a whole message can be read without waiting.
func wholeFPM(r *bufio.Reader) bool {
	if r.Buffered() < fpmHeader {
		return false
	}
	header, _ := r.Peek(fpmHeader)
	return r.Buffered() >= int(binary.BigEndian.Uint16(header[2:]))
}

// take makes what a connection has told the namespace's.
func (f *fpm) take(conn net.Conn, b *batch) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn != conn {
		return errors.New("there is a newer connection")
	}
	if len(f.fresh) >= f.room { // the same again and again, it may be
		slices.SortFunc(f.fresh, fib.ComparePrefixes)
		f.fresh = slices.Compact(f.fresh)
		f.room = max(maxBatch, 2*len(f.fresh))
	}
	before := len(f.fresh)
	return f.learn(func(a *applier) {
		f.fresh = f.fresh[:before]
		for i := range b.list {
			c := &b.list[i]
			a.applyFPM(c)
			if f.number != nil {
				f.note(a, c)
			}
		}
	})
}

// note takes up what is told anew, if the router has taken it: the rest could be without end.
func (f *fpm) note(a *applier, c *change) {
	switch c.kind {
	case routeAdded:
		if a.before = a.learner.Ways(a.before[:0], c.prefix); len(a.before) == 0 {
			return
		}
		f.fresh = append(f.fresh, c.prefix)
	case nexthopSet:
		if id := c.nexthop.object.ID.Number(); a.learner.Object(id) != nil {
			f.number[id] = true
		}
	}
}

// applyFPM makes a change: of a prefix there is one route.
func (a *applier) applyFPM(c *change) {
	switch c.kind {
	case routeAdded:
		a.before = append(a.before[:0], a.way(&c.route))
		a.set(c.prefix, a.before)
	case routeDeleted:
		a.set(c.prefix, nil)
	default:
		a.apply(c)
	}
}

// learn runs fn in a transaction.
func (f *fpm) learn(fn func(a *applier)) error {
	sp := f.space
	var a *applier
	err := sp.server.o.Table.Learn(sp.ns, fib.FromFPM, func(l *nstable.Learner) error {
		links := *sp.names.Load()
		a = newApplier(l, fib.FromFPM, func(index int) nstable.DeviceID { return l.Device(links[index].name) })
		fn(a)
		return nil
	})
	if err == nil && a.count > 0 {
		f.warn("routes that a routing daemon tells by FPM are not taken up", zap.Int("routes", a.count),
			zap.Error(a.refused))
	}
	return err
}

// close ends the listener and its connection.
func (f *fpm) close() {
	if f.listener == nil {
		return
	}
	f.listener.Close()
	f.mu.Lock()
	f.ending = true
	if f.conn != nil {
		f.conn.Close()
	}
	f.mu.Unlock()
	f.serving.Wait()
	f.listener = nil
	f.mu.Lock()
	if f.sweep != nil {
		f.sweep.Stop()
		f.sweep = nil
	}
	f.told = false
	f.mu.Unlock()
}
