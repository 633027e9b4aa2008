package main

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"nsrouter/perf/results"
)

// smallSite has tables of 2,000 prefixes in place of the real ones.
func smallSite() *site {
	s := &site{frames: 128, namespaces: 64}
	for i := range 2000 {
		var b [16]byte
		binary.BigEndian.PutUint16(b[:], uint16(0x2400))
		binary.BigEndian.PutUint16(b[2:], uint16(i))
		s.v6 = append(s.v6, netip.PrefixFrom(netip.AddrFrom16(b), 32))
		s.v4 = append(s.v4, netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 0}), 24))
	}
	return s
}

// TestScenariosForward builds every scenario and checks what it forwards; and that it loses no frame and drops nothing.
func TestScenariosForward(t *testing.T) {
	s := smallSite()
	for _, sc := range scenarios() {
		t.Run(sc.name+"/"+sc.contender, func(t *testing.T) {
			o, err := s.build(sc, -1, -1)
			if err != nil {
				t.Fatal(err)
			}
			if err := o.verify(); err != nil {
				t.Error(err)
			}
			o.hold(true)
			for i, w := range o.ways {
				for range 4 { // packets that cross are in the pipeline for some rounds
					o.plane.Quiesce()
				}
				if n := w.loop.Circulating(); n != s.frames {
					t.Errorf("way %d: %d frames of %d can be received again", i, n, s.frames)
				}
			}
			if want := len(o.cpus); (sc.contender == results.Router2) != (want == 2) || served(o) != want {
				t.Errorf("%d workers, of which %d serve ports", want, served(o))
			}
			if err := o.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// served is how many workers have ports.
func served(o *ours) int {
	workers := map[int]bool{}
	for _, w := range o.ports.owners {
		workers[w] = true
	}
	return len(workers)
}

// TestCheckFinds checks that whatever a router may do wrongly is found.
func TestCheckFinds(t *testing.T) {
	for _, dst := range []string{"20.0.0.1", "2400::1"} {
		to := netip.MustParseAddr(dst)
		p := pair{0, 1}
		came := p.flow(to.Is6()).packet(to, 0)
		w := &way{packets: [][]byte{came}, out: 1}
		good := func() []byte {
			b := bytes.Clone(came)
			dst, src := hostMAC(1, 3), portMAC(1)
			copy(b, dst[:])
			copy(b[6:], src[:])
			setHops(b[14:], startTTL-1)
			return b
		}
		if err := w.check([][]byte{good()}, 1); err != nil {
			t.Fatal(err)
		}
		for at := range came {
			b := good()
			b[at] ^= 0x80
			if w.check([][]byte{good(), b}, 1) == nil {
				t.Errorf("%s: a wrong byte %d is not found", dst, at)
			}
		}
		if w.check([][]byte{good()}, 2) == nil {
			t.Errorf("%s: a hop too few is not found", dst)
		}
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]options{
		"scenario": {cpu: 1, frames: 256, only: "foo"},
		"frames":   {cpu: 1, frames: 63},
		"one CPU":  {frames: 256},
		"rounds":   {cpu: 1, frames: 256, rounds: -1},
		"file":     {cpu: 1, frames: 256, jsonFile: "/nowhere/x"},
	} {
		if err := o.check(); err == nil {
			t.Errorf("%s: is taken", name)
		}
	}
	o := options{cpu: 1, frames: 256, quick: true}
	if err := o.check(); err != nil || o.rounds != 3 || !o.wants(results.IP4One) || o.wants(results.IP4Veth) {
		t.Errorf("%+v, %v", o, err)
	}
}
