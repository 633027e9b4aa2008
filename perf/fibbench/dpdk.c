//go:build dpdk

#include "dpdk.h"

#include <stdio.h>
#include <string.h>

#include <rte_cpuflags.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lpm.h>
#include <rte_malloc.h>

#define MAX_ROUTES (1 << 20)
#define MAX_BATCH 256

int fb_start(int cpu, int huge)
{
	char core[16];
	char *args[] = {"fibbench", "-l", core, "--no-pci", "--no-telemetry", "--log-level=3", "--force-max-simd-bitwidth=512",
			huge ? "--in-memory" : "--no-huge", "-m", "2048", "--no-shconf"};

	snprintf(core, sizeof(core), "%d", cpu);
	return rte_eal_init(huge ? 8 : 11, args);
}

int fb_vector(void)
{
#ifdef RTE_ARCH_X86
	return rte_cpu_get_flag_enabled(RTE_CPUFLAG_AVX512F) > 0;
#else
	return 0;
#endif
}

size_t fb_allocated(void)
{
	struct rte_malloc_socket_stats s;
	size_t sum = 0;

	for (int i = 0; i < RTE_MAX_NUMA_NODES; i++)
		if (rte_malloc_get_socket_stats(i, &s) == 0)
			sum += s.heap_allocsz_bytes;
	return sum;
}

/* DPDK wants a name for each table, of its own. */
static const char *new_name(void)
{
	static char name[16];
	static unsigned count;

	snprintf(name, sizeof(name), "fb%u", count++);
	return name;
}

struct rte_lpm *fb_lpm_new(unsigned groups)
{
	struct rte_lpm_config c = {.max_rules = MAX_ROUTES, .number_tbl8s = groups};

	return rte_lpm_create(new_name(), SOCKET_ID_ANY, &c);
}

void fb_lpm_fill(struct rte_lpm *t, const uint32_t *ip, const uint8_t *len, const uint32_t *id, int n)
{
	uint32_t groups = 0;

	for (int i = 0; i < n; i++) {
		struct rte_lpm_tbl_entry leaf = {.next_hop = id[i], .valid = 1, .valid_group = 0, .depth = len[i]};
		uint32_t at = ip[i] >> 8;

		if (len[i] <= 24) { /* sorted by length: there are no groups yet */
			for (uint32_t j = 0; j < 1u << (24 - len[i]); j++)
				t->tbl24[at + j] = leaf;
			continue;
		}
		if (!t->tbl24[at].valid_group) {
			struct rte_lpm_tbl_entry above = t->tbl24[at];
			struct rte_lpm_tbl_entry down = {.next_hop = groups++, .valid = 1, .valid_group = 1, .depth = above.depth};

			above.valid_group = above.valid; /* as rte_lpm has it in groups */
			for (int j = 0; j < RTE_LPM_TBL8_GROUP_NUM_ENTRIES; j++)
				t->tbl8[down.next_hop * RTE_LPM_TBL8_GROUP_NUM_ENTRIES + j] = above;
			t->tbl24[at] = down;
		}
		leaf.valid_group = 1;
		at = t->tbl24[at].next_hop * RTE_LPM_TBL8_GROUP_NUM_ENTRIES + (ip[i] & 0xff);
		for (uint32_t j = 0; j < 1u << (32 - len[i]); j++)
			t->tbl8[at + j] = leaf;
	}
}

void fb_lpm_look(struct rte_lpm *t, const uint32_t *ip, uint32_t *ids, int n, int batch)
{
	int done = n;

	for (int i = 0; i < n; i += batch) {
		done = RTE_MIN(batch, n - i);
		rte_lpm_lookup_bulk(t, ip + i, ids, done);
		asm volatile("" ::: "memory");
	}
	for (int i = 0; i < done; i++)
		ids[i] = ids[i] & RTE_LPM_LOOKUP_SUCCESS ? ids[i] & 0xffffff : 0;
}

struct rte_fib *fb_fib_new(int vector, unsigned groups)
{
	struct rte_fib_conf c = {.type = RTE_FIB_DIR24_8, .max_routes = MAX_ROUTES,
		.dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = groups}};
	struct rte_fib *t = rte_fib_create(new_name(), SOCKET_ID_ANY, &c);

	if (t && rte_fib_select_lookup(t, vector ? RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512 : RTE_FIB_LOOKUP_DIR24_8_SCALAR_MACRO)) {
		rte_fib_free(t);
		rte_errno = ENOTSUP;
		return NULL;
	}
	return t;
}

int fb_fib_add_all(struct rte_fib *t, const uint32_t *ip, const uint8_t *len, const uint32_t *id, int n)
{
	for (int i = 0; i < n; i++) {
		int err = rte_fib_add(t, ip[i], len[i], id[i]);
		if (err)
			return err;
	}
	return 0;
}

void fb_fib_look(struct rte_fib *t, const uint32_t *ip, uint32_t *ids, int n, int batch)
{
	uint64_t wide[MAX_BATCH];
	int done = n;

	for (int i = 0; i < n; i += batch) {
		done = RTE_MIN(batch, n - i);
		rte_fib_lookup_bulk(t, (uint32_t *)ip + i, wide, done);
	}
	for (int i = 0; i < done; i++)
		ids[i] = wide[i];
}

struct rte_fib6 *fb_fib6_new(int vector, unsigned groups)
{
	struct rte_fib6_conf c = {.type = RTE_FIB6_TRIE, .max_routes = MAX_ROUTES,
		.trie = {.nh_sz = RTE_FIB6_TRIE_4B, .num_tbl8 = groups}};
	struct rte_fib6 *t = rte_fib6_create(new_name(), SOCKET_ID_ANY, &c);

	if (t && rte_fib6_select_lookup(t, vector ? RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512 : RTE_FIB6_LOOKUP_TRIE_SCALAR)) {
		rte_fib6_free(t);
		rte_errno = ENOTSUP;
		return NULL;
	}
	return t;
}

int fb_fib6_add_all(struct rte_fib6 *t, const uint8_t *ip, const uint8_t *len, const uint32_t *id, int n)
{
	for (int i = 0; i < n; i++) {
		int err = rte_fib6_add(t, ip + 16 * i, len[i], id[i]);
		if (err)
			return err;
	}
	return 0;
}

void fb_fib6_look(struct rte_fib6 *t, const uint8_t *ip, uint32_t *ids, int n, int batch)
{
	uint64_t wide[MAX_BATCH];
	int done = n;

	for (int i = 0; i < n; i += batch) {
		done = RTE_MIN(batch, n - i);
		rte_fib6_lookup_bulk(t, (uint8_t (*)[RTE_FIB6_IPV6_ADDR_SIZE])(uintptr_t)(ip + 16 * i), wide, done);
	}
	for (int i = 0; i < done; i++)
		ids[i] = wide[i];
}
