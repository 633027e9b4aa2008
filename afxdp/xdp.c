//go:build ignore

// The XDP program that hands every packet of an interface to the AF_XDP socket of its receive queue.
// Built by `go generate` (bpf2go); the object is committed, so that a build of the router needs no clang.

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

// One socket per receive queue; the number of entries is set when the program is loaded.
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

// XDP_PASS is what happens on a queue without a socket: the packet goes to the kernel as if no program were there.
SEC("xdp")
int to_socket(struct xdp_md *packet)
{
	return bpf_redirect_map(&sockets, packet->rx_queue_index, XDP_PASS);
}
