package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/server"
	"nsrouter/internal/netns"
	"nsrouter/nstable"
)

// asProgram makes the test binary behave as the program, for what needs a process of its own.
const asProgram = "ROUTER_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

// testDaemon is the API over a table in memory, with ports that pretend.
type testDaemon struct {
	t      *testing.T
	socket string
	table  *nstable.Table
	hosts  *hosts
	// workerSet is what was asked of a worker last.
	workerSet *v1.SetWorkerRequest
}

func newTestDaemon(t *testing.T) *testDaemon {
	t.Helper()
	table, err := nstable.Open(nstable.Options{Ports: ports{}})
	if err != nil {
		t.Fatal(err)
	}
	known := &hosts{byName: make(map[string]*netns.Handle)}
	d := &testDaemon{t: t, socket: filepath.Join(t.TempDir(), "s"), table: table, hosts: known}
	l, err := server.Listen(d.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	s := server.New(server.Options{Table: table, Hosts: d.hosts, Queues: func(nstable.DeviceID) []*v1.QueueStats {
		return []*v1.QueueStats{{Queue: 0, Worker: 1, RxPackets: 5, TxPackets: 6, RxRingFull: 7}}
	}, SetWorker: func(req *v1.SetWorkerRequest) error {
		d.workerSet = req
		return nil
	}})
	if err := s.Delegate(d.socket + server.DelegateSuffix); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		table.Close()
	})
	return d
}

// result is what a run of the program left.
type result struct {
	status   int
	out, err string
}

// run runs the program with input on stdin. Words are split at blanks.
func (d *testDaemon) run(line string) result { return d.runWith("", strings.Fields(line)...) }

func (d *testDaemon) runWith(input string, words ...string) result {
	var out, errOut bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	status := run(ctx, append([]string{"--socket", d.socket}, words...), strings.NewReader(input), &out, &errOut)
	return result{status, out.String(), errOut.String()}
}

// must runs commands, a line each, that succeed, and returns what the last one printed.
func (d *testDaemon) must(lines string) string {
	d.t.Helper()
	var r result
	for line := range strings.Lines(lines) {
		if r = d.run(line); r.status != 0 {
			d.t.Fatalf("router %s: status %d: %s", strings.TrimSpace(line), r.status, r.err)
		}
	}
	return r.out
}

// program prepares a run in a process of its own.
func (d *testDaemon) program(words ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", words...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "ROUTER_SOCKET="+d.socket)
	return cmd
}

// follow runs a monitor until the test ends, and returns its lines from when it listens.
func (d *testDaemon) follow(line string) <-chan string {
	d.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	in, out := io.Pipe()
	lines := make(chan string, 1000)
	go func() {
		run(ctx, append([]string{"--socket", d.socket}, strings.Fields(line)...), strings.NewReader(""), out, io.Discard)
		out.Close()
	}()
	go func() {
		defer close(lines)
		for scan := bufio.NewScanner(in); scan.Scan(); {
			lines <- scan.Text()
		}
	}()
	d.t.Cleanup(func() {
		stop()
		for range lines { // its end
		}
	})
	for heard := false; !heard; { // the first event heard says that it listens, that of the end that no other is to come
		d.must("nexthop add id 9999 blackhole\nnexthop del id 9999")
		select {
		case <-lines:
			heard = true
		case <-time.After(10 * time.Millisecond):
		}
	}
	d.must("nexthop add id 9998 blackhole")
	for text := range lines {
		if strings.Contains(text, "9998") {
			break
		}
	}
	d.must("nexthop del id 9998")
	<-lines
	return lines
}

// ports pretend to attach anything but "busy0".
type ports struct{}

func (ports) Attach(_ nstable.DeviceID, spec nstable.XDPSpec) (nstable.PortInfo, error) {
	if spec.Host == "busy0" {
		return nstable.PortInfo{}, fmt.Errorf("attach busy0: device busy: another program holds it (ip -d link show busy0)")
	}
	return nstable.PortInfo{
		MAC: [6]byte{2, 0, 0, 0, 0, 1}, MTU: 1500, Mode: nstable.ModeCopy, Queues: 2, Carrier: true,
	}, nil
}
func (ports) Detach(nstable.DeviceID) error                        { return nil }
func (ports) Configure(nstable.DeviceID, nstable.PortConfig) error { return nil }

// hosts are Linux namespaces, made by tests before they are used.
type hosts struct {
	mu     sync.Mutex
	byName map[string]*netns.Handle
}

// Add and Delete leave it to the tests which namespaces have a Linux one.
func (h *hosts) Add(string) error { return nil }

func (h *hosts) Delete(string) error { return nil }

func (h *hosts) Rename(string, string) error { return nil }

func (h *hosts) Path(name string) (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if ns := h.byName[name]; ns != nil {
		return ns.Path(), nil
	}
	return "", fmt.Errorf("namespace %q has no Linux network namespace", name)
}

func (h *hosts) ByCookie(cookie uint64) (string, bool) {
	return h.find(func(ns *netns.Handle) bool { c, err := ns.Cookie(); return err == nil && c == cookie })
}

func (h *hosts) ByInode(inode uint64) (string, bool) {
	return h.find(func(ns *netns.Handle) bool { return ns.Inode() == inode })
}

func (h *hosts) find(is func(*netns.Handle) bool) (string, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, ns := range h.byName {
		if is(ns) {
			return name, true
		}
	}
	return "", false
}

func (h *hosts) Pids(name string) ([]int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return netns.Pids(h.byName[name].Inode())
}

// decode reads JSON.
func decode(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
