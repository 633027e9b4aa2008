package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// numbered sends datagrams with ascending numbers from one host to another, one flow at a modest rate, until stop is called,
// which tells how many there were, how many came, and how many of these after a later one.
func (w *world) numbered(from, to *lab.Host, address string) (stop func() (sent, came, late uint64)) {
	w.t.Helper()
	const port = 9000
	var in, out *net.UDPConn
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	must(to.NS.Do(func() (err error) {
		in, err = net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		return err
	}))
	raw, err := in.SyscallConn()
	must(err)
	must(raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	}))
	must(err)
	must(from.NS.Do(func() (err error) {
		out, err = net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.ParseIP(address), Port: port})
		return err
	}))
	quit, sent := make(chan struct{}), make(chan uint64)
	go func() {
		var n uint64
		defer func() { sent <- n }()
		for b := make([]byte, 64); ; {
			select {
			case <-quit:
				return
			case <-time.After(time.Millisecond):
			}
			for range 10 {
				n++
				binary.BigEndian.PutUint64(b, n)
				if _, err := out.Write(b); err != nil {
					n--
				}
			}
		}
	}()
	heard := make(chan [2]uint64)
	go func() {
		var came, late, last uint64
		for b := make([]byte, 64); ; {
			if _, err := in.Read(b); err != nil {
				heard <- [2]uint64{came, late}
				return
			}
			came++
			if n := binary.BigEndian.Uint64(b); n > last {
				last = n
			} else {
				late++
			}
		}
	}()
	return func() (uint64, uint64, uint64) {
		close(quit)
		n := <-sent
		_ = in.SetReadDeadline(time.Now().Add(300 * time.Millisecond)) // for those under way
		h := <-heard
		if err := errors.Join(in.Close(), out.Close()); err != nil {
			w.t.Error(err)
		}
		return n, h[0], h[1]
	}
}

// serving is the worker that has a queue, as `worker show` tells.
func (w *world) serving(queue string) string {
	w.t.Helper()
	for line := range strings.Lines(w.r.Must("worker show 0.1")) {
		if f := strings.Fields(line); len(f) > 0 && strings.Contains(line, queue) {
			return f[0]
		}
	}
	return "nobody"
}

// TestWorkerSet: queues go from worker to worker under traffic, hundreds of times: no packet is lost or overtaken, no frame
// is lost track of. They stay where they were put when their interface vanishes and comes back. What there is not is refused.
func TestWorkerSet(t *testing.T) {
	w := newWorld(t, "--workers", "2")
	a, b := w.host(1, "init"), w.host(2, "init")
	w.ping(a, "10.0.2.2", 2) // neighbours are known
	stop := w.numbered(a, b, "10.0.2.2")
	var moves strings.Builder
	for i := range 100 {
		fmt.Fprintf(&moves, "worker set %d queue init/p1:0\nworker set %d queue init/p2:0\n", i%2, i/2%2)
		fmt.Fprintf(&moves, "worker set %d queue init/p1:0 queue init/p2:0\n", (i+1)%2)
	}
	w.r.Batch(moves.String())
	if sent, came, late := stop(); came != sent || late != 0 || sent < 100 {
		t.Errorf("%d datagrams sent, %d came, %d of them late", sent, came, late)
	}
	w.conserved()
	for _, worker := range []string{"1", "0"} {
		w.r.Must("worker set " + worker + " queue init/p1:0 queue init/p2:0")
		b.Interface("eth0").Delete()
		w.Eventually(10*time.Second, "p2 without carrier", func() bool { return w.link("init", "p2").OperState == "DOWN" })
		w.Eventually(10*time.Second, "a refusal: there is no queue now", func() bool {
			res := w.r.CLI("worker", "set", worker, "queue", "init/p2:0")
			return res.Status == 2 && strings.Contains(res.Stderr, "waits for its interface p2")
		})
		w.Link(b.End("eth0", "10.0.2.2/24"), w.r.Host.End("p2"), lab.LinkOptions{})
		b.Route("default", "10.0.2.1")
		w.Eventually(10*time.Second, "p2 with carrier", func() bool { return w.link("init", "p2").OperState == "UP" })
		if now := w.serving("init/p2:0"); now != worker {
			t.Errorf("p2's queue is at worker %s, not %s, when it is back", now, worker)
		}
	}
	w.r.Must("link add d0 type dummy")
	for line, why := range map[string]string{
		"worker set 2 queue init/p1:0":                 "there is no worker 2: this daemon has 2",
		"worker set 1 queue init/p1:0 queue init/p1:1": "init/p1 has no queue 1: it has 1, from 0",
		"worker set 1 queue init/p9:0":                 `Cannot find device "p9"`,
		"worker set 1 queue red/p1:0":                  "red",
		"worker set 1 queue init/d0:0":                 "init/d0 is no interface of the host",
		"worker set 1":                                 "nothing is to be changed",
	} {
		if said := w.r.Refused(2, line); !strings.Contains(said, why) {
			t.Errorf("router %s: %s", line, said)
		}
	}
	if now := w.serving("init/p1:0"); now != "0" {
		t.Errorf("p1's queue is at worker %s after refusals", now)
	}
}

// TestManageIRQ: the kernel receives for a queue in a thread, on another CPU than that of the queue's worker where there is one.
// It is as it was when the device is deleted, also where the daemon was killed meanwhile.
func TestManageIRQ(t *testing.T) {
	w := newWorld(t, "--workers", "1", "--manage-irq")
	port := fmt.Sprintf("q%d", os.Getpid()) // the kernel's threads are known by its name, on the whole machine
	threaded := func() string {
		return strings.TrimSpace(w.r.Host.Run("ip", "netns", "exec", w.r.Host.NetnsName(), "cat", "/sys/class/net/"+port+"/threaded"))
	}
	h := w.hostAs("host", port, 1, "init")
	for _, killed := range []bool{false, true} {
		if killed {
			w.r.Must("link add " + port + " type xdp\nlink set " + port + " up\naddr add 10.0.1.1/24 dev " + port)
		}
		w.ping(h, "10.0.1.1", 3)
		if got := threaded(); got != "1" {
			t.Errorf("threaded is %q", got)
		}
		pids := strings.Fields(w.r.Host.Run("pgrep", "^napi/"+port+"-"))
		if len(pids) != 1 {
			t.Fatalf("%d NAPI threads", len(pids))
		}
		worker := strings.Fields(strings.Split(w.r.Must("worker show 0.1"), "\n")[1])[1]
		if got := strings.Fields(w.r.Host.Run("taskset", "-cp", pids[0])); runtime.NumCPU() > 1 && got[len(got)-1] == worker ||
			strings.ContainsAny(got[len(got)-1], ",-") {
			t.Errorf("the thread is on CPU %s, the worker on %s", got[len(got)-1], worker)
		}
		if killed {
			w.r.Kill()
			w.r.Start()
		}
		w.r.Must("link del " + port)
		if got := threaded(); got != "0" {
			t.Errorf("threaded is %q at the end, killed %v", got, killed)
		}
	}
}
