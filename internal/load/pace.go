package load

import "fmt"

// paceShift is that of pace.h: intervals are in units of 2^-16 ns.
const paceShift = 16

// interval is the time between two packets, as the source's program has it.
func interval(rate int) uint64 {
	if rate <= 0 {
		return 0
	}
	return (1e9<<paceShift + uint64(rate)/2) / uint64(rate)
}

// SetRate changes the rate, in packets per second, 0 for as many as can be, of a source that sends, or is started
// later. The next packet is due one interval of the new rate later at most.
func (s *Source) SetRate(rate int) error {
	if rate < 0 {
		return fmt.Errorf("source: rate %d: want packets per second, or 0 for as many as can be", rate)
	}
	if err := s.coll.Variables["interval"].Set(interval(rate)); err != nil {
		return fmt.Errorf("source: set rate %d: %w", rate, err)
	}
	return nil
}

// Missed returns the number of packets that were due since Start and not sent, since the source had not been running
// for 50 us or more: its CPU did something else, or cannot make so many. It does not make up for them, which would be
// bursts.
func (s *Source) Missed() (n uint64, err error) {
	err = s.coll.Variables["missed"].Get(&n)
	return n, err
}
