package cycles

// Unit is what a tick is called.
const Unit = "cycles"

// Now is the counter. It does not wait for earlier instructions to end (RDTSC is not serializing): a difference is exact to some
// tens of cycles.
//
//go:noescape
func Now() uint64
