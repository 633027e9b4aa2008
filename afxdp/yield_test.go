package afxdp

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
	"nsrouter/internal/lab"
	"nsrouter/internal/load"
)

// TestFlushYields sends more than a veth holds to a peer that receives in a thread on the sender's CPU. Both threads are
// real-time ones of one priority, so that the other runs when the sender yields, and never else: without yields just what the veth
// holds would arrive.
func TestFlushYields(t *testing.T) {
	const batch, batches = 64, 16 // a veth's ring has 256 entries
	l := lab.New(t)
	name := func(end string) string { return fmt.Sprintf("%s%d", end, os.Getpid()) }
	near, far := l.Link(l.Host("near").End(name("y")), l.Host("far").End(name("z")), lab.LinkOptions{})
	pool := newPool(t, 4*FillTarget)
	open := func(i *lab.Interface) (p *port) {
		must(t, i.Host.NS.Do(func() error {
			p = openPort(t, pool, Options{Host: i.Name})
			return nil
		}))
		// Closed in its namespace, before openPort's own cleanup finds it so.
		t.Cleanup(func() { must(t, i.Host.NS.Do(func() error { p.shut(); return nil })) })
		return p
	}
	sender, receiver := open(near), open(far)
	cpu := runtime.NumCPU() - 1
	must(t, load.PinNAPI(far, cpu))
	threads, err := napiThreads(far.Name)
	must(t, err)
	if len(threads) == 0 {
		t.Fatalf("no thread receives on %s", far.Name)
	}
	for _, thread := range threads {
		must(t, realTime(thread.pid))
	}

	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its priority
		done <- sendBatches(sender, cpu, batch, batches)
	}()
	must(t, <-done)
	for n := range batch * batches {
		d, ok := receiver.receive(receiver.Queues()[0], 5*time.Second)
		if !ok {
			t.Fatalf("%d packets arrived, want %d", n, batch*batches)
		}
		receiver.cache.PutChain(d)
	}
}

// sendBatches sends from this thread, on a CPU, with real-time priority.
func sendBatches(p *port, cpu, batch, batches int) error {
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return err
	}
	if err := realTime(0); err != nil {
		return err
	}
	q := p.Queues()[0]
	for n := range batches {
		var list []frame.Desc
		for range batch {
			packet := testPacket(uint32(n), 64)
			d, ok := p.cache.New(len(packet))
			if !ok {
				return fmt.Errorf("batch %d: no free frame", n)
			}
			frame.Write(p.pool.Bytes(), d, packet)
			list = append(list, d)
		}
		if sent := q.Transmit(list); sent != batch {
			return fmt.Errorf("batch %d: %d packets accepted of %d", n, sent, batch)
		}
		q.Flush()
		q.Complete(p.cache)
	}
	return nil
}

// realTime gives a thread the lowest real-time priority.
func realTime(thread int) error {
	return unix.SchedSetAttr(thread, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
}
