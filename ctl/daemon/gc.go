package daemon

import (
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// gcPercent has the heap grow fivefold before it is collected. Workers allocate nothing, but a collection of what the
// control side has left stops them twice: a load of 900,000 routes collects 6 times so, and 17 times with Go's 100.
const gcPercent = 400

// quietGC has the garbage collector run seldom, for as long as there is memory: from three quarters of it on, it collects
// before the heap grows. What the environment says (GOGC, GOMEMLIMIT) is left alone.
func quietGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	var info unix.Sysinfo_t
	if os.Getenv("GOMEMLIMIT") == "" && unix.Sysinfo(&info) == nil {
		debug.SetMemoryLimit(int64(info.Totalram) * int64(info.Unit) / 4 * 3)
	}
}
