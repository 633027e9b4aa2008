/*
 * Makes l3fwd forward packets of our choice in memory. Preloaded into it (LD_PRELOAD), over devices of net_null: when a port has been
 * started, a callback on its receive queue writes headers into the frames that net_null delivers empty, and sets their packet type, as a
 * card would. l3fwd itself is not changed for it. The frames are in the file that MEMSOURCE names, MEMSOURCE_LEN bytes each; their number
 * is a power of two.
 *
 * As the router's memory port does, it writes but 16 bytes at 0 and 16 where TTL, checksum and destination are, once every
 * buffer has been written whole.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define WHOLE (1 << 18) /* packets that are written whole: several times the buffers in use */

static uint8_t *frames;
static uint32_t mask, len, next, whole, type, second, third;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void load(void)
{
	const char *path = getenv("MEMSOURCE"), *l = getenv("MEMSOURCE_LEN");
	FILE *f;
	long size;

	if (!path || !l || !(f = fopen(path, "rb")))
		fail("memsource: MEMSOURCE, MEMSOURCE_LEN");
	len = atoi(l);
	if (fseek(f, 0, SEEK_END) || (size = ftell(f)) < len || fseek(f, 0, SEEK_SET) || !(frames = malloc(size)))
		fail("memsource: size");
	if (fread(frames, 1, size, f) != (size_t)size)
		fail("memsource: read");
	fclose(f);
	mask = size / len - 1;
	if (frames[12] == 0x86) {
		type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV6_EXT_UNKNOWN;
		second = 16;
		third = 38;
	} else {
		type = RTE_PTYPE_L2_ETHER | RTE_PTYPE_L3_IPV4_EXT_UNKNOWN;
		second = third = 18;
	}
}

static uint16_t fill(uint16_t port, uint16_t queue, struct rte_mbuf **pkts, uint16_t n, uint16_t max, void *arg)
{
	(void)port, (void)queue, (void)max, (void)arg;
	for (uint16_t i = 0; i < n; i++) {
		const uint8_t *from = frames + (size_t)(next++ & mask) * len;
		uint8_t *to = rte_pktmbuf_mtod(pkts[i], uint8_t *);

		pkts[i]->packet_type = type;
		if (unlikely(whole < WHOLE)) {
			whole++;
			memcpy(to, from, len);
			continue;
		}
		memcpy(to, from, 16);
		memcpy(to + second, from + second, 16);
		if (third != second)
			memcpy(to + third, from + third, 16);
	}
	return n;
}

int rte_eth_dev_start(uint16_t port)
{
	int (*start)(uint16_t) = dlsym(RTLD_NEXT, "rte_eth_dev_start");
	int r = start(port);

	if (!frames)
		load();
	if (r == 0 && !rte_eth_add_rx_callback(port, 0, fill, NULL))
		fail("memsource: rte_eth_add_rx_callback");
	return r;
}

/* The types that fill sets, so that l3fwd need not look for itself. */
int rte_eth_dev_get_supported_ptypes(uint16_t port, uint32_t want, uint32_t *types, int n)
{
	const uint32_t have[] = {RTE_PTYPE_L2_ETHER, RTE_PTYPE_L3_IPV4_EXT_UNKNOWN, RTE_PTYPE_L3_IPV6_EXT_UNKNOWN};
	int found = 0;

	(void)port;
	for (unsigned int i = 0; i < RTE_DIM(have); i++) {
		if (!(have[i] & want))
			continue;
		if (found < n)
			types[found] = have[i];
		found++;
	}
	return found;
}
