package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"nsrouter/afxdp"
	"nsrouter/internal/netns"
)

// journal keeps in a file what is to be put back on host interfaces, for the successor of a daemon that is killed
// ([afxdp.Journal]). The file is there as long as something is to be put back. It is safe for concurrent use.
type journal struct {
	path string
	log  *zap.Logger

	mu      sync.Mutex
	content journalContent
}

// journalContent is what the file has. An ifindex means one and the same interface within a boot and a Linux network
// namespace; a file of another is worth nothing.
type journalContent struct {
	Boot       string                  `json:"boot"`       // the kernel's boot_id
	Netns      uint64                  `json:"netns"`      // cookie of the daemon's Linux network namespace
	Interfaces map[int][]afxdp.Setting `json:"interfaces"` // by ifindex
}

// openJournal reads what a dead daemon with the same control socket has left. A file that is of no use is not an error:
// it is said in the log, and replaced by the next change.
func openJournal(path string, log *zap.Logger) (*journal, error) {
	j := &journal{path: path, log: log, content: journalContent{Interfaces: make(map[int][]afxdp.Setting)}}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("ask which boot this is: %w", err)
	}
	j.content.Boot = strings.TrimSpace(string(boot))
	home, err := netns.Current()
	if err != nil {
		return nil, err
	}
	defer home.Close()
	if j.content.Netns, err = home.Cookie(); err != nil {
		return nil, err
	}
	left, err := readJournal(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		log.Warn("interfaces keep what a killed daemon has set: its notes cannot be used", zap.Error(err))
	case left.Boot == j.content.Boot && left.Netns == j.content.Netns && left.Interfaces != nil:
		j.content = left
	}
	return j, nil
}

func readJournal(path string) (c journalContent, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return c, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return c, err
	}
	// It says what root writes to which settings.
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Geteuid() {
		return c, fmt.Errorf("%s belongs to another user: remove it", path)
	}
	if err := json.NewDecoder(file).Decode(&c); err != nil {
		return c, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

// Load implements [afxdp.Journal].
func (j *journal) Load(ifindex int) []afxdp.Setting {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.content.Interfaces[ifindex]
}

// Save implements [afxdp.Journal].
func (j *journal) Save(ifindex int, changed []afxdp.Setting) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.content.Interfaces[ifindex] = changed; len(changed) == 0 {
		delete(j.content.Interfaces, ifindex)
	}
	if err := j.write(); err != nil {
		j.log.Warn("should this daemon be killed, interfaces will keep what it has set", zap.Error(err))
	}
}

// all returns what is to be put back, by ifindex.
func (j *journal) all() map[int][]afxdp.Setting {
	j.mu.Lock()
	defer j.mu.Unlock()
	return maps.Clone(j.content.Interfaces)
}

// write replaces the file, or removes it where there is nothing to say. It need not reach the disk: it is of no use
// after a boot.
func (j *journal) write() error {
	if len(j.content.Interfaces) == 0 {
		if err := os.Remove(j.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(j.content)
	if err != nil {
		return err
	}
	next := j.path + ".new"
	_ = os.Remove(next) // of a daemon that was killed here
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(next, j.path)
}
