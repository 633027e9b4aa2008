package dataplane

import "nsrouter/dataplane/frame"

// Port is one receive and transmit queue of a device: an AF_XDP socket, the memory port of benchmarks, later a TAP. Its
// worker alone calls it. Frames are owned as package frame tells: what Receive returns is the worker's, what Transmit
// accepts is the port's until Complete gives it back.
type Port interface {
	// Receive moves up to len(d) received packets into d and returns how many.
	Receive(d []frame.Desc) int
	// Transmit queues the first n packets of d and returns n; the others remain the caller's. Nothing is sent before
	// Flush.
	Transmit(d []frame.Desc) int
	// Flush makes the kernel send what is queued, and go on until it is: it is called once a round while Pending is not
	// zero.
	Flush()
	// Pending is the number of frames transmitted and not yet completed.
	Pending() int
	// Complete frees into c the frames whose transmission is done, and returns how many.
	Complete(c *frame.Cache) int
	// Refill lends free frames of c to the receive side, as far as there is room and c has any, and wakes the driver
	// where it asks for that. It returns how many the receive side still lacks.
	Refill(c *frame.Cache) int
	// FD is the descriptor to poll for input when idle, or -1.
	FD() int
	// Reclaim frees into c all frames that the port still has, once its socket is closed, and returns how many.
	Reclaim(c *frame.Cache) int
}

// BusyPoller is a Port whose driver can be polled.
type BusyPoller interface {
	// BusyPoll has Receive do the driver's work while nothing is there, on the worker's CPU, or leaves that to the driver's
	// interrupts, as it is at first.
	BusyPoll(on bool)
}
