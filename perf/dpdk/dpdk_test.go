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
	e.HugePages = true
	if got := e.Args(); slices.Contains(got, "--no-huge") || slices.Contains(got, "-m") {
		t.Errorf("%s", got)
	}
	to := net.HardwareAddr{2, 0, 0, 0, 0, 7}
	for _, args := range [][]string{TestpmdMAC(to), L3fwdFIB(to, Rules{"a", "b"})} {
		neighbour := func(arg string) bool { return strings.HasSuffix(arg, "=1,02:00:00:00:00:07") }
		if args[0] != "--" || !slices.ContainsFunc(args, neighbour) {
			t.Errorf("%q", args)
		}
	}
}
