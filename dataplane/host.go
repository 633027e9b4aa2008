package dataplane

import (
	"sync"
	"sync/atomic"
	"time"

	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/nstable"
)

// HostPort is the Linux side of a device: programs use the router's addresses through it.
type HostPort interface {
	// ReadFrames calls yield with each Ethernet frame that Linux sends, no longer than the device's, with complete
	// checksums; a frame is valid during the call only. It returns after Interrupt, or when nothing can be read any more.
	ReadFrames(yield func(frame []byte)) error
	// WriteFrames has Linux receive some frames, in their order, and tells how many it did not want. It must not wait long:
	// those of others are behind them.
	WriteFrames(frames [][]byte) (refused int)
	// Interrupt has ReadFrames return, now or when it is called.
	Interrupt()
}

// hostLink is a device's connection with its Linux side. Two goroutines serve it, so that workers make no system calls for
// it: one for each link reads, one for each worker writes.
type hostLink struct {
	HostPort
	dev     *nstable.Device // as it was when it was connected
	closing atomic.Bool
	ended   chan struct{} // reading has
}

// of tells whether the link is that of a device, which has its table of neighbours as long as it is in its namespace.
func (l *hostLink) of(d *nstable.Device) bool { return d != nil && d.Neighbors == l.dev.Neighbors }

// punter is what a worker has of a link.
type punter struct {
	*hostLink
	queue  *hostQueue
	shares [askSources]int64 // token buckets of groups of senders, as in askBudget
}

// hostItem is a packet on its way to or from Linux.
type hostItem struct {
	frame.Desc
	link  *hostLink
	queue *hostQueue // on its way to Linux: that of its namespace
}

// hostQueue counts what a namespace has in the ring of a worker to Linux.
type hostQueue struct {
	pushed  uint32        // ever; the worker's
	written atomic.Uint32 // ever, and dropped by who writes
}

// waiting is how many packets wait.
func (q *hostQueue) waiting() uint32 { return q.pushed - q.written.Load() }

// SetHost connects a device with its Linux side, until it leaves its namespace or is told another port. With nil it
// returns when the port is in use no more. The port stays the caller's. Any goroutine but a worker's; for one device one
// at a time.
func (d *Dataplane) SetHost(dev *nstable.Device, port HostPort) {
	d.hostMu.Lock()
	old := d.hosts[dev.Neighbors]
	delete(d.hosts, dev.Neighbors)
	var link *hostLink
	if port != nil {
		link = &hostLink{HostPort: port, dev: dev, ended: make(chan struct{})}
		d.hosts[dev.Neighbors] = link
	}
	d.hostMu.Unlock()
	for _, w := range d.workers {
		w.call(func(w *Worker) { w.setHost(dev.ID, old, link) })
	}
	if old != nil {
		old.closing.Store(true)
		old.Interrupt()
		<-old.ended
		for _, w := range d.workers {
			w.toHost.drain()
		}
	}
	if link != nil {
		go d.read(link)
	}
}

// setHost makes link that of a device, in place of old; nil is none.
func (w *Worker) setHost(id nstable.DeviceID, old, link *hostLink) {
	for int(id) >= len(w.hosts) {
		w.hosts = append(w.hosts, nil)
	}
	switch {
	case link != nil:
		w.hosts[id] = &punter{hostLink: link, queue: w.hostQueue(link.dev.Namespace)}
	case old != nil && w.hosts[id] != nil && w.hosts[id].hostLink == old: // and not that of who has its id now
		w.hosts[id] = nil
	}
	w.leave()
}

// hostQueue is that of a namespace, or of the one that had its id before.
func (w *Worker) hostQueue(ns *nstable.Namespace) *hostQueue {
	for int(ns.ID) >= len(w.hostQueues) {
		w.hostQueues = append(w.hostQueues, new(hostQueue))
	}
	return w.hostQueues[ns.ID]
}

// hostOf is the link of a device, or nil.
func (w *Worker) hostOf(dev *nstable.Device) *punter {
	if int(dev.ID) >= len(w.hosts) {
		return nil
	}
	if h := w.hosts[dev.ID]; h != nil && h.of(dev) {
		return h
	}
	return nil
}

// hostWriter gives Linux what a worker has for it.
type hostWriter struct {
	ring     ring[hostItem]
	pushed   bool // in this round; the worker's
	sleeping atomic.Bool
	wake     chan struct{} // one token
	stop     chan struct{}
	ended    chan struct{}
	mem      []byte

	mu     sync.Mutex // while frames are moved: held by run, and by a Census
	cache  *frame.Cache
	batch  [writesAtOnce]hostItem
	frames [writesAtOnce][]byte
	copies [writesAtOnce][]byte // of those of several pieces; made when first needed
}

func newHostWriter(pool *frame.Pool) hostWriter {
	return hostWriter{
		wake: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
		mem: pool.Bytes(), cache: pool.NewCache(),
	}
}

// notify wakes the writer if the round had something for it. The worker's.
func (h *hostWriter) notify() {
	if !h.pushed {
		return
	}
	h.pushed = false
	if h.sleeping.Load() {
		select {
		case h.wake <- struct{}{}:
		default:
		}
	}
}

// writesAtOnce bounds how long a Census waits for the writer.
const writesAtOnce = 32

// run writes until close.
func (h *hostWriter) run() {
	defer close(h.ended)
	for {
		for h.write() {
		}
		h.sleeping.Store(true)
		if h.ring.len() > 0 { // who pushed before saw it awake
			h.sleeping.Store(false)
			continue
		}
		select {
		case <-h.wake:
		case <-h.stop:
			return
		}
		h.sleeping.Store(false)
	}
}

// write gives Linux some frames of one device, and tells whether there were any.
func (h *hostWriter) write() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	item, n := h.ring.peek(), 0
	if item == nil {
		return false
	}
	link := item.link
	for ; n < writesAtOnce && item != nil && item.link == link; n++ {
		h.batch[n] = *item
		h.frames[n] = h.whole(item.Desc, n)
		*item = hostItem{}
		h.ring.pop()
		item = h.ring.peek()
	}
	// What Linux does not take is Linux's loss: the TAP is down, or gone and about to be made again.
	_ = link.WriteFrames(h.frames[:n])
	for k := range n {
		h.cache.PutChain(h.batch[k].Desc)
		h.batch[k].queue.written.Add(1)
	}
	return true
}

// whole is packet n of a batch in one piece.
func (h *hostWriter) whole(d frame.Desc, n int) []byte {
	if d.Options&frame.Chained == 0 {
		return h.mem[d.Addr : d.Addr+uint64(d.Len)]
	}
	if h.copies[n] == nil {
		h.copies[n] = make([]byte, frame.MaxPieces*frame.Size)
	}
	return h.copies[n][:frame.Read(h.mem, d, 0, h.copies[n])]
}

// drain returns when all is written that was pushed before.
func (h *hostWriter) drain() {
	for end := h.ring.tail.Load(); int32(h.ring.head.Load()-end) < 0; {
		select {
		case <-h.ended:
			return
		case <-time.After(hostWait):
		}
	}
	h.mu.Lock() // and what was popped last is written, too
	defer h.mu.Unlock()
}

// close ends the writer and frees what it has not written.
func (h *hostWriter) close() {
	close(h.stop)
	<-h.ended
	for item := h.ring.peek(); item != nil; item = h.ring.peek() {
		h.cache.PutChain(item.Desc)
		h.ring.pop()
	}
	h.cache.Drain()
}

// hostReader has what Linux sends by devices of a worker.
type hostReader struct {
	ring ring[hostItem]

	mu    sync.Mutex // of those that read from Linux: they are one producer. And of a Census.
	cache *frame.Cache
}

// hostWait is how long Linux waits where a worker has no room for more, or where there is no frame.
const hostWait = 50 * time.Microsecond

// read takes what Linux sends by a link until it is closed.
func (d *Dataplane) read(l *hostLink) {
	defer close(l.ended)
	w := d.workers[l.dev.Owner]
	// An error says that the TAP is gone. Who opened it hears of that from Linux.
	_ = l.ReadFrames(func(f []byte) {
		if mustNotSend(f) {
			return
		}
		for !w.fromHost.put(w.mem, l, f) {
			if l.closing.Load() {
				return
			}
			time.Sleep(hostWait) // and Linux with us: what it sends has its own queue
		}
		if w.sleeping.Load() {
			w.wake.wake()
		}
	})
}

// mustNotSend tells what Linux is not to say, since the router does: ARP, and the solicitations and advertisements of
// neighbour discovery. Nor is it to choose a VLAN: the router's devices are what is on one, and may be in another namespace.
func mustNotSend(f []byte) bool {
	e := header.Ethernet(f)
	switch {
	case len(f) < header.EthernetLen:
		return true // nothing that could be sent
	case e.Type() == header.TypeARP, header.IsVLAN(e.Type()):
		return true
	case e.Type() != header.TypeIPv6 || len(f) < header.EthernetLen+header.IPv6HeaderLen+header.ICMPLen:
		return false
	}
	h := header.IPv6(f[header.EthernetLen:])
	if h.NextHeader() != header.ProtoICMPv6 {
		return false
	}
	switch header.ICMP(h[header.IPv6HeaderLen:]).Type() {
	case header.ICMPv6NeighborSolicit, header.ICMPv6NeighborAdvert:
		return true
	}
	return false
}

// put copies a frame for the worker; false where that has no room. Any goroutine but the worker's.
func (h *hostReader) put(mem []byte, l *hostLink, f []byte) bool {
	if len(f) > frame.MaxChain {
		return true // and lost: no device could send it
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	d, ok := h.cache.New(len(f))
	if !ok {
		return false
	}
	frame.Write(mem, d, f)
	if !h.ring.push(&hostItem{Desc: d, link: l}) {
		h.cache.PutChain(d)
		return false
	}
	return true
}

// takeHost sends what came from Linux, in batches by device, and returns how many packets that were: in a round no more than
// come from a queue, so that a program that sends as fast as it can takes no more from forwarding than a busy link does.
func (w *Worker) takeHost() int {
	total := 0
	for total < vectorSize {
		item := w.fromHost.ring.peek()
		if item == nil {
			break
		}
		link, n := item.link, 0
		known := w.enter(link.dev.ID) && link.of(w.dev) && w.dev.Usable()
		for total+n < vectorSize && item != nil && item.link == link {
			w.packets[n] = Packet{
				Addr: item.Addr, Len: item.Len, Out: link.dev.ID, Flags: Own | Flags(item.Options),
			}
			*item = hostItem{}
			w.fromHost.ring.pop()
			// Linux does not look how long the segments of a packet socket's GSO frame are (packet_snd of af_packet.c).
			if known && uint32(w.length(&w.packets[n])) <= header.EthernetLen+w.dev.MTU {
				w.to(transmit, uint16(n))
			} else {
				w.free(&w.packets[n])
			}
			n++
			item = w.fromHost.ring.peek()
		}
		w.runGraph()
		total += n
	}
	return total
}

// hostFrames counts the frames on the way to and from Linux, while the worker stands still and both sides are locked.
func (w *Worker) hostFrames() (free, pipeline int) {
	for _, r := range []*ring[hostItem]{&w.toHost.ring, &w.fromHost.ring} {
		r.each(func(item *hostItem) { pipeline += frame.Pieces(w.mem, item.Desc) })
	}
	return w.toHost.cache.Len() + w.fromHost.cache.Len(), pipeline
}

// releaseHost frees what came from Linux, for a worker that ends.
func (w *Worker) releaseHost() {
	h := &w.fromHost
	h.mu.Lock()
	defer h.mu.Unlock()
	for item := h.ring.peek(); item != nil; item = h.ring.peek() {
		h.cache.PutChain(item.Desc)
		h.ring.pop()
	}
	h.cache.Drain()
}
