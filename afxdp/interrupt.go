package afxdp

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// PlaceReceive has the kernel do its part of the reception of queue q on CPU cpus[q]: the interrupts of the queue go there,
// and where the driver can receive in threads (threaded NAPI) it does, in a thread pinned there. Close puts all of it back.
// What cannot be had is told in words; the rest is done.
func (i *Interface) PlaceReceive(cpus []int) (notes []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil
	}
	sys, err := sysfs()
	if err != nil {
		return []string{fmt.Sprintf("interrupts and NAPI threads stay where they are: mount sysfs: %v", err)}
	}
	defer unix.Close(sys)
	dir := filepath.Join(fmt.Sprintf("/proc/self/fd/%d", sys), "class/net", i.host)
	for _, place := range []func(string, []int) error{i.placeInterrupts, i.placeThreads} {
		if err := place(dir, cpus); err != nil {
			notes = append(notes, err.Error())
		}
	}
	return notes
}

// sysfs is one of the thread's Linux network namespace, mounted at no place: that at /sys may show another.
func sysfs() (int, error) {
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

// irqPath is the file that says which CPUs an interrupt may go to.
func irqPath(irq string) string { return filepath.Join("/proc/irq", irq, "smp_affinity_list") }

func (i *Interface) placeInterrupts(dir string, cpus []int) error {
	var irqs []string
	for _, device := range []string{"device", "device/.."} { // the second is the bus's of a virtio device
		entries, _ := os.ReadDir(filepath.Join(dir, device, "msi_irqs"))
		for _, e := range entries {
			irqs = append(irqs, e.Name())
		}
	}
	if len(irqs) == 0 {
		return nil // virtual
	}
	table, err := os.ReadFile("/proc/interrupts")
	if err != nil {
		return fmt.Errorf("interrupts stay where they are: %w", err)
	}
	var errs []error
	for irq, q := range queueInterrupts(string(table), irqs, len(cpus)) {
		old, err := os.ReadFile(irqPath(irq))
		if err == nil {
			was := Setting{IRQ, irq, strings.TrimSpace(string(old))}
			err = i.change(was, func() error { return os.WriteFile(irqPath(irq), []byte(strconv.Itoa(cpus[q])), 0) })
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("interrupt %s of queue %d stays where it is: %w", irq, q, err))
		}
	}
	return errors.Join(errs...)
}

// queueInterrupts finds the queues of a device's interrupts: the last number in the name that /proc/interrupts has for one.
// Those of something else, of the device's configuration for instance, are left out.
func queueInterrupts(table string, irqs []string, queues int) map[string]int {
	number := regexp.MustCompile(`(\d+)$`)
	found := make(map[string]int)
	for lines := bufio.NewScanner(strings.NewReader(table)); lines.Scan(); {
		irq, rest, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		words := strings.Fields(rest)
		if !ok || len(words) == 0 || !slices.Contains(irqs, irq) {
			continue
		}
		name, _, _ := strings.Cut(words[len(words)-1], "@") // mlx5_comp0@pci:0000:00:05.0
		m := number.FindStringSubmatch(name)
		if m == nil || strings.Contains(name, "async") || strings.Contains(name, "mgmnt") {
			continue
		}
		if q, err := strconv.Atoi(m[1]); err == nil && q < queues {
			found[irq] = q
		}
	}
	return found
}

func (i *Interface) placeThreads(dir string, cpus []int) error {
	file := filepath.Join(dir, "threaded")
	old, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // before Linux 5.12
	}
	threaded := strings.TrimSpace(string(old))
	if err == nil && threaded != "1" {
		was := Setting{Threaded, "", threaded}
		err = i.change(was, func() error { return os.WriteFile(file, []byte("1"), 0) })
	}
	if err != nil {
		return fmt.Errorf("NAPI of %s stays without threads: %w", i.host, err)
	}
	return i.pinThreads(cpus)
}

// pinThreads pins the threads of the interface's NAPI instances, which are as its queues in their order. The kernel names
// them by the interface; one of another Linux network namespace may have the same name: of two that would be meant neither is
// touched.
func (i *Interface) pinThreads(cpus []int) error {
	threads, err := napiThreads(i.host)
	if err != nil || len(threads) == 0 {
		return err // there are none while the interface is down
	}
	if len(threads)%len(cpus) != 0 || len(threads) > 2*len(cpus) { // two for each: receiving and transmitting
		return fmt.Errorf("%d NAPI threads of %s for %d queues: it is not clear whose they are, and they stay where they are",
			len(threads), i.host, len(cpus))
	}
	for k, t := range threads {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(t.pid, &set); err != nil {
			return fmt.Errorf("NAPI thread %s: %w", t.name, err)
		}
		was := Setting{Thread, strconv.Itoa(t.pid) + " " + t.name, formatCPUs(&set)}
		var to unix.CPUSet
		to.Set(cpus[k%len(cpus)])
		if err := i.change(was, func() error { return unix.SchedSetaffinity(t.pid, &to) }); err != nil {
			return fmt.Errorf("pin NAPI thread %s to CPU %d: %w", t.name, cpus[k%len(cpus)], err)
		}
	}
	return nil
}

// napiThread is a kernel thread that receives for one NAPI instance.
type napiThread struct {
	pid, napi int
	name      string
}

// napiThreads finds the threads of an interface, in the order of its NAPI instances.
func napiThreads(host string) ([]napiThread, error) {
	files, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	prefix := "napi/" + host + "-"
	var found []napiThread
	for _, file := range files {
		comm, err := os.ReadFile(file)
		name := strings.TrimSpace(string(comm))
		id, ours := strings.CutPrefix(name, prefix)
		if err != nil || !ours {
			continue // processes come and go
		}
		napi, errNAPI := strconv.Atoi(id)
		pid, errPID := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if errNAPI == nil && errPID == nil {
			found = append(found, napiThread{pid, napi, name})
		}
	}
	slices.SortFunc(found, func(a, b napiThread) int { return a.napi - b.napi })
	return found, nil
}

func formatCPUs(set *unix.CPUSet) string {
	var words []string
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			words = append(words, strconv.Itoa(c))
		}
	}
	return strings.Join(words, ",")
}

// restoreNAPI puts back what is of NAPI while there is some: a veth has it no longer than its XDP program, and the kernel
// refuses then. What fails here is tried again, and told, with the other settings.
func (i *Interface) restoreNAPI() {
	if i.nl == nil {
		return
	}
	device, err := i.nl.LinkByIndex(i.index)
	if err != nil {
		return
	}
	for k := len(i.changed) - 1; k >= 0; k-- {
		if s := i.changed[k]; (s.Kind == Thread || s.Kind == Threaded) && i.putBack(device, s) == nil {
			i.changed = slices.Delete(i.changed, k, k+1)
		}
	}
	i.save()
}

// putThreadBack gives a NAPI thread its CPUs back, if it is still there.
func putThreadBack(name, old string) error {
	pid, comm, _ := strings.Cut(name, " ")
	now, err := os.ReadFile(filepath.Join("/proc", pid, "comm"))
	if err != nil || strings.TrimSpace(string(now)) != comm {
		return nil //nolint:nilerr // it has ended
	}
	n, err := strconv.Atoi(pid)
	if err != nil {
		return err
	}
	var set unix.CPUSet
	for word := range strings.SplitSeq(old, ",") {
		c, err := strconv.Atoi(word)
		if err != nil {
			return err
		}
		set.Set(c)
	}
	return unix.SchedSetaffinity(n, &set)
}

// putThreadedBack gives an interface its way to receive back.
func putThreadedBack(host, old string) error {
	sys, err := sysfs()
	if err != nil {
		return err
	}
	defer unix.Close(sys)
	return os.WriteFile(fmt.Sprintf("/proc/self/fd/%d/class/net/%s/threaded", sys, host), []byte(old), 0)
}
