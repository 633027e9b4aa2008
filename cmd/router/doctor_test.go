package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// TestDoctor: each trouble is found on a machine that is made up, and a sound one has none.
func TestDoctor(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *machine)
		want   string // part of the one line that is no OK; empty: there is none
	}{
		"sound": {func(*machine) {}, ""},
		"old kernel": {func(m *machine) {
			m.release = "5.15.0-91-generic"
		}, "FAIL kernel Linux 5.15.0-91-generic: 6.1 or newer"},
		"huge pages": {func(m *machine) {
			m.files["proc/meminfo"] = "HugePages_Total: 0\n"
		}, "WARN hugepages none is reserved"},
		"memlock": {func(m *machine) {
			m.files["proc/7/limits"] = "Max locked memory  65536 65536 bytes\n"
		}, "WARN memlock the daemon may lock 65536"},
		"memlock hidden": {func(m *machine) {
			delete(m.files, "proc/7/limits")
		}, "WARN memlock not checked"},
		"no queue": {func(m *machine) {
			m.workers = append(m.workers, &v1.Worker{Id: 1, Cpu: 3})
		}, "WARN workers worker 1 has no queue"},
		"shared CPU": {func(m *machine) {
			m.workers = append(m.workers, &v1.Worker{Id: 1, Cpu: 2, Queues: m.workers[0].Queues})
		}, "WARN workers workers 0 and 1 share CPU 2"},
		"irqbalance": {func(m *machine) {
			m.files["proc/9/comm"] = "irqbalance\n"
		}, "WARN interrupts irqbalance runs"},
		"NAPI": {func(m *machine) {
			m.files["proc/8/status"] = "Cpus_allowed_list:\t2\n"
		}, "WARN interrupts napi/eth1-5 receives on CPU 2, which worker 0"},
		"few frames": {func(m *machine) {
			m.frames.Free = 9
		}, "WARN frames 9 of 100"},
		"lost": {func(m *machine) {
			m.frames.Lost = 3
		}, "FAIL frames 3 of 100 are lost"},
		"generic": {func(m *machine) {
			m.links[0].Xdp.ModeObtained = v1.XdpMode_XDP_MODE_GENERIC
		}, "WARN device red/p1 is in generic mode"},
		"away": {func(m *machine) {
			m.links[0].Xdp.Attached = false
		}, "WARN device red/p1 waits for the interface eth1"},
		"checksums": {func(m *machine) {
			m.links[0].Stats.PartialChecksums = 9
		}, "WARN device red/p1 receives TCP and UDP with unfinished"},
		"tags": {func(m *machine) {
			m.links[0].Xdp.StripsTags = true
		}, "WARN device eth1 takes VLAN tags off"},
		"NUMA": {func(m *machine) {
			m.files["sys/class/net/eth1/device/numa_node"] = "0\n"
		}, "WARN numa eth1 is on NUMA node 0, and worker 0"},
	} {
		d := diagnose(t, soundFiles(), c.change)
		var troubles []string
		for _, f := range d.findings {
			if f.Status != fine {
				troubles = append(troubles, f.Status+" "+f.Check+" "+f.Text)
			}
		}
		if got := strings.Join(troubles, "\n"); (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) || len(troubles) > 1 {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// soundFiles are those of a machine that has no trouble.
func soundFiles() map[string]string {
	return map[string]string{
		"proc/meminfo":                        "MemTotal: 9 kB\nHugePages_Total:      64\n",
		"proc/7/limits":                       "Limit  Soft Limit\nMax locked memory  unlimited  unlimited  bytes\n",
		"proc/8/comm":                         "napi/eth1-5\n",
		"proc/8/status":                       "Name:\tnapi/eth1-5\nCpus_allowed_list:\t0\n",
		"proc/9/comm":                         "sshd\n",
		"sys/devices/system/cpu/cpu2/node1/x": "",
		"sys/class/net/eth1/device/numa_node": "1\n",
	}
}

// machine is one that is made up, with a daemon on it.
type machine struct {
	files   map[string]string
	release string
	workers []*v1.Worker
	frames  v1.GetFramesResponse
	links   []*v1.Link
}

// diagnose has a sound machine changed, and looked at.
func diagnose(t *testing.T, sound map[string]string, change func(*machine)) *doctor {
	t.Helper()
	link := &v1.Link{Netns: "red", Name: "p1", Stats: &v1.LinkStats{}, Xdp: &v1.XdpState{
		Host: "eth1", Attached: true, ModeObtained: v1.XdpMode_XDP_MODE_ZEROCOPY,
	}}
	m := machine{
		files: map[string]string{}, release: "6.1.0-18-amd64", links: []*v1.Link{link},
		workers: []*v1.Worker{{Cpu: 2, Queues: []*v1.WorkerQueue{{Netns: "red", Dev: "p1"}}}},
	}
	m.frames.Total, m.frames.Free = 100, 90
	for path, text := range sound {
		m.files[path] = text
	}
	change(&m)
	d := &doctor{root: t.TempDir()}
	for path, text := range m.files {
		path = filepath.Join(d.root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.kernel(m.release)
	d.hugePages()
	d.memlock(7)
	d.workers(m.workers)
	d.interrupts(m.workers)
	d.frames(&m.frames)
	d.devices(m.links, m.workers)
	return d
}

// TestDoctorCommand: it runs against a daemon, in both forms, and takes no words.
func TestDoctorCommand(t *testing.T) {
	d := newTestDaemon(t)
	if text := d.must("doctor"); !strings.Contains(text, "kernel") || !strings.Contains(text, "WARN  frames      not checked") {
		t.Error(text)
	}
	var rows []finding
	decode(t, d.must("-j doctor"), &rows)
	if len(rows) < 5 || rows[0].Check != "kernel" || rows[0].Status == "" {
		t.Errorf("%+v", rows)
	}
	if r := d.run("doctor now"); r.status != 1 {
		t.Errorf("status %d: %s", r.status, r.err)
	}
}
