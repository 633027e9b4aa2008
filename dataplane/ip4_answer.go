package dataplane

import (
	"nsrouter/dataplane/header"
)

// answerOptions writes the options that the answer to a packet has (an echo reply, an ICMP error) to reply, and returns
// their length, padded; -1 where they are too damaged to be answered. Record route and timestamp go on counting, a source
// route is walked back (RFC 1812 4.3.2.6; __ip_options_echo of net/ipv4/ip_options.c). What is to be filled in when the
// source of the answer is known is noted in o, which described the packet before; to is where the answer goes first.
func (w *Worker) answerOptions(o *options4, h header.IPv4, reply *[header.IPv4MaxOptions]byte) (n int, to uint32) {
	sent := *o
	*o = options4{}
	to = h.Source()
	if sent.record != 0 {
		b := reply[n : n+copy(reply[n:], h[sent.record:int(sent.record)+int(h[sent.record+1])])]
		if pointer := int(b[2]); sent.recordAddr && pointer <= len(b) {
			if pointer+3 > len(b) {
				return -1, 0
			}
			b[2] += 4
			o.recordAddr = true
		}
		o.record = uint8(header.IPv4MinLen + n)
		n += len(b)
	}
	if sent.stamp != 0 {
		b := reply[n : n+copy(reply[n:], h[sent.stamp:int(sent.stamp)+int(h[sent.stamp+1])])]
		if !w.answerStamp(o, &sent, b) {
			return -1, 0
		}
		o.stamp = uint8(header.IPv4MinLen + n)
		n += len(b)
	}
	if sent.route != 0 {
		b := h[sent.route : int(sent.route)+int(h[sent.route+1])]
		if length, first := walkBack(reply[n:], b, h.Source()); length > 0 {
			o.route = uint8(header.IPv4MinLen + n)
			n += length
			to = first
			// The last stop is who sent the packet.
			header.PutAddr(reply[n-4:], h.Source())
		}
	}
	for ; n%4 != 0; n++ {
		reply[n] = header.Opt4End
	}
	return n, to
}

// answerStamp makes room for what the answer adds to timestamp option b; false where it is damaged.
func (w *Worker) answerStamp(o, sent *options4, b []byte) bool {
	pointer := int(b[2])
	if pointer > len(b) {
		return true
	}
	if sent.stampAddr {
		if pointer+3 > len(b) {
			return false
		}
		o.stampAddr = true
		pointer += 4
	}
	if sent.stampTime {
		switch {
		case pointer+3 > len(b):
			return false
		case b[3]&0xf != header.TimestampPrescribed:
			o.stampTime = true
			pointer += 4
		case pointer+7 <= len(b) && w.notUnicast4(header.Addr(b[pointer-1:])):
			o.stampTime = true
			pointer += 8
		}
	}
	b[2] = byte(pointer)
	return true
}

// walkBack writes the reverse of source route b, as far as it has been followed, with room for the last stop. It returns
// its length and the first stop; 0 where nothing is to be walked back.
func walkBack(reply, b []byte, source uint32) (length int, first uint32) {
	at := int(b[2])
	if at > len(b) {
		at = len(b) + 1
	}
	at -= 4
	if at <= 3 {
		return 0, 0
	}
	first = header.Addr(b[at-1:])
	length = 4
	for at -= 4; at > 3; at -= 4 {
		header.PutAddr(reply[length-1:], header.Addr(b[at-1:]))
		length += 4
	}
	// "RFC 1812 requires to fix illegal source routes": one that names the sender as its first stop.
	if header.Addr(b[at+3:]) == source {
		length -= 4
	}
	if length <= 3 {
		return 0, 0
	}
	reply[0], reply[1], reply[2] = b[0], byte(length+3), 4
	return length + 3, first
}

// fillAnswer writes our address and the time into the options of an own packet whose source is set (ip_options_build).
func (w *Worker) fillAnswer(o *options4, h header.IPv4) {
	if b := h[o.record:]; o.recordAddr {
		header.PutAddr(b[b[2]-5:], h.Source())
	}
	b := h[o.stamp:]
	if o.stampAddr {
		header.PutAddr(b[b[2]-9:], h.Source())
	}
	if o.stampTime {
		header.PutAddr(b[b[2]-5:], w.dayTime())
	}
}
