// Package afxdp receives and sends packets through AF_XDP sockets: one [Interface] for a Linux network interface, one
// [Queue] for each of its receive queues.
//
// # Memory
//
// Every interface registers the daemon's one frame area (package frame) with the kernel as a UMEM of its own; the
// queues of one interface share that registration (XDP_SHARED_UMEM), each with its own four rings. A frame received
// from one interface can thus be transmitted by any other without a copy. The pages are pinned, and counted as locked
// memory, once for each interface.
//
// A queue owns frames in two places, each an owner in the frame area's table:
//
//	        Refill (fill ring)                    (receive ring) Receive
//	worker -------------------> receive side of q ----------------------> worker
//	        Transmit (transmit ring)          (completion ring) Complete
//	worker -------------------> transmit side of q ---------------------> free
//
// The receive side never has more frames than its target, and fewer only between two refills or for want of free ones.
// What a closed queue still had is found in the table by [Queue.Reclaim]. So frames are conserved whatever the kernel
// does with a queue.
//
// # Life
//
//	i, err := Open(pool, Options{Host: "p1"})   check, prepare, bind every queue, attach the program
//	q.Refill, Receive, Transmit, Flush, ...     each queue by its one worker
//	i.Detach()                                  the program goes first: a socket closed before it has crashed kernels
//	                                            now each worker lets go of its queue and calls it no more
//	i.Close()                                   sockets closed, settings put back in reverse order
//	q.Reclaim(c)                                the worker frees the queue's frames
//
// The program is attached by a bpf_link and multicast reception held by a socket: both end with the process, however
// it ends. Other settings that a killed process has changed stay so: a [Journal] tells its successor what they were.
//
// An interface that vanishes, or moves to another Linux network namespace, unbinds its sockets for good:
// [Interface.Gone] tells (the kernel does not wake a poll for it). Its queues then receive and send nothing, and it
// is closed like any other. One that is merely down keeps its sockets, and goes on when it is up again.
//
// # Concurrency
//
// A [Queue] belongs to one worker, which alone may call it, but for [Queue.Stats], [Queue.FillLevel], [Queue.Gone]
// and [Queue.ID]. The methods of [Interface] may be called from any goroutine, in the Linux network namespace where
// it was opened. *Queue satisfies dataplane.Port.
package afxdp
