//go:build ignore

// Source and sink of benchmark traffic: the smallest frames of UDP over IPv4 (60 bytes without the FCS) and IPv6 (62), 4 more with a
// VLAN tag. Built by `go generate` (bpf2go); the object is committed, so that benchmarks and demo need no clang.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "latency.h"
#include "pace.h"

struct vlan {
	__be16 tci; // of which the lower 12 bits are the id
	__be16 proto;
};

#define VLAN_ID 0x0fff
#define FRAME4 60
#define FRAME6 (ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct udphdr))
#define STAMP4 (sizeof(struct iphdr) + sizeof(struct udphdr)) // where behind layer 2 the time stands at which a packet was due
#define FRAME_MAX (FRAME6 + sizeof(struct vlan))

// Settings of the source, written before it is loaded. The frame has zeros where a destination, a VLAN id and a checksum belong, and the
// first source port. The sum is that of the IPv6 pseudo header and the UDP header, without destination and source port.
__u8 template[FRAME_MAX]; // not const: the compiler would take it for zeros
__u32 udp_sum;
const volatile __u8 ipv6;
const volatile __u8 tagged;
const volatile __u32 destination_mask; // packet n goes to destination n & mask
const volatile __u32 device_mask;      // on device n & mask
const volatile __u8 device_shift;      // log2 of the number of devices
const volatile __u16 vlan_mask;        // with VLAN id 1 + (n >> shift & mask)
const volatile __u16 flow_mask;        // and comes from the first source port + (n & mask)

// What the source has handed to the devices. One CPU runs it at a time.
__u64 sent;

// The devices that the source sends on.
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

// Destinations in network byte order; of IPv4 only the first word is there.
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct in6_addr);
} destinations SEC(".maps");

// fold is the one's complement sum of 16 bits of a sum of 32.
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

// sum_of adds the words of a header of constant size.
static __always_inline __u32 sum_of(const void *header, int bytes)
{
	const __u16 *word = header;
	__u32 sum = 0;
#pragma unroll
	for (int i = 0; i < bytes / 2; i++)
		sum += word[i];
	return sum;
}

// address4 and address6 complete the headers that stand in a frame, for packet n.
static __always_inline void address4(struct iphdr *ip, const struct in6_addr *to, __u64 n)
{
	struct udphdr *udp = (void *)(ip + 1);
	ip->daddr = to->in6_u.u6_addr32[0];
	ip->check = ~fold(sum_of(ip, sizeof(*ip)));
	udp->source = bpf_htons(bpf_ntohs(udp->source) + (n & flow_mask));
}

static __always_inline void address6(struct ipv6hdr *ip, const struct in6_addr *to, __u64 n)
{
	struct udphdr *udp = (void *)(ip + 1);
	__builtin_memcpy(&ip->daddr, to, sizeof(*to));
	udp->source = bpf_htons(bpf_ntohs(udp->source) + (n & flow_mask));
	__u16 check = ~fold(udp_sum + udp->source + sum_of(to, sizeof(*to)));
	udp->check = check ? check : 0xffff; // zero would say that there is none
}

// source rewrites a recycled frame whole, since it comes back as the router left it, and sends it. A frame that is too early for the
// rate is dropped; the kernel comes with the next at once.
SEC("xdp")
int source(struct xdp_md *packet)
{
	void *end = (void *)(long)packet->data_end;
	void *frame = (void *)(long)packet->data;
	// The verifier knows the settings, so that of all branches on them one remains.
	const __u32 layer3 = tagged ? ETH_HLEN + sizeof(struct vlan) : ETH_HLEN;
	const __u32 length = (ipv6 ? FRAME6 : FRAME4) + (tagged ? sizeof(struct vlan) : 0);
	if (frame + length > end)
		return XDP_ABORTED;

	__u64 intended;
	if (!pace(&intended))
		return XDP_DROP;
	__u64 n = sent++;
	__u32 at = n & destination_mask;
	struct in6_addr *to = bpf_map_lookup_elem(&destinations, &at);
	if (!to)
		return XDP_ABORTED;
	__builtin_memcpy(frame, template, FRAME4);
	if (ipv6 || tagged)
		__builtin_memcpy(frame + FRAME4, template + FRAME4, 2);
	if (tagged) {
		struct vlan *tag = frame + ETH_HLEN;
		tag->tci = bpf_htons(1 + ((n >> device_shift) & vlan_mask));
		__builtin_memcpy(frame + FRAME4 + 2, template + FRAME4 + 2, 2);
		if (ipv6)
			__builtin_memcpy(frame + FRAME6 + 2, template + FRAME6 + 2, 2);
	}
	if (ipv6) {
		address6(frame + layer3, to, n);
	} else {
		address4(frame + layer3, to, n);
		__builtin_memcpy(frame + layer3 + STAMP4, &intended, sizeof(intended));
	}
	return bpf_redirect_map(&devices, n & device_mask, 0);
}

// Settings of the sink.
const volatile __u8 want_mac[ETH_ALEN];
const volatile __u8 want_ttl;
const volatile __u16 want_port;      // UDP destination, network byte order
const volatile __u8 want_vlan;       // whether the VLAN id must be 1 + (IPv4 destination >> 8 & mask)
const volatile __u16 want_vlan_mask;
const volatile __u64 sample_mask;    // the IPv4 header checksum is looked at where the number of a packet has none of these bits

struct counts {
	__u64 packets;
	__u64 bad; // of them, not as wanted
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
	struct ethhdr *eth = (void *)(long)packet->data;
	void *layer3 = eth + 1;
	if (layer3 + sizeof(struct vlan) > end)
		return XDP_PASS;
	__be16 proto = eth->h_proto;
	__u16 id = 0;
	if (proto == bpf_htons(ETH_P_8021Q)) {
		struct vlan *tag = layer3;
		id = bpf_ntohs(tag->tci) & VLAN_ID;
		proto = tag->proto;
		layer3 = tag + 1;
	}
	struct iphdr *ip = layer3;
	struct ipv6hdr *ip6 = layer3;
	struct udphdr *udp;
	__u8 ttl, is4 = proto == bpf_htons(ETH_P_IP);
	if (is4) {
		udp = (void *)(ip + 1);
		if ((void *)(udp + 1) > end || ip->protocol != IPPROTO_UDP)
			return XDP_PASS;
		ttl = ip->ttl;
	} else {
		udp = (void *)(ip6 + 1);
		if (proto != bpf_htons(ETH_P_IPV6) || (void *)(udp + 1) > end || ip6->nexthdr != IPPROTO_UDP)
			return XDP_PASS;
		ttl = ip6->hop_limit;
	}
	if (udp->dest != want_port)
		return XDP_PASS;

	__u32 zero = 0;
	struct counts *c = bpf_map_lookup_elem(&received, &zero);
	if (!c)
		return XDP_ABORTED;
	__u8 differ = ttl ^ want_ttl;
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		differ |= eth->h_dest[i] ^ want_mac[i];
	if (is4 && !(c->packets & sample_mask))
		differ |= fold(sum_of(ip, sizeof(*ip))) != 0xffff;
	if (want_vlan)
		differ |= !is4 || id != 1 + ((bpf_ntohl(ip->daddr) >> 8) & want_vlan_mask);
	c->packets++;
	if (differ)
		c->bad++;
	if (timing && is4) {
		__u64 *intended = (void *)(udp + 1); // at 4 more than a multiple of 8, which XDP does not mind
		if ((void *)(intended + 1) <= end && *intended)
			count_latency(*intended);
	}
	return XDP_DROP;
}

// pass leaves every packet to the kernel: a veth takes XDP frames from its peer only while it has a program.
SEC("xdp")
int pass(struct xdp_md *packet)
{
	return XDP_PASS;
}
