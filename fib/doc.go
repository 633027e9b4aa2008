// Package fib finds the next hop of an address: routes, next hops and longest-prefix match of one namespace.
//
// The control side keeps all routes in a [RIB]: by prefix, with their metrics and protocols. What a route says about
// where to send is a [Way], shared by all routes that say the same. A way resolves to a [Group]: the neighbours that
// packets are spread over at this moment, with the devices that are down left out, and gateways that are themselves
// routed (recursive ones) replaced by what leads to them. [RIB.Install] brings the best route of each prefix into a
// [Table].
//
// Workers read the table without a lock. They ask it for whole batches: a look-up finds the group of each
// address, and the group gives the next hop of each flow. A group is replaced by one store, so that a next hop that
// fails costs one change, however many prefixes lead to it.
//
// # Concurrency
//
// RIB and table have one writer, the control plane. Readers of a table join the [Epochs] that it was made with, and say
// after each batch that they hold nothing of it any more. A look-up finds a table from before or after any change that
// runs meanwhile; group ids are used again only when no reader can hold them.
package fib
