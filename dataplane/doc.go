// Package dataplane moves packets.
//
// A [Worker] is a thread with queues of its own. It does the same round over and over: take what other workers and the
// control plane left for it, receive a batch from each of its queues, take each batch through the graph of nodes
// (graph.go has the picture), transmit what came out, refill. One file holds one node or a few that belong together; a
// node is a function over a batch that puts each packet on one edge.
//
// # What is shared
//
// Workers read the control plane's published snapshots ([nstable.View]), the forwarding tables ([fib.Table]) and the neighbour
// tables, take from token buckets that they share without a lock (package limit), write
// counter slots of their own, and pass packets to each other through rings with one writer and one reader. A device's
// neighbours are written by one worker, its owner, to which the others hand packets that need resolving. The control
// plane reaches a worker's own state only by its mailbox, which the worker empties between rounds.
//
// # What never happens for a packet
//
// No allocation, lock, map, log line or system call; those that a batch or a rare packet needs stand outside the
// forward nodes.
package dataplane
