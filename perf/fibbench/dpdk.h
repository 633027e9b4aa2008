#ifndef FIBBENCH_DPDK_H
#define FIBBENCH_DPDK_H

#include <stddef.h>
#include <stdint.h>

/* What the benchmark needs of DPDK's tables. Addresses are in host order (IPv4) or 16 bytes in network order (IPv6). */

/* Starts DPDK on a CPU, on huge pages or without. Negative: it failed. */
int fb_start(int cpu, int huge);

/* Whether this processor has the AVX-512 look-ups. */
int fb_vector(void);

/* Bytes of DPDK's memory that are given out. */
size_t fb_allocated(void);

struct rte_lpm;
struct rte_fib;
struct rte_fib6;

struct rte_lpm *fb_lpm_new(unsigned groups);
/* Fills a new table directly, the routes sorted by length: rte_lpm_add searches all rules of a length for each. */
void fb_lpm_fill(struct rte_lpm *t, const uint32_t *ip, const uint8_t *len, const uint32_t *id, int n);
void fb_lpm_look(struct rte_lpm *t, const uint32_t *ip, uint32_t *ids, int n, int batch);

struct rte_fib *fb_fib_new(int vector, unsigned groups);
int fb_fib_add_all(struct rte_fib *t, const uint32_t *ip, const uint8_t *len, const uint32_t *id, int n);
void fb_fib_look(struct rte_fib *t, const uint32_t *ip, uint32_t *ids, int n, int batch);

struct rte_fib6 *fb_fib6_new(int vector, unsigned groups);
int fb_fib6_add_all(struct rte_fib6 *t, const uint8_t *ip, const uint8_t *len, const uint32_t *id, int n);
void fb_fib6_look(struct rte_fib6 *t, const uint8_t *ip, uint32_t *ids, int n, int batch);

#endif
