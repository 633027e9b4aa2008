package dpdk

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestWriteRules(t *testing.T) {
	r, err := WriteRules(t.TempDir(), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("9.1.0.0/16")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{r.v4: "R10.0.0.0/8 1\nR9.1.0.0/16 1\n", r.v6: "R2001:db8::/32 1\n"} {
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", file, got, err, want)
		}
	}
	if _, err := WriteRules("/nowhere", nil, nil); err == nil {
		t.Error("rules are written nowhere")
	}
}

func TestArgs(t *testing.T) {
	e := EAL{Lcores: "0@1", MiB: 64, Devices: []string{"net_af_xdp0,iface=a", "net_af_xdp1,iface=b"}}
	want := "--no-huge -m 64 --vdev net_af_xdp0,iface=a --vdev net_af_xdp1,iface=b"
	if got := strings.Join(e.Args(), " "); !strings.HasSuffix(got, want) || !strings.HasPrefix(got, "--lcores 0@1 ") {
		t.Errorf("%s", got)
	}
	e.Memory.HugePages = true
	if got := e.Args(); slices.Contains(got, "--no-huge") || slices.Contains(got, "-m") {
		t.Errorf("%s", got)
	}
	to := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	for _, args := range [][]string{TestpmdMAC(to), L3fwdFIB(to, Rules{"a", "b"})} {
		if args[0] != "--" || !slices.Contains(args, "--eth-peer=1,02:00:00:00:00:07") && !slices.Contains(args, "--eth-dest=1,02:00:00:00:00:07") {
			t.Errorf("%q", args)
		}
	}
}

// TestReserve reserves pages of a machine that has some free, room for few, or does not allow it.
func TestReserve(t *testing.T) {
	for _, c := range []struct {
		name    string
		machine pages
		limit   int // of pages
		mib     int
		huge    bool
		during  int
	}{
		{"enough free", pages{total: 9, free: 8, kib: 2048, availableKiB: 1 << 20}, 99, 16, true, 9},
		{"some free", pages{total: 9, free: 8, kib: 2048, availableKiB: 1 << 20}, 99, 19, true, 11},
		{"none", pages{kib: 2048, availableKiB: 1 << 20}, 99, 20, true, 10},
		{"fragmented", pages{total: 3, kib: 2048, availableKiB: 1 << 20}, 8, 20, false, 3},
		{"little memory", pages{kib: 2048, availableKiB: 1 << 20}, 1 << 20, 600, false, 0},
		{"not allowed", pages{total: 1, kib: 2048, availableKiB: 1 << 20}, -1, 20, false, 1},
		{"no huge pages", pages{availableKiB: 1 << 20}, 99, 20, false, 0},
	} {
		before := c.machine
		set := func(n int) error {
			if c.limit < 0 {
				return os.ErrPermission
			}
			n = min(n, c.limit)
			c.machine.free += n - c.machine.total
			c.machine.total = n
			return nil
		}
		m, release, err := reserve(c.mib, func() (pages, error) { return c.machine, nil }, set)
		if err != nil || m.HugePages != c.huge || c.machine.total != c.during {
			t.Errorf("%s: %v, %v, %d pages; want %v, %d", c.name, m, err, c.machine.total, c.huge, c.during)
		}
		if c.huge && c.machine.free*2 < c.mib {
			t.Errorf("%s: %d pages free for %d MiB", c.name, c.machine.free, c.mib)
		}
		if err := release(); err != nil || c.machine != before {
			t.Errorf("%s: afterwards %+v, %v; before %+v", c.name, c.machine, err, before)
		}
	}
	if p, err := readPages(); err != nil || p.availableKiB == 0 {
		t.Errorf("this machine has %+v, %v", p, err)
	}
}
