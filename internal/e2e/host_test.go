package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// inside starts programs in a router namespace as a user does.
func (w *world) inside(ns string) func(args ...string) *lab.Process {
	return func(args ...string) *lab.Process {
		w.t.Helper()
		command := append([]string{"ROUTER_SOCKET=" + w.r.Socket, w.r.Binary, "netns", "exec", ns, "--"}, args...)
		return w.r.Host.Start("env", command...)
	}
}

// TestHTTP: a server started with netns exec is reached from a host behind a port of its namespace, over IPv4 and IPv6, by
// each of the router's addresses; not from another namespace, where the same addresses are nobody's.
func TestHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red\nnetns add blue")
	a := w.hostAs("a", "p1", 1, "red")
	w.hostAs("b", "p2", 2, "red")
	c := w.hostAs("c", "p3", 1, "blue")
	dir := filepath.Join(w.Dir, "www")
	w.must(os.Mkdir(dir, 0o755))
	w.must(os.WriteFile(filepath.Join(dir, "index.html"), []byte("hello from red"), 0o644))
	w.inside("red")("busybox", "httpd", "-f", "-p", "[::]:80", "-h", dir)
	w.Eventually(5*time.Second, "an answer", func() bool { return get(a, "10.0.1.1:80") == "hello from red" })
	for _, address := range []string{"10.0.1.1:80", "10.0.2.1:80", "[2001:db8:1::1]:80", "[2001:db8:2::1]:80"} {
		if got := get(a, address); got != "hello from red" {
			t.Errorf("%s from red: %s", address, got)
		}
	}
	if got := get(c, "10.0.1.1:80"); got == "hello from red" {
		t.Errorf("blue has red's server: %s", got)
	}
	w.conserved()
}

// get is what an HTTP server answers a program on a host, or why it does not.
func get(h *lab.Host, address string) string {
	dial := func(_ context.Context, network, address string) (conn net.Conn, err error) {
		return conn, h.NS.Do(func() error {
			conn, err = net.DialTimeout(network, address, 2*time.Second)
			return err
		})
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 5 * time.Second}
	res, err := client.Get("http://" + address + "/")
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestHostTCP: TCP both ways between a host and a program in the namespace, beside what the same kernel does over a veth without
// a router. What it reaches is logged; less than a hundredth would be a defect, not a slow machine.
func TestHostTCP(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.host(1, "init"), w.Host("b"), w.Host("c")
	w.Link(b.End("eth0", "10.0.9.1/24", "2001:db8:9::1/64"), c.End("eth0", "10.0.9.2/24", "2001:db8:9::2/64"), lab.LinkOptions{})
	servers := []*lab.Process{w.inside("init")("iperf3", "-s", "--forceflush"), c.Start("iperf3", "-s", "--forceflush")}
	for _, s := range servers {
		w.Eventually(5*time.Second, "iperf3 server", func() bool { return strings.Contains(s.Output(), "listening") })
	}
	for _, way := range [][]string{{}, {"-R"}} {
		for _, to := range [][2]string{{"10.0.1.1", "10.0.9.2"}, {"2001:db8:1::1", "2001:db8:9::2"}} {
			router, kernel := w.gigabits(a, to[0], way...), w.gigabits(b, to[1], way...)
			t.Logf("%s %v: %.2f Gbit/s, %.2f of a veth's", to[0], way, router, router/kernel)
			if router < kernel/100 {
				t.Errorf("%s %v: %.2f Gbit/s, a veth %.2f", to[0], way, router, kernel)
			}
		}
	}
	w.conserved()
}

// gigabits is how many Gbit/s of TCP data go to an iperf3 server, or come from it.
func (w *world) gigabits(from *lab.Host, to string, options ...string) float64 {
	w.t.Helper()
	var report struct {
		End struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	w.must(json.Unmarshal([]byte(from.Run("iperf3", append([]string{"-J", "-t", "2", "-c", to}, options...)...)), &report))
	return report.End.Received.Bits / 1e9
}
