package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsrouter/internal/lab"
)

// TestFRRFPM: zebra tells its routes by FPM, besides writing them into Linux. They stay while it is gone for no longer than the
// stale time, and go after that.
func TestFRRFPM(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.r.Must("netns add red\nnetns set red fpm-port 2620 stale-time 5")
	a, b := w.hostAs("a", "red1", 1, "red"), w.hostAs("b", "red2", 2, "red")
	b.Run("ip", "addr", "add", "198.51.100.1/32", "dev", "lo")
	config := filepath.Join(w.Dir, "bird.conf")
	w.must(os.WriteFile(config, fmt.Appendf(nil, birdConfig, 1), 0o600))
	bird := b.Start("bird", "-f", "-c", config, "-s", filepath.Join(w.Dir, "bird.ctl"))
	inside := w.inside("red")
	frr := newSuite(w, "red", func(args ...string) *lab.Process {
		if strings.HasSuffix(args[0], "/zebra") {
			args = append(args, "-M", "dplane_fpm_nl")
		}
		return inside(args...)
	}, map[string]string{"zebra": "fpm address 127.0.0.1 port 2620\n", "bgpd": bgpConfig})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s%s%s", frr.logs(), bird.Output(), w.r.Must("-n red route show"))
		}
	})
	// Of a prefix there are the route that zebra wrote into Linux and the one that it told.
	have := func(why string, n int) {
		t.Helper()
		w.Eventually(40*time.Second, fmt.Sprintf("%d routes to 198.51.100.0/24 %s", n, why), func() bool {
			return len(query[routeRow](w, "-n red route show 198.51.100.0/24 proto bgp")) == n
		})
	}
	have("at first", 2)
	w.ping(a, "198.51.100.1", 5)
	frr.kill("zebra", "bgpd")
	have("that a killed daemon has left", 2)
	w.ping(a, "198.51.100.1", 5)
	have("after the stale time: Linux's, which has it as long as it has", 1)
	w.ping(a, "198.51.100.1", 5)
	frr.run("zebra")
	frr.run("bgpd")
	have("of new daemons", 2)
	w.ping(a, "198.51.100.1", 5)
	w.r.Must("netns set red fpm-port 0")
	have("without FPM", 1)
}
