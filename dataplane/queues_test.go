package dataplane

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"

	"nsrouter/dataplane/counters"
	"nsrouter/dataplane/frame"
	"nsrouter/dataplane/header"
	"nsrouter/dataplane/neigh"
	"nsrouter/fib"
	"nsrouter/nstable"
)

// flows is how many flows a flowPort receives, in turn.
const flows = 8

// flowPort is a queue that receives numbered packets without end, or hears of the numbers of what it transmits. It has no lock:
// its worker alone calls it, whichever that is at the time.
type flowPort struct {
	memPort
	template []byte   // of what it receives; nil: nothing
	stock    []uint64 // frames to receive into
	made     uint32   // packets received
	last     [flows]uint32
	faults   int // packets sent twice, or overtaken by one of their flow
	*flowCount
}

// flowCount is what two ports have in common.
type flowCount struct {
	sent   atomic.Uint32
	paused atomic.Bool
}

// number is where a packet's number is: behind Ethernet, IPv4 and UDP.
const number = header.EthernetLen + header.IPv4MinLen + 8

// inFlight is how many packets are on their way at most: fewer than a ring between workers has room for.
const inFlight = handoffSize / 2

func (f *flowPort) Refill(c *frame.Cache) int {
	for f.template != nil && len(f.stock) < vectorSize {
		addr, ok := c.Get()
		if !ok {
			break
		}
		f.pool.Lend(addr, f.owner)
		f.stock = append(f.stock, addr)
	}
	return 0
}

func (f *flowPort) Receive(d []frame.Desc) int {
	n := 0
	for ; n < 3 && len(f.stock) > 0 && !f.paused.Load() && f.made-f.flowCount.sent.Load() < inFlight; n++ {
		addr := f.stock[len(f.stock)-1]
		f.stock = f.stock[:len(f.stock)-1]
		f.pool.Return(addr, f.owner)
		b := f.pool.Bytes()[addr+frame0:]
		copy(b, f.template)
		binary.BigEndian.PutUint16(b[header.EthernetLen+header.IPv4MinLen:], uint16(f.made%flows)) // the source port
		binary.BigEndian.PutUint32(b[number:], f.made/flows+1)
		f.made++
		d[n] = frame.Desc{Addr: addr + frame0, Len: uint32(len(f.template))}
	}
	return n
}

func (f *flowPort) Transmit(d []frame.Desc) int {
	for _, x := range d {
		b := f.pool.Bytes()[x.Addr:]
		flow, n := binary.BigEndian.Uint16(b[header.EthernetLen+header.IPv4MinLen:]), binary.BigEndian.Uint32(b[number:])
		if n <= f.last[flow] {
			f.faults++
		}
		f.last[flow] = n
		f.pool.Lend(x.Addr, f.owner)
		f.memPort.sent = append(f.memPort.sent, x.Addr)
	}
	f.flowCount.sent.Add(uint32(len(d)))
	return len(d)
}

// movingPlane is two workers with the queue of p1, which receives, and that of p2, to which all of that goes.
func movingPlane(t testing.TB) (plane *Dataplane, in, out *flowPort) {
	r := newRigOf(t, 4096) // for its view
	for _, d := range r.view.Devices {
		if d != nil {
			d.Counters = counters.NewDevice(2)
		}
	}
	host := r.view.Devices[p2].Neighbors.Lookup(fib.AddrOf(netip.MustParseAddr("10.0.2.2")))
	host.Set(neigh.Permanent, hostMAC(p2), r.now) // nobody answers for it
	plane, err := New(Options{CPUs: []int{-1, -1}, Pool: r.pool, View: func() *nstable.View { return r.view }})
	if err != nil {
		t.Fatal(err)
	}
	common := new(flowCount)
	common.paused.Store(true)
	in = &flowPort{memPort: *newMemPort(t, r.pool), flowCount: common}
	out = &flowPort{memPort: *newMemPort(t, r.pool), flowCount: common}
	in.template = udp4(t, p1, ip4("10.0.1.2", "10.0.2.2", 64), 20)
	ports := map[nstable.DeviceID]*flowPort{p1: in, p2: out}
	for dev, p := range ports {
		if err := plane.AddPort(dev, []Port{p}, nil); err != nil {
			t.Fatal(err)
		}
	}
	common.paused.Store(false)
	t.Cleanup(func() {
		for dev := range ports {
			if err := plane.RemovePort(dev, func() error { return nil }); err != nil {
				t.Error(err)
			}
		}
		plane.Close()
	})
	return plane, in, out
}

// TestMoveQueues: while packets pass, the queues that they come in and leave by go from worker to worker, and no packet is
// lost, doubled, or overtaken by one of its flow.
func TestMoveQueues(t *testing.T) {
	plane, in, out := movingPlane(t)
	plane.moveAbout(t, in, out)
}

// TestSpread: the same where the flows are shared out over the workers, who all have some of them.
func TestSpread(t *testing.T) {
	plane, in, out := movingPlane(t)
	settings := *plane.workers[0].views().Devices[p1].Settings
	settings.Spread = true
	plane.stop(func() { plane.workers[0].views().Devices[p1].Settings = &settings })
	plane.moveAbout(t, in, out)
	slots := plane.workers[0].views().Devices[p1].Counters
	for id := range plane.workers {
		if n := slots.Worker(id).RxPackets.Load(); n < uint64(in.made)/flows {
			t.Errorf("worker %d had %d of %d packets", id, n, in.made)
		}
	}
}

func (d *Dataplane) moveAbout(t *testing.T, in, out *flowPort) {
	t.Helper()
	plane := d
	at := map[nstable.DeviceID]int{p1: 1, p2: 0}
	for i := 0; i < 300 || in.sentSoFar() < 5_000; i++ {
		dev := []nstable.DeviceID{p1, p2, p2}[i%3] // all combinations
		at[dev] = 1 - at[dev]
		if err := plane.MoveQueues(at[dev], WorkerQueue{Device: dev}); err != nil {
			t.Fatal(err)
		}
		if q := plane.Queues(dev); q[0].Worker != at[dev] {
			t.Fatalf("the queue of device %d is at worker %d, not %d", dev, q[0].Worker, at[dev])
		}
	}
	in.paused.Store(true)
	plane.Quiesce()
	plane.Quiesce() // what one worker has handed over is out now
	plane.stop(func() {
		if made, sent := in.made, in.sentSoFar(); made != sent || out.faults != 0 {
			t.Errorf("%d packets came in, %d left, %d twice or too late", made, sent, out.faults)
		}
	})
	if f := plane.Census(); f.Lost != 0 || f.Total != f.Free+f.Held+f.Pipeline+f.Queues {
		t.Errorf("census %+v", f)
	}
	var both [2]uint64
	for _, q := range plane.Queues(p1) {
		both[0] += q.RxPackets
	}
	for _, w := range plane.Stats() {
		both[1] += w.Packets
	}
	if both[0] != uint64(in.made) || both[1] <= both[0] {
		t.Errorf("%d received, %d taken up by workers, of %d: nothing was handed over", both[0], both[1], in.made)
	}
}

func (f *flowCount) sentSoFar() uint32 { return f.sent.Load() }

// TestMoveQueuesRefused: a worker or a queue that there is not is refused, and then nothing moves.
func TestMoveQueuesRefused(t *testing.T) {
	plane, _, _ := movingPlane(t)
	was := plane.Queues(p1)[0].Worker
	for name, err := range map[string]error{
		"worker 2":  plane.MoveQueues(2, WorkerQueue{Device: p1}),
		"worker -1": plane.MoveQueues(-1, WorkerQueue{Device: p1}),
		"queue 1":   plane.MoveQueues(1-was, WorkerQueue{Device: p1}, WorkerQueue{Device: p1, Queue: 1}),
		"device 3":  plane.MoveQueues(1-was, WorkerQueue{Device: p1}, WorkerQueue{Device: p3}),
		"queue -1":  plane.MoveQueues(1-was, WorkerQueue{Device: p1, Queue: -1}),
	} {
		if err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if now := plane.Queues(p1)[0].Worker; now != was {
		t.Errorf("the queue has moved from worker %d to %d", was, now)
	}
}
