package dataplane

import "time"

// A namespace's budget for what the router sends of its own (RFC 1812 4.3.2.8, RFC 4443 2.4(f)): so many a second, and
// as many at once. Each worker has its share of nothing but its own: the limit holds per worker.
const (
	errorRate  = 1000
	answerRate = 100_000
)

type purse uint8

const (
	errorPurse  purse = iota // ICMP errors
	answerPurse              // echo, ARP and ND replies
	purses
)

var purseRates = [purses]int64{
	errorPurse:  errorRate,
	answerPurse: answerRate,
} //nolint:gochecknoglobals // a constant table

// budget is the token buckets of one namespace at one worker: the time up to which tokens are used (GCRA), nanoseconds.
type budget [purses]int64

// allow takes a token of the present namespace; false if none is left.
func (w *Worker) allow(kind purse) bool {
	id := int(w.ns.ID)
	for id >= len(w.budgets) {
		w.budgets = append(w.budgets, budget{})
	}
	cost := int64(time.Second) / purseRates[kind]
	used := &w.budgets[id][kind]
	// A bucket is full when its time lies a second back.
	*used = max(*used, w.now-int64(time.Second))
	if *used+cost > w.now {
		return false
	}
	*used += cost
	return true
}
