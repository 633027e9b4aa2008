//go:build race

package poptrie

// raceEnabled keeps ids from being changed in place, which is atomic on all processors that Go runs on, but which the race detector,
// going by Go's memory model, does not know: readers load 16 bits of what the writer stores as 32.
const raceEnabled = true
