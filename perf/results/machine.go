// Package results is what the programs that measure share: what a value is called, what the machine is, what values are like, and how
// all that is written and read.
package results

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is what a reader of results must know of where they come from. What could not be found out is "unknown".
type Machine struct {
	CPU      string    `json:"cpu"` // model of the first, as /proc/cpuinfo has it
	CPUs     int       `json:"cpus"`
	Kernel   string    `json:"kernel"`
	Go       string    `json:"go"`
	Platform string    `json:"platform"` // GOOS/GOARCH
	Commit   string    `json:"commit"`   // of the working directory's checkout, with a mark if it was changed since
	Load     string    `json:"load_average"`
	Time     time.Time `json:"time"`
}

const unknown = "unknown"

// Here describes the machine as it is now.
func Here() Machine {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	return Machine{
		CPU: cpuModel(), CPUs: runtime.NumCPU(), Kernel: unix.ByteSliceToString(u.Release[:]),
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Commit: commit(), Load: loadAverage(), Time: time.Now().UTC().Truncate(time.Second),
	}
}

// Lines are the machine in words.
func (m Machine) Lines() []string {
	return []string{
		fmt.Sprintf("%s, %d CPUs, Linux %s, %s %s", m.CPU, m.CPUs, m.Kernel, m.Go, m.Platform),
		fmt.Sprintf("%s, commit %s, load average before %s", m.Time.Format(time.RFC3339), m.Commit, m.Load),
	}
}

// loadAverage tells whether the machine was quiet.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return unknown
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown // some architectures have no such line
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return unknown
	}
	return strings.TrimSpace(string(out))
}
