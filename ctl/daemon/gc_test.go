package daemon

import (
	"math"
	"runtime/debug"
	"testing"
)

// TestQuietGC: the collector is set, unless the environment says how.
func TestQuietGC(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer debug.SetGCPercent(percent)
	defer debug.SetMemoryLimit(limit)
	for _, said := range []bool{true, false} {
		debug.SetGCPercent(77)
		debug.SetMemoryLimit(math.MaxInt64)
		t.Setenv("GOGC", map[bool]string{true: "77"}[said])
		t.Setenv("GOMEMLIMIT", map[bool]string{true: "off"}[said])
		quietGC()
		gotPercent, gotLimit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
		switch {
		case said && (gotPercent != 77 || gotLimit != math.MaxInt64):
			t.Errorf("against the environment: %d %%, %d bytes", gotPercent, gotLimit)
		case !said && (gotPercent != gcPercent || gotLimit < 64<<20 || gotLimit > 1<<50):
			t.Errorf("without a wish: %d %%, %d bytes", gotPercent, gotLimit)
		}
	}
}
