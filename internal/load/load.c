//go:build ignore

// Source and sink of benchmark traffic: 64-byte UDP over IPv4 (60 bytes without the FCS).
// Built by `go generate` (bpf2go); the object is committed, so that benchmarks and demo need no clang.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct headers {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
} __attribute__((packed));

// Settings of the source, written before it is loaded. The headers have the first destination and source port, and a zero UDP
// checksum (none); the IPv4 checksum is made here.
__u8 template[sizeof(struct headers)]; // not const: the compiler would take it for zeros
const volatile __u32 destination_mask; // packet n goes to the first destination + (n & mask)
const volatile __u16 flow_mask;        // and comes from the first source port + (n & mask)
const volatile __u64 rate;             // packets per second, 0 for as many as can be

// What the source has handed to the device. One CPU runs it at a time.
__u64 sent;
__u64 started; // ns, of the first packet

// The device that the source sends on.
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} device SEC(".maps");

// source rewrites a recycled frame whole, since it comes back as the router left it, and sends it. A frame that is too early for the
// rate is dropped; the kernel comes with the next at once.
SEC("xdp")
int source(struct xdp_md *packet)
{
	void *end = (void *)(long)packet->data_end;
	struct headers *h = (void *)(long)packet->data;
	if ((void *)(h + 1) > end)
		return XDP_ABORTED;

	if (rate) {
		__u64 now = bpf_ktime_get_ns();
		if (!started)
			started = now;
		if (sent * 1000000000 > (now - started) * rate)
			return XDP_DROP;
	}
	__u32 n = sent++;
	__builtin_memcpy(h, template, sizeof(*h));
	h->ip.daddr = bpf_htonl(bpf_ntohl(h->ip.daddr) + (n & destination_mask));
	h->udp.source = bpf_htons(bpf_ntohs(h->udp.source) + (n & flow_mask));

	__u16 *word = (void *)&h->ip;
	__u32 sum = 0;
#pragma unroll
	for (int i = 0; i < (int)sizeof(h->ip) / 2; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	h->ip.check = ~sum;
	return bpf_redirect_map(&device, 0, 0);
}

// Settings of the sink.
const volatile __u8 want_mac[ETH_ALEN];
const volatile __u8 want_ttl;
const volatile __u16 want_port; // UDP destination, network byte order

struct counts {
	__u64 packets;
	__u64 bad; // of them, with another MAC or TTL than wanted
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} received SEC(".maps");

// sink counts and drops the packets of a source; all others are the host's, which answers ARP, for one.
SEC("xdp")
int sink(struct xdp_md *packet)
{
	void *end = (void *)(long)packet->data_end;
	struct headers *h = (void *)(long)packet->data;
	if ((void *)(h + 1) > end || h->eth.h_proto != bpf_htons(ETH_P_IP) || h->ip.protocol != IPPROTO_UDP ||
	    h->udp.dest != want_port)
		return XDP_PASS;

	__u32 zero = 0;
	struct counts *c = bpf_map_lookup_elem(&received, &zero);
	if (!c)
		return XDP_ABORTED;
	c->packets++;
	__u8 differ = h->ip.ttl ^ want_ttl;
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		differ |= h->eth.h_dest[i] ^ want_mac[i];
	if (differ)
		c->bad++;
	return XDP_DROP;
}

// pass leaves every packet to the kernel: a veth takes XDP frames from its peer only while it has a program.
SEC("xdp")
int pass(struct xdp_md *packet)
{
	return XDP_PASS;
}
