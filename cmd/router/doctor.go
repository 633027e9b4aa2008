package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const doctorUsage = `
router doctor
Looks for what makes this router slow or fragile on this machine, and says how to mend it: a line for each finding, with OK,
WARN or FAIL. It changes nothing. What the caller may not see is said.
`

// finding is what a check has found.
type finding struct {
	Check  string `json:"check"`
	Status string `json:"status"` // OK, WARN or FAIL
	Text   string `json:"text"`
}

// doctor collects findings. What it knows of the machine it reads below root, which is "/" but in tests.
type doctor struct {
	root     string
	findings []finding
}

func (d *doctor) say(check, status, format string, v ...any) {
	d.findings = append(d.findings, finding{check, status, fmt.Sprintf(format, v...)})
}

const (
	fine = "OK"
	warn = "WARN"
	bad  = "FAIL"
)

func (c *cli) doctor(ctx context.Context, a *args) error {
	if err := a.done(); err != nil {
		return err
	}
	d := &doctor{root: "/"}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		d.kernel(unix.ByteSliceToString(name.Release[:]))
	}
	d.hugePages()
	d.memlock(daemonPid(c.socket))
	workers, err := c.client.ListWorkers(ctx, &v1.ListWorkersRequest{})
	if err != nil {
		d.say("workers", warn, "not checked: %v", err)
	} else {
		d.workers(workers.Workers)
		d.interrupts(workers.Workers)
	}
	if f, err := c.client.GetFrames(ctx, &v1.GetFramesRequest{}); err != nil {
		d.say("frames", warn, "not checked: %v", err)
	} else {
		d.frames(f)
	}
	links, err := c.allLinks(ctx)
	if err != nil {
		d.say("devices", warn, "not all checked: %v", err)
	}
	d.devices(links, workers.GetWorkers())
	if c.json {
		out := make([]record, len(d.findings))
		for i := range d.findings {
			out[i] = record{json: &d.findings[i]}
		}
		return c.print(out...)
	}
	var b strings.Builder
	for _, f := range d.findings {
		fmt.Fprintf(&b, "%-4s  %-10s  %s\n", f.Status, f.Check, f.Text)
	}
	_, err = c.out.WriteString(b.String())
	return err
}

// allLinks are the devices of all namespaces that the caller sees.
func (c *cli) allLinks(ctx context.Context) ([]*v1.Link, error) {
	spaces, err := c.client.ListNetns(ctx, &v1.ListNetnsRequest{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = spaces.Close() }()
	var all []*v1.Link
	for spaces.Receive() {
		for _, ns := range spaces.Msg().Netns {
			links, err := c.client.ListLinks(ctx, &v1.ListLinksRequest{Netns: ns.Name, Stats: true})
			if err != nil {
				return all, err
			}
			for links.Receive() {
				all = append(all, links.Msg().Links...)
			}
			if err := links.Err(); err != nil {
				return all, err
			}
			_ = links.Close()
		}
	}
	return all, spaces.Err()
}

// daemonPid is the process that listens on a socket; 0 if that is not known.
func daemonPid(socket string) int {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return 0
	}
	defer conn.Close()
	pid := 0
	if u, ok := conn.(*net.UnixConn); ok {
		if raw, err := u.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) {
				if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
					pid = int(cred.Pid)
				}
			})
		}
	}
	return pid
}

func (d *doctor) read(path ...string) string {
	text, err := os.ReadFile(filepath.Join(append([]string{d.root}, path...)...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (d *doctor) kernel(release string) {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || major < 6 || major == 6 && minor < 1 {
		d.say("kernel", bad, "Linux %s: 6.1 or newer is needed", release)
		return
	}
	d.say("kernel", fine, "Linux %s", release)
}

// field is the first number behind a word that begins a line.
func field(text, word string) (int, bool) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == word {
			n, err := strconv.Atoi(f[1])
			return n, err == nil
		}
	}
	return 0, false
}

func (d *doctor) hugePages() {
	info := d.read("proc/meminfo")
	switch n, ok := field(info, "HugePages_Total:"); {
	case !ok:
		d.say("hugepages", warn, "not checked: /proc/meminfo says nothing of huge pages")
	case n == 0:
		d.say("hugepages", warn, "none is reserved: the packet frames lie on ordinary pages, which costs more misses of the TLB."+
			" Reserve 64 of 2 MiB before the daemon starts: sysctl vm.nr_hugepages=64")
	default:
		d.say("hugepages", fine, "%d are reserved", n)
	}
}

func (d *doctor) memlock(pid int) {
	limits := d.read("proc", strconv.Itoa(pid), "limits")
	const name = "Max locked memory"
	for line := range strings.Lines(limits) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if soft := strings.Fields(rest); len(soft) > 0 && soft[0] != "unlimited" {
				d.say("memlock", warn, "the daemon may lock %s bytes: an interface may fail to attach, unless the daemon has"+
					" CAP_IPC_LOCK, as root has. Start it with LimitMEMLOCK=infinity, or after ulimit -l unlimited", soft[0])
				return
			}
			d.say("memlock", fine, "the daemon may lock all memory")
			return
		}
	}
	d.say("memlock", warn, "not checked: the limits of the daemon (process %d) cannot be read: run it as root", pid)
}

func (d *doctor) workers(workers []*v1.Worker) {
	sound := true
	on := make(map[int32]uint32)
	for _, w := range workers {
		other, taken := on[w.Cpu]
		on[w.Cpu] = w.Id
		switch {
		case w.Cpu < 0:
			d.say("workers", warn, "worker %d is pinned to no CPU", w.Id)
		case taken:
			d.say("workers", warn, "workers %d and %d share CPU %d: start the daemon with fewer, or with other --cpus",
				other, w.Id, w.Cpu)
		case len(w.Queues) == 0:
			d.say("workers", warn, "worker %d has no queue: give devices more (link add ... queues N), move one to it"+
				" (worker set %d queue NETNS/DEV:QUEUE), or have a device share out what it receives (link set DEV spread on)",
				w.Id, w.Id)
		default:
			continue
		}
		sound = false
	}
	if sound {
		d.say("workers", fine, "%d, each on a CPU of its own and with a queue", len(workers))
	}
}

// interrupts looks for what runs on the workers' CPUs besides.
func (d *doctor) interrupts(workers []*v1.Worker) {
	sound := true
	files, err := filepath.Glob(filepath.Join(d.root, "proc/[0-9]*/comm"))
	if err != nil {
		return
	}
	for _, file := range files {
		dir, _ := filepath.Rel(d.root, filepath.Dir(file))
		name := d.read(dir, "comm")
		if name == "irqbalance" {
			sound = false
			d.say("interrupts", warn, "irqbalance runs, and moves interrupts to the workers' CPUs:"+
				" systemctl disable --now irqbalance, or have it ban them (IRQBALANCE_BANNED_CPULIST)")
		}
		if !strings.HasPrefix(name, "napi/") {
			continue
		}
		for line := range strings.Lines(d.read(dir, "status")) {
			cpu, ok := strings.CutPrefix(strings.TrimSpace(line), "Cpus_allowed_list:")
			for _, w := range workers {
				if ok && strings.TrimSpace(cpu) == strconv.Itoa(int(w.Cpu)) {
					sound = false
					d.say("interrupts", warn, "%s receives on CPU %d, which worker %d has: they take turns there."+
						" With a CPU to spare, run the daemon with --manage-irq", name, w.Cpu, w.Id)
				}
			}
		}
	}
	if sound {
		d.say("interrupts", fine, "no irqbalance, and no NAPI thread on the CPU of a worker")
	}
}

func (d *doctor) frames(f *v1.GetFramesResponse) {
	const low = 10 // percent
	switch {
	case f.Lost != 0:
		d.say("frames", bad, "%d of %d are lost track of: a defect, please report it", f.Lost, f.Total)
	case f.Free*100 < f.Total*low:
		d.say("frames", warn, "%d of %d are free: packets will be dropped (no-frame). Start the daemon with more --frames",
			f.Free, f.Total)
	default:
		d.say("frames", fine, "%d of %d are free", f.Free, f.Total)
	}
}

func (d *doctor) devices(links []*v1.Link, workers []*v1.Worker) {
	for _, l := range links {
		if l.Xdp == nil {
			continue
		}
		name, x := l.Netns+"/"+l.Name, l.Xdp
		switch {
		case !x.Attached:
			d.say("device", warn, "%s waits for the interface %s", name, x.Host)
			continue
		case x.ModeObtained == v1.XdpMode_XDP_MODE_GENERIC:
			d.say("device", warn, "%s is in generic mode, the slowest: the driver of %s has no XDP", name, x.Host)
		case x.ModeObtained == v1.XdpMode_XDP_MODE_COPY:
			d.say("device", fine, "%s copies each packet once: the driver of %s has no zero-copy mode, or copy was asked for",
				name, x.Host)
		default:
			d.say("device", fine, "%s is in zero-copy mode", name)
		}
		if x.StripsTags {
			d.say("device", warn, "%s takes VLAN tags off, and cannot be told not to: VLAN devices on %s receive nothing",
				x.Host, name)
		}
		if n := l.GetStats().GetPartialChecksums(); n > 1 {
			d.say("device", warn, "%s receives TCP and UDP with unfinished checksums: ethtool -K PEER tx off at the other end", name)
		}
		d.numa(l, workers)
	}
}

// numa compares the node of an interface with those of the workers that serve it.
func (d *doctor) numa(l *v1.Link, workers []*v1.Worker) {
	node, err := strconv.Atoi(d.read("sys/class/net", l.Xdp.Host, "device/numa_node"))
	if err != nil || node < 0 {
		return // one node, or a virtual interface
	}
	for _, w := range workers {
		nodes, _ := filepath.Glob(filepath.Join(d.root, fmt.Sprintf("sys/devices/system/cpu/cpu%d/node[0-9]*", w.Cpu)))
		serves := slices.ContainsFunc(w.Queues, func(q *v1.WorkerQueue) bool { return q.Netns == l.Netns && q.Dev == l.Name })
		if serves && len(nodes) > 0 && filepath.Base(nodes[0]) != fmt.Sprintf("node%d", node) {
			d.say("numa", warn, "%s is on NUMA node %d, and worker %d, which serves it, on %s: choose other --cpus, or worker set",
				l.Xdp.Host, node, w.Id, filepath.Base(nodes[0]))
		}
	}
}
