package load

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The buckets of latency.h are those of an HdrHistogram with this range and so many significant digits.
const (
	shortest, longest = 1, 1<<33 - 1 // ns
	digits            = 2
)

// Time begins or ends the taking of times: how long after it was due each packet of a source with a rate has come,
// which includes up to 50 us by which the source was late. To begin empties the histogram. Of IPv4 only: the smallest
// frames of IPv6 have no room for the time.
func (s *Sink) Time(on bool) error {
	var flag uint8
	if on {
		flag = 1
		var perCPU []loadHistogram
		if err := s.coll.Maps["latencies"].Lookup(uint32(0), &perCPU); err != nil {
			return fmt.Errorf("read the sink's latencies: %w", err)
		}
		clear(perCPU)
		if err := s.coll.Maps["latencies"].Put(uint32(0), perCPU); err != nil {
			return fmt.Errorf("empty the sink's latencies: %w", err)
		}
	}
	if err := s.coll.Variables["timing"].Set(flag); err != nil {
		return fmt.Errorf("set the sink's timing: %w", err)
	}
	return nil
}

// Latencies returns the times taken since Time began, in ns, those of 8.6 s and more as 8.6 s. It is the caller's.
func (s *Sink) Latencies() (*hdrhistogram.Histogram, error) {
	var perCPU []loadHistogram
	if err := s.coll.Maps["latencies"].Lookup(uint32(0), &perCPU); err != nil {
		return nil, fmt.Errorf("read the sink's latencies: %w", err)
	}
	counts := make([]int64, len(loadHistogram{}.Counts))
	for _, h := range perCPU {
		for i, n := range h.Counts {
			counts[i] += int64(n)
		}
	}
	return hdrhistogram.Import(&hdrhistogram.Snapshot{
		LowestTrackableValue: shortest, HighestTrackableValue: longest, SignificantFigures: digits, Counts: counts,
	}), nil
}
