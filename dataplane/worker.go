package dataplane

import (
	"sync/atomic"
	"time"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/fib"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

type reason = counters.Reason

// Worker moves packets on a thread of its own. Unless a field says otherwise, only that thread touches it.
type Worker struct {
	id     int
	cpu    int
	mem    []byte // the frame area
	cache  *frame.Cache
	views  func() *nstable.View
	reader *fib.Reader // says between rounds that nothing of a FIB is held
	peers  []*Worker   // all workers, this one too

	graph   [numNodes]node
	packets [vectorSize]Packet
	vectors [numNodes]vector
	rx      [vectorSize]frame.Desc

	// Context of the run: set by enter, the same for all packets in the graph.
	view        *nstable.View
	dev         *nstable.Device // that the packets came in by
	ns          *nstable.Namespace
	set         *setting.Namespace
	fib         *fib.Table
	slot        *counters.Slot            // of dev
	host        *punter                   // of dev; nil: it is not in Linux
	dst4        [vectorSize]uint32        // destinations of the packets of ip4-lookup's vector, in its order
	dst6        [vectorSize]fib.Addr      // the same of ip6-lookup
	ids         [vectorSize]fib.GroupID   // what the FIB answered for dst4 or dst6
	hops        [vectorSize]*fib.NextHop  // by packet: where it goes, once it was looked up
	adjacencies [adjacencySlots]adjacency // of the next hops of ip4-forward's or ip6-forward's batch
	sameLink    fib.NextHop               // where link-local packets go: back to the link of dev

	options   [vectorSize]options4 // by packet: what it has of options, if it is marked so
	redirects [redirectSlots]redirected

	members [][]*nstable.Device // by NamespaceID: the devices of viewed (devicesOf)
	viewed  *nstable.View

	ports   []*boundPort // queues that this worker serves
	outputs []output     // by DeviceID: how this worker transmits on a device

	// Packets that passed a veth pair, or went into another namespace, in this round; they enter the graph in the next.
	crossings, crossed []Packet
	tally              tally // of the crossings, not yet counted
	// Packets that vlan-input has passed to VLAN devices in this run; they enter the graph in the next.
	tagged, untagged []Packet
	warmed           uint64 // what warm has loaded, so that the loads have a use
	// Fragments made in this run of the graph, in order; sendPieces ends them.
	pieces []Packet

	hostQueues []*hostQueue // by NamespaceID
	hosts      []*punter    // by DeviceID: those that are in Linux
	toHost     hostWriter
	fromHost   hostReader

	inbox    []handoffRing // by the worker that writes it
	outbox   []*handoffRing
	notify   []bool // peers to wake at the end of the round
	wake     waker
	mail     mailbox
	sleeping atomic.Bool   // set before ppoll; peers read it
	mode     atomic.Uint32 // poll, for others to read

	now       int64 // nanoseconds of the monotonic clock, read once a round
	wall      int64 // what the time of day is ahead of it, nanoseconds
	lastTick  int64
	lastWork  int64
	poll      PollMode
	spin      spin
	nap       time.Duration // how long to sleep next while the kernel has frames to send
	neighbors neighborKeeper
	trials    map[uint32]*trial         // addresses that are being tried, by round
	probed    func(nstable.ProbeResult) // tells the control plane; must not block
	// What has come of datagrams for the router itself.
	reassembly reassembler
	solicited  func(RouterSolicitation) // tells the control plane; must not block
	ipID       uint16                   // identification of the last own IPv4 packet
	fragments  uint32                   // datagrams fragmented by this worker, for identifications of IPv6
	secret     uint64                   // of all workers, against guessing
	stop       bool
	done       chan struct{}

	rounds, naps  counters.Counter              // rounds made, times slept
	handled, busy counters.Counter              // packets taken up, and nanoseconds of the rounds that had some
	slow          [slowClasses]counters.Counter // rounds that took slowRound << i nanoseconds or more, each counted once
	born          int64                         // when it began
}

// boundPort is a queue and what waits to be transmitted on it.
type boundPort struct {
	Port
	dev     nstable.DeviceID
	queue   int
	worker  int // that serves it; changed under Dataplane.mu, while the workers are stopped
	pending [vectorSize]frame.Desc
	from    [vectorSize]nstable.DeviceID // device that pending[i] came in by; zero for own packets
	n       int
	lacking int // frames that the fill ring lacked at the last refill
	Queue   QueueCounters
}

// QueueCounters is what the data plane counts for one queue of a device; written by its worker.
type QueueCounters struct{ RxPackets, TxPackets counters.Counter }

// output says how a worker reaches a device's queue: its own port, or another worker.
type output struct {
	port  *boundPort
	owner int // worker to hand over to where port is nil; -1: the device has no queue
}

// enter makes dev the context of the next run; false if the device is gone.
func (w *Worker) enter(id nstable.DeviceID) bool {
	dev := w.view.Device(id)
	if dev == nil {
		return false
	}
	if dev != w.dev {
		w.dev, w.ns = dev, dev.Namespace
		w.slot = dev.Counters.Worker(w.id)
		w.host = w.hostOf(dev)
	}
	w.fib, w.set = w.ns.FIB, w.ns.Settings()
	return true
}

// look takes up the present view; a context of the one before is void.
func (w *Worker) look() {
	if v := w.views(); v != w.view {
		w.view = v
		w.leave()
	}
}

// devicesOf returns the devices of a namespace in the order of their ids. They are sorted by namespace once for a view, when
// first asked for: who chooses a source address for an error must not look at the devices of all namespaces.
func (w *Worker) devicesOf(ns *nstable.Namespace) []*nstable.Device {
	if w.viewed != w.view {
		w.viewed = w.view
		for i := range w.members {
			clear(w.members[i])
			w.members[i] = w.members[i][:0]
		}
		for _, d := range w.view.Devices {
			if d == nil {
				continue
			}
			for int(d.Namespace.ID) >= len(w.members) {
				w.members = append(w.members, nil)
			}
			w.members[d.Namespace.ID] = append(w.members[d.Namespace.ID], d)
		}
	}
	if int(ns.ID) >= len(w.members) {
		return nil
	}
	return w.members[ns.ID]
}

// leave forgets the context, so that what is replaced can be collected.
func (w *Worker) leave() {
	w.dev, w.ns, w.set, w.fib, w.slot, w.host = nil, nil, nil, nil, nil, nil
	clear(w.adjacencies[:])
}

// round does everything once and returns how many packets it saw.
func (w *Worker) round() int {
	w.reader.Quiesce()
	w.look()
	if w.mail.pending() {
		w.mail.run(w)
		w.look()
	}
	n := w.takeCrossings()
	for _, p := range w.ports {
		n += w.relieve()
		n += w.receive(p)
	}
	for from := range w.inbox {
		n += w.takeHandoffs(&w.inbox[from])
	}
	n += w.takeHost()
	w.flush()
	if w.now-w.lastTick >= tickInterval {
		w.lastTick = w.now
		w.spin.missed = 0
		w.expireFragments()
		w.tick()
	}
	w.rounds.Add(1)
	return n
}

// receive takes one batch from a queue through the graph.
func (w *Worker) receive(p *boundPort) int {
	n := p.Receive(w.rx[:])
	if n == 0 {
		return 0
	}
	p.Queue.RxPackets.Add(uint64(n))
	if !w.enter(p.dev) {
		for i := range n {
			w.cache.PutChain(w.rx[i])
		}
		return n
	}
	for i := range n {
		w.packets[i] = Packet{Addr: w.rx[i].Addr, Len: w.rx[i].Len, In: p.dev, Flags: Flags(w.rx[i].Options)}
	}
	if w.dev.Settings.Spread && len(w.peers) > 1 {
		w.share(n)
	} else {
		for i := range n {
			w.to(ethernetInput, uint16(i))
		}
	}
	w.runGraph()
	if len(w.tagged) > 0 {
		w.takeTagged()
	}
	return n
}

func (w *Worker) freeAll(list []Packet) {
	for i := range list {
		w.free(&list[i])
	}
}

// takeHandoffs goes on with packets that another worker handed over, in batches of one device and node.
func (w *Worker) takeHandoffs(r *handoffRing) int {
	total := 0
	for total < handoffSize {
		total += w.relieve()
		p := r.peek()
		if p == nil {
			break
		}
		in, out, next := p.In, p.Out, p.Next
		known := w.enterFor(p)
		n := 0
		for n < vectorSize && p != nil && p.In == in && p.Next == next && (in != 0 || p.Out == out) {
			w.packets[n] = *p
			r.pop()
			switch {
			case !known:
				w.free(&w.packets[n])
			case next == ethernetInput:
				w.takeShared(uint16(n))
			default:
				w.to(next, uint16(n))
			}
			n++
			p = r.peek()
		}
		w.runGraph()
		if len(w.tagged) > 0 {
			w.takeTagged()
		}
		total += n
	}
	return total
}

// enterFor makes the context for a packet handed over: the device it came in by, or for an own packet the one it leaves
// by.
func (w *Worker) enterFor(p *Packet) bool {
	if p.In != 0 {
		return w.enter(p.In)
	}
	return w.enter(p.Out)
}

// handoff gives a packet to another worker, which goes on at next.
func (w *Worker) handoff(to int, next NodeID, p *Packet) {
	p.Next = next
	if !w.outbox[to].push(p) {
		w.discard(p, counters.HandoffFull)
		return
	}
	w.notify[to] = true
}

// flush sends what the round has queued, takes completed frames back, and refills.
func (w *Worker) flush() {
	w.tally.settle()
	for _, p := range w.ports {
		if p.n > 0 {
			w.sendPending(p)
			w.nap = shortNap
		}
		if p.Pending() > 0 {
			p.Flush()
			if p.Complete(w.cache) > 0 {
				w.nap = shortNap
			}
		}
		p.lacking = p.Refill(w.cache)
	}
	w.toHost.notify()
	for to := range w.notify {
		if w.notify[to] {
			w.notify[to] = false
			if peer := w.peers[to]; peer.sleeping.Load() {
				peer.wake.wake()
			}
		}
	}
}

// ethernet is the packet from its Ethernet header on.
func (w *Worker) ethernet(p *Packet) header.Ethernet {
	return header.Ethernet(w.mem[p.Addr : p.Addr+uint64(p.Len)])
}

// network is the packet from its network header on.
func (w *Worker) network(p *Packet) []byte {
	return w.mem[p.Addr+header.EthernetLen : p.Addr+uint64(p.Len)]
}

// slotOf is this worker's counter slot of a device, or nil where it is gone.
func (w *Worker) slotOf(id nstable.DeviceID) *counters.Slot {
	if w.dev != nil && w.dev.ID == id {
		return w.slot
	}
	if d := w.view.Device(id); d != nil {
		return d.Counters.Worker(w.id)
	}
	return nil
}

// discard counts and frees a packet wherever it is met: in the drop node, on a full ring, in a neighbour's queue.
func (w *Worker) discard(p *Packet, why reason) {
	if p.Flags&Own == 0 {
		if s := w.slotOf(p.In); s != nil {
			s.Drops[why].Add(1)
		}
	}
	w.free(p)
}
