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

// TestHostTCP: iperf3 both ways between a host and a program in the namespace.
func TestHostTCP(t *testing.T) {
	w := newWorld(t)
	a := w.host(1, "init")
	server := w.inside("init")("iperf3", "-s", "--forceflush")
	w.Eventually(5*time.Second, "iperf3 server", func() bool { return strings.Contains(server.Output(), "listening") })
	for _, c := range [][]string{{"10.0.1.1"}, {"10.0.1.1", "-R"}, {"2001:db8:1::1"}, {"2001:db8:1::1", "-R"}} {
		out := a.Run("iperf3", append([]string{"-J", "-t", "2", "-c"}, c...)...)
		var report struct {
			End struct {
				Received struct {
					Bits float64 `json:"bits_per_second"`
				} `json:"sum_received"`
			}
		}
		w.must(json.Unmarshal([]byte(out), &report))
		if report.End.Received.Bits == 0 {
			t.Errorf("%v: nothing was received: %s", c, out)
		}
		t.Logf("%v: %.2f Gbit/s", c, report.End.Received.Bits/1e9)
	}
	w.conserved()
}
