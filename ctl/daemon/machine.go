package daemon

// What the daemon asks of the machine that it runs on.

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/frame"
)

// raiseLimits asks for what many interfaces and clients need. Kernels since 5.11 count eBPF memory elsewhere, and root
// may lock memory without a limit, so that a refusal matters only when something fails later.
func raiseLimits() {
	_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	var files unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
		files.Cur = files.Max
		_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &files)
	}
}

// workerCPUs chooses and checks the CPUs of the workers.
func workerCPUs(cpus []int, workers int) ([]int, error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return nil, fmt.Errorf("ask for the CPUs that may be used: %w", err)
	}
	if len(cpus) > 0 {
		for i, c := range cpus {
			if c < 0 || !allowed.IsSet(c) {
				return nil, fmt.Errorf(
					"--cpus: CPU %d may not be used by this process: use some of %s",
					c,
					cpuList(&allowed),
				)
			}
			for _, other := range cpus[:i] {
				if other == c {
					return nil, fmt.Errorf("--cpus: CPU %d is named twice", c)
				}
			}
		}
		return cpus, nil
	}
	workers = max(workers, 1)
	all := cpuNumbers(&allowed)
	if workers > len(all) {
		return nil, fmt.Errorf(
			"--workers %d: this process may use only %d CPUs (%s)",
			workers,
			len(all),
			cpuList(&allowed),
		)
	}
	if workers < len(all) {
		all = all[1:] // the first one usually has the interrupts and everybody else
	}
	return all[:workers], nil
}

// framePool makes the packet frames, if there is memory for them: else the kernel would end some process to find it.
func framePool(frames int, log *zap.Logger) (*frame.Pool, error) {
	info, err := os.ReadFile("/proc/meminfo")
	if err == nil {
		err = roomForFrames(string(info), frames)
	}
	if err != nil {
		return nil, fmt.Errorf("--frames %d: %w", frames, err)
	}
	pool, err := frame.NewPool(frames)
	if err != nil {
		return nil, fmt.Errorf("%w (--frames)", err)
	}
	if !pool.Huge() {
		log.Info("no huge pages are free for the packet frames: ordinary ones are used, which is slower (router doctor)")
	}
	return pool, nil
}

// roomForFrames tells, from /proc/meminfo, whether so many frames fit into the huge pages that are free, or into nine tenths
// of the memory that is.
func roomForFrames(meminfo string, frames int) error {
	kB := make(map[string]int)
	for line := range strings.Lines(meminfo) {
		name, rest, _ := strings.Cut(line, ":")
		if words := strings.Fields(rest); len(words) > 0 {
			kB[name], _ = strconv.Atoi(words[0])
		}
	}
	want, free := frames*frame.Size>>10, kB["MemAvailable"]/10*9
	if want <= free || want <= kB["HugePages_Free"]*kB["Hugepagesize"] {
		return nil
	}
	return fmt.Errorf("they take %d MiB, but only %d MiB of memory may be used: ask for %d or fewer, or free memory",
		want>>10, free>>10, free<<10/frame.Size)
}

// allowedCPUs are those that this process may use.
func allowedCPUs() ([]int, error) {
	var allowed unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return nil, fmt.Errorf("ask for the CPUs that may be used: %w", err)
	}
	return cpuNumbers(&allowed), nil
}

func cpuNumbers(set *unix.CPUSet) []int {
	var n []int
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			n = append(n, c)
		}
	}
	return n
}

func cpuList(set *unix.CPUSet) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(cpuNumbers(set))), ","), "[]")
}

// notifySystemd tells a service manager about the daemon's state, if one asked for that (sd_notify(3)).
func notifySystemd(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if path[0] == '@' {
		path = "\x00" + path[1:]
	}
	conn, err := net.DialTimeout("unixgram", path, time.Second)
	if err != nil {
		return
	}
	_, _ = conn.Write([]byte(state))
	_ = conn.Close()
}
