// Pacing of the source: when packet n is due, whatever became of those before it (open loop).

// Times are in ns << PACE_SHIFT since `started`, so that an interval between two packets is exact to a hundred-millionth
// at 1 Mpps.
#define PACE_SHIFT 16
// A source that was held up for longer than this does not make up for it, since a burst is not the rate that was asked
// for and overflows rings of 256 packets: what was due meanwhile is missed.
#define PACE_SLACK (50000ULL << PACE_SHIFT)

__u64 interval; // between two packets, 0 for as many as can be; user space changes it at any time
__u64 due;      // of the next packet; 0: the first
__u64 started;  // ns, of the first packet
__u64 missed;   // packets that the source was too late for

// pace tells whether a packet is to be sent now. The time at which it was due, in ns, is 0 if there is no rate.
static __always_inline int pace(__u64 *intended)
{
	__u64 step = *(volatile __u64 *)&interval;
	*intended = 0;
	if (!step) {
		due = 0;
		return 1;
	}
	__u64 clock = bpf_ktime_get_ns();
	if (!started)
		started = clock;
	__u64 now = (clock - started) << PACE_SHIFT;
	if (!due) {
		due = now;
	} else if (now < due) {
		if (due - now > step) // the rate has been raised
			due = now + step;
		return 0;
	} else if (now - due > PACE_SLACK + step) {
		missed += (now - due) / step;
		due = now;
	}
	*intended = started + (due >> PACE_SHIFT);
	due += step;
	return 1;
}
