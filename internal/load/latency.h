// The histogram of latencies, with the buckets of an HdrHistogram from 1 ns on of two significant digits: a row of
// 2^SUB_BITS buckets of 1 ns, then rows of half as many, each with buckets twice as wide as those of the row before.

#define SUB_BITS 8 // 2 x 10^2 values are told apart
#define HALF (1 << (SUB_BITS - 1))
#define MAX_BITS 33 // what takes 2^33 ns (8.6 s) or longer counts in the last bucket
#define BUCKETS ((MAX_BITS - SUB_BITS + 2) * HALF)

struct histogram {
	__u64 counts[BUCKETS];
};

// One value, below the 32 KiB that a value of a CPU may have.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct histogram);
} latencies SEC(".maps");

__u8 timing; // whether the sink takes the time; user space changes it at any time

// log2_of is the position of the highest bit of v, which has one.
static __always_inline __u32 log2_of(__u64 v)
{
	__u32 n = 0;
#pragma unroll
	for (int bits = 32; bits; bits >>= 1) {
		if (v >> bits) {
			v >>= bits;
			n += bits;
		}
	}
	return n;
}

// count_latency counts a packet that was due at a time of this clock, in ns.
static __always_inline void count_latency(__u64 intended)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 ns = now > intended ? now - intended : 0; // clocks of two CPUs
	__u32 row = log2_of(ns | ((1 << SUB_BITS) - 1)) - (SUB_BITS - 1);
	__u64 bucket = row * HALF + (ns >> row);
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	__u32 zero = 0;
	struct histogram *h = bpf_map_lookup_elem(&latencies, &zero);
	if (h)
		h->counts[bucket]++;
}
