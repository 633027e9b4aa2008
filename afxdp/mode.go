package afxdp

import "fmt"

// Mode is how packets get from the driver to the socket.
type Mode uint8

const (
	// Auto takes the best mode that can be had: zero-copy, else copy, else generic.
	Auto Mode = iota
	// ZeroCopy lets the hardware read and write the frames themselves.
	ZeroCopy
	// Copy runs the XDP program in the driver; the kernel copies each packet once.
	Copy
	// Generic runs the XDP program behind the driver, on a packet buffer already made: for drivers without XDP.
	Generic
)

// modeNames are the words of the command line, in the order of the constants.
func modeNames() [4]string { return [4]string{"auto", "zerocopy", "copy", "generic"} }

// String is the command line's word for the mode.
func (m Mode) String() string {
	if names := modeNames(); int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// ParseMode is the inverse of [Mode.String].
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames() {
		if s == name {
			return Mode(m), nil
		}
	}
	return Auto, fmt.Errorf("mode %q: want auto, zerocopy, copy or generic", s)
}

// candidates are the modes to try for m, in order.
func (m Mode) candidates() []Mode {
	if m == Auto {
		return []Mode{ZeroCopy, Copy, Generic}
	}
	return []Mode{m}
}
