package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsrouter/internal/lab"
)

// PinNAPI has the kernel receive on an interface in threads (threaded NAPI), and pins these to a CPU. The interface
// must have its XDP program already, since a veth has no NAPI before, and a name that no other interface of the machine
// has, since the threads are known by it.
func PinNAPI(i *lab.Interface, cpu int) error {
	i.Host.WriteSysfs(i.Name+"/threaded", "1")
	prefix := "napi/" + i.Name + "-"
	var set unix.CPUSet
	set.Set(cpu)
	pinned := 0
	comms, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return err
	}
	for _, file := range comms {
		comm, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(comm), prefix) {
			continue // processes come and go
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(pid, &set); err != nil {
			return fmt.Errorf("pin %s to CPU %d: %w", strings.TrimSpace(string(comm)), cpu, err)
		}
		pinned++
	}
	if pinned == 0 {
		return fmt.Errorf("pin NAPI of %s: no thread %s*: has the interface an XDP program?", i.Name, prefix)
	}
	return nil
}

// Available measures which part of a CPU this process can get, between 0 and 1, by taking all of it for a time: what is
// missing to 1 went to other processes, or to other machines on the same hardware.
func Available(cpu int, during time.Duration) (share float64, err error) {
	unpin, err := pin(cpu)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, unpin()) }()
	var before, now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &before); err != nil {
		return 0, err
	}
	begin := time.Now()
	var wall time.Duration
	for wall < during {
		wall = time.Since(begin)
	}
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &now); err != nil {
		return 0, err
	}
	return float64(now.Nano()-before.Nano()) / float64(wall), nil
}
