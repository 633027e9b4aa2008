package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"nsrouter/internal/corpus"
)

// response is a frame that a router sent because of a probe.
type response struct {
	port  int
	frame []byte
}

func (r response) String() string { return fmt.Sprintf("port %d: %x", r.port, r.frame) }

// outcome is what both routers did with a probe.
type outcome struct {
	probe corpus.Probe
	n     int
	sent  [2][]response // by router, in no order
	stray bool          // there were frames in its window of which nobody knows whose consequence they are
}

// same compares as sets: fragments may come in any order, and what leaves by two ports has none.
func (o *outcome) same() bool { return slices.Equal(list(o.sent[ours]), list(o.sent[kernels])) }

func list(r []response) []string {
	out := make([]string, len(r))
	for i := range r {
		out[i] = response{r[i].port, normalize(r[i].frame)}.String()
	}
	slices.Sort(out)
	return out
}

// window is how many probes are sent before both routers are waited for.
const window = 32

// run sends probes to both routers, in windows, and collects what they do. Those that may leave no mark have a window
// of their own; so have all if alone says so.
func (r *reference) run(probes []corpus.Probe, alone bool) []outcome {
	r.t.Helper()
	out := make([]outcome, 0, len(probes))
	for start := 0; start < len(probes); {
		end := start + 1
		if !alone && !probes[start].Alone() {
			for end < len(probes) && end < start+window && !probes[end].Alone() {
				end++
			}
		}
		out = append(out, r.window(probes[start:end])...)
		start = end
	}
	return out
}

func (r *reference) window(probes []corpus.Probe) []outcome {
	r.t.Helper()
	out := make([]outcome, len(probes))
	for i, p := range probes {
		out[i] = outcome{probe: p, n: r.next}
		r.next++
		for _, f := range p.Frames(out[i].n) {
			r.frames++
			for s := range r.sides {
				r.sides[s].at[1].Send(f)
			}
		}
	}
	// Twice: in a batch of its own, a packet of one protocol may overtake those of another.
	r.sync()
	r.sync()
	for s := range r.sides {
		for port := 1; port <= 2; port++ {
			for _, f := range r.sides[s].at[port].Take() {
				r.attribute(out, s, response{port, f.Data})
			}
		}
	}
	return out
}

// sync waits until both routers have worked off all that was sent: until packets that were sent last have come out at
// both ports.
func (r *reference) sync() {
	r.t.Helper()
	r.syncs++
	token := fmt.Appendf(nil, "sync%08d", r.syncs)
	frames := corpus.Sync(token)
	r.frames += uint64(len(frames))
	for s := range r.sides {
		for _, f := range frames {
			r.sides[s].at[1].Send(f)
		}
	}
	for s := range r.sides {
		for port := 1; port <= 2; port++ {
			if _, ok := r.sides[s].at[port].Wait(10*time.Second,
				func(f []byte) bool { return bytes.Contains(f, token) }); !ok {
				r.t.Fatalf("%s: port %d is silent", r.sides[s].name, port)
			}
		}
	}
}

// attribute finds whose consequence a frame is.
func (r *reference) attribute(out []outcome, s int, x response) {
	if bytes.Contains(x.frame, []byte("sync0")) || spontaneous(x) {
		return
	}
	if n, ok := corpus.Number(x.frame); ok {
		if k := n - out[0].n; k >= 0 && k < len(out) {
			out[k].sent[s] = append(out[k].sent[s], x)
			return
		}
		late := r.late[n]
		late[s] = append(late[s], x)
		r.late[n] = late
		return
	}
	if k := slices.IndexFunc(out, func(o outcome) bool { return corpus.For(x.frame, o.n) }); k >= 0 || len(out) == 1 {
		k = max(k, 0)
		out[k].sent[s] = append(out[k].sent[s], x)
		return
	}
	for k := range out {
		out[k].stray = true
	}
}

// spontaneous tells what a router sends when it likes: requests for neighbours' addresses, and reports of the multicast
// groups that it is in. In a long run, too, that time is up for fragments whose rest never came; TestReassemblyReference is
// about those.
func spontaneous(x response) bool {
	b := x.frame
	if protocol, m := transportOf(b); len(m) > 2 && (protocol == 1 && m[0] == 11 || protocol == 58 && m[0] == 3) && m[1] == 1 {
		return true
	}
	if len(b) < 62 {
		return len(b) >= 42 && b[12] == 8 && b[13] == 6 && b[21] == 1 && bytes.Equal(b[22:28], routerMAC(x.port))
	}
	if b[12] == 8 && b[13] == 6 {
		return b[21] == 1 && bytes.Equal(b[22:28], routerMAC(x.port))
	}
	if b[12] != 0x86 || !bytes.Equal(b[6:12], routerMAC(x.port)) {
		return false
	}
	return b[20] == 58 && b[54] == 135 && b[21] == 255 || b[20] == 0 && b[54] == 58 && b[62] == 143
}

func routerMAC(port int) []byte {
	m := corpus.RouterMAC(port)
	return m[:]
}

// settle takes in what comes long after its cause: errors about packets whose neighbour never answered.
func (r *reference) settle(out []outcome) {
	if len(out) == 0 {
		return
	}
	time.Sleep(r.patience)
	none := []outcome{{n: -1}}
	for s := range r.sides {
		for port := 1; port <= 2; port++ {
			for _, f := range r.sides[s].at[port].Take() {
				if _, ok := corpus.Number(f.Data); ok {
					r.attribute(none, s, response{port, f.Data})
				}
			}
		}
	}
	for i := range out {
		late := r.late[out[i].n]
		for s := range late {
			out[i].sent[s] = append(out[i].sent[s], late[s]...)
		}
	}
	clear(r.late)
}

// normalize takes out what a router may choose: the identification of its own packets, with the IPv4 checksum over it.
func normalize(b []byte) []byte {
	b = bytes.Clone(b)
	switch {
	case len(b) >= 34 && b[12] == 8 && b[13] == 0 && b[26] == 10 && b[27] == 0 && b[29] == 1:
		copy(b[18:20], []byte{0, 0})
		copy(b[24:26], []byte{0, 0})
	case len(b) >= 62 && b[12] == 0x86 && b[20] == 44 && b[37] == 1:
		copy(b[58:62], []byte{0, 0, 0, 0})
	}
	normalizeTimes(b)
	return b
}

// normalizeTimes replaces times of now, in milliseconds since midnight UTC (RFC 791 3.1, RFC 792), in IPv4 options, and
// makes no difference of the checksum over them.
func normalizeTimes(b []byte) {
	if len(b) < 34 || b[12] != 8 || b[13] != 0 || b[14]>>4 != 4 {
		return
	}
	now := time.Now().UTC()
	midnight := now.Truncate(24 * time.Hour)
	found := false
	hide := func(b []byte) {
		for i := 0; i+4 <= len(b); i++ {
			age := now.Sub(midnight) - time.Duration(binary.BigEndian.Uint32(b[i:]))*time.Millisecond
			if age >= -time.Second && age < 30*time.Second {
				copy(b[i:], "time")
				found = true
			}
		}
	}
	header := min(int(b[14]&15)*4+14, len(b))
	if header > 34 {
		hide(b[34:header])
	}
	if b[23] == 1 && len(b) >= header+20 && b[header] == 14 { // timestamp reply
		hide(b[header+8 : header+20])
		b[header+2], b[header+3] = 0, 0
	}
	if b[23] == 1 && len(b) > header+28 && (b[header] == 3 || b[header] == 11 || b[header] == 12) { // a quoted packet
		if inner := b[header+8:]; inner[0]>>4 == 4 && inner[0] > 0x45 {
			hide(inner[20:min(int(inner[0]&15)*4, len(inner))])
			if found {
				inner[10], inner[11], b[header+2], b[header+3] = 0, 0, 0, 0
			}
		}
	}
	if found {
		b[24], b[25] = 0, 0
	}
}

// describe prints an outcome so that it can be read: what was sent, what came, in hex and in layers.
func (o *outcome) describe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", o.probe.Name())
	for _, f := range o.probe.Frames(o.n) {
		fmt.Fprintf(&b, "  sent    %s\n          %s\n", hex(f), corpus.Describe(f))
	}
	for s, name := range []string{"ours", "kernel"} {
		if len(o.sent[s]) == 0 {
			fmt.Fprintf(&b, "  %-7s nothing\n", name)
		}
		for _, x := range o.sent[s] {
			fmt.Fprintf(&b, "  %-7s port %d: %s\n          %s\n", name, x.port, hex(x.frame), corpus.Describe(x.frame))
		}
	}
	return b.String()
}

// hex prints a frame as far as it is not only payload.
func hex(frame []byte) string {
	const most = 180
	if len(frame) <= most {
		return fmt.Sprintf("%x", frame)
	}
	return fmt.Sprintf("%x... %d bytes", frame[:most], len(frame))
}
