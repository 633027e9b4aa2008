package lab

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// Main runs fn for a program as a test is run: what fn or a lab of it fails with is the error returned; cleanups run in
// any case, also after a panic, SIGINT or SIGTERM.
func Main(fn func(t T)) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, unix.SIGTERM)
	defer signal.Stop(signals)

	p := &program{}
	done := make(chan any, 1)
	go func() {
		// A Goexit by Fatalf leaves recover with nil, as a plain return does.
		defer func() { done <- recover() }()
		fn(p)
	}()
	var panicked any
	select {
	case panicked = <-done:
	case s := <-signals:
		p.fail(fmt.Errorf("ended by %v", s))
	}
	p.cleanup()
	if panicked != nil {
		panic(panicked)
	}
	return p.failure()
}

// program is the T of a program.
type program struct {
	mu       sync.Mutex
	err      error
	cleanups []func()
}

func (p *program) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = errors.Join(p.err, err)
}

func (p *program) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Helper, Logf, Fatalf, Failed and Cleanup are those of testing.TB.
func (p *program) Helper() {}

func (p *program) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func (p *program) Fatalf(format string, args ...any) {
	p.fail(fmt.Errorf(format, args...))
	runtime.Goexit()
}

func (p *program) Failed() bool { return p.failure() != nil }

func (p *program) Cleanup(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, fn)
}

func (p *program) cleanup() {
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			p.mu.Unlock()
			return
		}
		fn := p.cleanups[n-1]
		p.cleanups = p.cleanups[:n-1]
		p.mu.Unlock()
		fn()
	}
}
