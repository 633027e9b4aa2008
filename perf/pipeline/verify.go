package main

import (
	"bytes"
	"fmt"
	"time"

	"nsrouter/dataplane/header"
)

const (
	// sampleSize is how many forwarded packets are looked at before a scenario is measured.
	sampleSize = 4096
	sampleWait = 10 * time.Second
)

// verify has the scenario forward some packets and checks what comes out: whoever measures something else than forwarding is not
// measured.
func (o *ours) verify() error {
	o.hold(false)
	defer o.hold(true)
	for _, w := range o.ways {
		sent := w.loop.Sample(sampleSize, sampleWait)
		if sent == nil {
			return fmt.Errorf("nothing is forwarded: fewer than %d packets in %v", sampleSize, sampleWait)
		}
		if err := w.check(sent, o.scenario.hops); err != nil {
			return err
		}
	}
	return nil
}

// check compares packets that have gone out with those that came in: link-layer addresses are those of port and neighbour, the TTL is
// less by some hops, an IPv4 checksum is right, and nothing else has changed, tags included.
func (w *way) check(sent [][]byte, hops int) error {
	came := make(map[string][]byte, len(w.packets))
	for _, p := range w.packets {
		came[string(destination(p))] = p
	}
	for n, got := range sent {
		came := came[string(destination(got))]
		if came == nil {
			return fmt.Errorf("packet %d never came in: % x", n, got)
		}
		want := bytes.Clone(came)
		l3 := network(want)
		setHops(want[l3:], startTTL-hops)
		from := portMAC(w.out)
		copy(want[6:], from[:])
		if !neighborOf(w.out, got) {
			return fmt.Errorf("packet %d: goes to % x, no neighbour of port %d", n, got[:6], w.out)
		}
		copy(want, got[:6])
		if !bytes.Equal(got, want) {
			return fmt.Errorf("packet %d: came in as\n% x, went out as\n% x, which should be\n% x", n, came, got, want)
		}
	}
	return nil
}

// network is where a frame's IP header begins.
func network(p []byte) int {
	at := header.EthernetLen
	for header.IsVLAN(uint16(p[at-2])<<8 | uint16(p[at-1])) {
		at += header.VLANTagLen
	}
	return at
}

// destination is the IP destination of a frame.
func destination(p []byte) []byte {
	ip := p[network(p):]
	if ip[0]>>4 == 6 {
		return ip[24:40]
	}
	return ip[16:20]
}

// setHops writes TTL and checksum, or the hop limit, from scratch.
func setHops(ip []byte, n int) {
	if ip[0]>>4 == 6 {
		ip[7] = byte(n)
		return
	}
	ip[8] = byte(n)
	header.IPv4(ip).SetChecksum()
}

func neighborOf(port int, frame []byte) bool {
	for n := range nextHops {
		if mac := hostMAC(port, 1+n); bytes.Equal(frame[:6], mac[:]) {
			return true
		}
	}
	return false
}
