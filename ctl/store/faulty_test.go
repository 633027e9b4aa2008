package store

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// faulty is a file system that fails for a while, or crashes, and may lose power.
type faulty struct {
	diskFiles
	mu    sync.Mutex
	rng   *rand.Rand
	err   error
	well  int  // steps that go well before the first one that fails
	fail  int  // how many fail then
	crash bool // only the first one that fails may do something nonetheless

	inodes   map[string]*inode
	replaced map[string]*inode // what a path was before a rename that is not durable yet
}

// inode is what of a file a loss of power cannot take away.
type inode struct{ durable []byte }

func newFaulty(seed uint64) *faulty {
	return &faulty{rng: rand.New(rand.NewPCG(seed, 1)), inodes: map[string]*inode{}, replaced: map[string]*inode{}}
}

// failAfter makes steps fail, once some have gone well.
func (f *faulty) failAfter(well, fail int, err error) {
	f.well, f.fail, f.err, f.crash = well, fail, err, false
}

// crashAfter makes all steps fail, once some have gone well.
func (f *faulty) crashAfter(well int) { f.well, f.fail, f.err, f.crash = well, 1<<30, unix.EIO, true }

func (f *faulty) crashed() bool { return f.crash && f.fail < 1<<30 }

// step runs one, which is told whether it will fail.
func (f *faulty) step(work func(fails bool) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.well > 0 || f.fail == 0 {
		f.well--
		return work(false)
	}
	if (!f.crashed()) && f.rng.IntN(2) == 0 {
		if err := work(true); err != nil {
			return err
		}
	}
	f.fail--
	return f.err
}

func (f *faulty) open(path string, flag int) (file, error) {
	var opened *faultyFile
	err := f.step(func(bool) error {
		plain, err := f.diskFiles.open(path, flag)
		if err != nil {
			return err
		}
		if f.inodes[path] == nil || flag&os.O_TRUNC != 0 {
			b, _ := os.ReadFile(path)
			f.inodes[path] = &inode{durable: b}
		}
		opened = &faultyFile{file: plain, files: f, inode: f.inodes[path]}
		return nil
	})
	if err != nil {
		if opened != nil {
			_ = opened.Close()
		}
		return nil, err
	}
	return opened, nil
}

func (f *faulty) rename(from, to string) error {
	return f.step(func(bool) error {
		f.replaced[to] = f.inodes[to]
		f.inodes[to] = f.inodes[from]
		delete(f.inodes, from)
		return f.diskFiles.rename(from, to)
	})
}

func (f *faulty) remove(path string) error {
	return f.step(func(bool) error { return f.diskFiles.remove(path) })
}

func (f *faulty) syncDir(string) error {
	return f.step(func(bool) error {
		clear(f.replaced) // there is no need to trouble the disk
		return nil
	})
}

// losePower leaves of each file what is durable, any sectors of what is not, and any size between the two.
func (f *faulty) losePower() error {
	for path, i := range f.inodes {
		now, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		durable := i.durable
		if old := f.replaced[path]; old != nil && f.rng.IntN(2) == 0 {
			now, durable = old.durable, old.durable
		}
		if err := os.WriteFile(path, f.mix(durable, now), 0o600); err != nil {
			return err
		}
	}
	clear(f.inodes)
	clear(f.replaced)
	return nil
}

func (f *faulty) mix(durable, now []byte) []byte {
	size := len(durable)
	switch more := len(now) - size; f.rng.IntN(3) {
	case 0:
		size += more
	case 1:
		size += int(f.rng.Float64() * float64(more))
	}
	b := make([]byte, size)
	for at := 0; at < size; at += sectorSize {
		from := now
		if f.rng.IntN(3) == 0 {
			from = durable
		}
		if at < len(from) {
			copy(b[at:min(at+sectorSize, size)], from[at:])
		}
	}
	return b
}

type faultyFile struct {
	file
	files *faulty
	inode *inode
}

func (f *faultyFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.files.step(func(fails bool) error {
		if n = len(b); fails {
			n = f.files.rng.IntN(n + 1)
		}
		_, err := f.file.WriteAt(b[:n], at)
		return err
	})
	return n, err
}

func (f *faultyFile) Truncate(size int64) error {
	return f.files.step(func(bool) error { return f.file.Truncate(size) })
}

func (f *faultyFile) Sync() error {
	return f.files.step(func(bool) error {
		size, err := f.Size()
		if err != nil {
			return err
		}
		f.inode.durable = make([]byte, size)
		_, err = f.ReadAt(f.inode.durable, 0)
		return err
	})
}
