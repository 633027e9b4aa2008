package afxdp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Setting is a setting of a Linux interface that was changed, with the value to be put back.
type Setting struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name,omitempty"` // which one of its kind
	Old  string `json:"old"`
}

// Kind is a way to change a setting. The kinds are written to files.
type Kind string

// Kinds, and what Name and Old of their settings are.
const (
	Sysctl   Kind = "sysctl"   // "ipv6/disable_ipv6", for one in /proc/sys/net/ipv6/conf/IF; its text
	Offload  Kind = "offload"  // the kernel's name; "true" or "false"
	Hash     Kind = "hash"     // "tcp4" and the like, as ethtool -N has them; the RXH_ bits in decimal
	Channels Kind = "channels" // none; "rx N tx N combined N"
	MTU      Kind = "mtu"      // none; bytes in decimal
	Up       Kind = "up"       // none; "true" or "false"
	IRQ      Kind = "irq"      // its number; the list of its CPUs
	Threaded Kind = "threaded" // none; "0" or "1"
	Thread   Kind = "thread"   // its pid and name; the list of its CPUs
)

// Journal remembers what is to be put back on interfaces, for the successor of a process that was killed. Interfaces
// are named by their ifindex in the Linux network namespace of Open. It is called by one interface at a time, if those
// are used so.
type Journal interface {
	// Load returns what a dead process changed on the interface and did not put back, in the order of the changes.
	Load(ifindex int) []Setting
	// Save replaces it; with no settings, there is nothing to be put back any more. It is called before each change.
	Save(ifindex int, changed []Setting)
}

// PutBack undoes the changes that a dead process made to an interface of the thread's Linux network namespace, and
// which [Journal.Load] returns. An interface that has vanished needs nothing.
func PutBack(ifindex int, changed []Setting) error {
	i := &Interface{index: ifindex, packet: -1}
	err := i.handles()
	if err == nil {
		i.changed = changed
	}
	return errors.Join(err, i.Close())
}

// take makes the interface Close's concern: what a dead process left changed on it, and what is changed from now on.
func (i *Interface) take(j Journal) {
	if i.journal = j; j != nil {
		i.changed = slices.Clone(j.Load(i.index))
	}
}

// change makes a change, of a setting that has the value was. The journal has it before, as the process may be killed
// at any time. An earlier value, ours or that of a dead process, remains the one that is put back.
func (i *Interface) change(was Setting, do func() error) error {
	known := slices.ContainsFunc(i.changed, func(s Setting) bool { return s.Kind == was.Kind && s.Name == was.Name })
	if !known {
		i.changed = append(i.changed, was)
		i.save()
	}
	err := do()
	if err != nil && !known {
		i.changed = i.changed[:len(i.changed)-1]
		i.save()
	}
	return err
}

func (i *Interface) save() {
	if i.journal != nil {
		i.journal.Save(i.index, slices.Clone(i.changed))
	}
}

// restore puts back what was changed, in reverse order, if the interface is still there.
func (i *Interface) restore() error {
	defer i.save()
	var errs []error
	for ; len(i.changed) > 0; i.changed = i.changed[:len(i.changed)-1] {
		device, err := i.nl.LinkByIndex(i.index) // by the name that it has now
		if err != nil {
			i.changed = nil // it has just vanished
			break
		}
		s := i.changed[len(i.changed)-1]
		if err := i.putBack(device, s); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, fmt.Errorf("put %s of %s back to %s: %w",
				strings.TrimSpace(string(s.Kind)+" "+s.Name), device.Attrs().Name, s.Old, err))
		}
	}
	return errors.Join(errs...)
}

// putBack gives one setting its old value.
func (i *Interface) putBack(device netlink.Link, s Setting) error {
	host := device.Attrs().Name
	switch s.Kind {
	case Sysctl:
		return os.WriteFile(sysctlPath(host, s.Name), []byte(s.Old), 0)
	case Offload:
		on, err := strconv.ParseBool(s.Old)
		if err != nil {
			return err
		}
		return i.eth.Change(host, map[string]bool{s.Name: on})
	case Hash:
		fields, err := strconv.ParseUint(s.Old, 10, 64)
		if err != nil {
			return err
		}
		return i.setHash(host, s.Name, fields)
	case Channels:
		return i.putChannelsBack(host, s.Old)
	case MTU:
		mtu, err := strconv.Atoi(s.Old)
		if err != nil {
			return err
		}
		return i.nl.LinkSetMTU(device, mtu)
	case Up:
		if s.Old == strconv.FormatBool(true) {
			return i.nl.LinkSetUp(device)
		}
		return i.nl.LinkSetDown(device)
	case IRQ:
		return os.WriteFile(irqPath(s.Name), []byte(s.Old), 0)
	case Threaded:
		return putThreadedBack(host, s.Old)
	case Thread:
		return putThreadBack(s.Name, s.Old)
	}
	return errors.New("this version knows no such setting")
}

// sysctlPath is the file of an interface's setting, which is named by its protocol and itself: "ipv6/disable_ipv6".
func sysctlPath(host, name string) string {
	protocol, setting, _ := strings.Cut(name, "/")
	return filepath.Join("/proc/sys/net", protocol, "conf", host, setting)
}

// channelsFormat is the text of numbers of channels.
const channelsFormat = "rx %d tx %d combined %d"

func channelsSetting(c ethtool.Channels) Setting {
	return Setting{Channels, "", fmt.Sprintf(channelsFormat, c.RxCount, c.TxCount, c.CombinedCount)}
}

func (i *Interface) putChannelsBack(host, old string) error {
	c, err := i.eth.GetChannels(host)
	if err != nil {
		return err
	}
	if _, err := fmt.Sscanf(old, channelsFormat, &c.RxCount, &c.TxCount, &c.CombinedCount); err != nil {
		return err
	}
	return i.setChannels(host, c)
}
