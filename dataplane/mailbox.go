package dataplane

import (
	"sync"
	"sync/atomic"
)

// mailbox brings the control plane's requests to a worker, which runs them between two rounds: there no packet is in
// the graph, and all of the worker's state may be touched. The worker takes the lock only when something is there.
type mailbox struct {
	flag atomic.Bool
	mu   sync.Mutex
	list []func(*Worker)
}

func (m *mailbox) pending() bool { return m.flag.Load() }

func (m *mailbox) put(f func(*Worker)) {
	m.mu.Lock()
	m.list = append(m.list, f)
	m.mu.Unlock()
	m.flag.Store(true)
}

func (m *mailbox) run(w *Worker) {
	m.flag.Store(false)
	m.mu.Lock()
	list := m.list
	m.list = nil
	m.mu.Unlock()
	for _, f := range list {
		f(w)
	}
}

// post has the worker run f between two rounds, soon, and does not wait.
func (w *Worker) post(f func(*Worker)) {
	w.mail.put(f)
	if w.sleeping.Load() {
		w.wake.wake()
	}
}

// call is post that waits until f has run, or the worker has ended.
func (w *Worker) call(f func(*Worker)) {
	done := make(chan struct{})
	w.post(func(w *Worker) {
		f(w)
		close(done)
	})
	select {
	case <-done:
	case <-w.done:
	}
}
