package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// TestWorkerRows: the load is that of the time between, also for a worker of a daemon that began anew meanwhile.
func TestWorkerRows(t *testing.T) {
	const second = uint64(time.Second)
	before := []*v1.Worker{
		{Id: 0, Cpu: 2, Packets: 100, Rounds: 10, Sleeps: 5, BusyNs: second, AgeNs: 10 * second, Slow: []uint64{3, 1, 2}},
		{Id: 1, Cpu: -1, Packets: 900, BusyNs: 9 * second, AgeNs: 10 * second},
	}
	after := []*v1.Worker{
		{
			Id: 0, Cpu: 2, Packets: 500, Rounds: 30, Sleeps: 5, BusyNs: 2 * second, AgeNs: 12 * second,
			Queues: []*v1.WorkerQueue{{Netns: "red", Dev: "eth1"}, {Netns: "blue", Dev: "eth2", Queue: 3}},
			Poll:   "busy", Slow: []uint64{4, 2, 2},
		},
		{Id: 1, Cpu: -1, Packets: 50, BusyNs: second / 2, AgeNs: second, Poll: "adaptive", Slow: []uint64{0, 0, 0}},
	}
	rows := workerRows(before, after)
	if r := rows[0]; r.Load != 0.5 || r.Packets != 200 || r.Rounds != 10 || r.Sleeps != 0 || r.Total != 500 || *r.CPU != 2 ||
		r.Longest != 256 {
		t.Errorf("%+v", r)
	}
	if r := rows[1]; r.Load != 0.5 || r.Packets != 50 || r.CPU != nil || r.Longest != 64 {
		t.Errorf("%+v", r)
	}
	want := [][]string{
		{"worker", "cpu", "poll", "load", "packets/s", "rounds/s", "sleeps/s", "longest", "queues"},
		{"0", "2", "busy", "50.0%", "200", "10", "0", "256µs", "red/eth1:0", "blue/eth2:3"},
		{"1", "-", "adaptive", "50.0%", "50", "0", "0", "64µs"},
	}
	for i, line := range strings.Split(strings.TrimSuffix(workerText(rows), "\n"), "\n") {
		if got := strings.Fields(line); strings.Join(got, " ") != strings.Join(want[i], " ") {
			t.Errorf("line %d: %q", i, got)
		}
	}
}

// TestWorkerCommand: the words that the command takes.
func TestWorkerCommand(t *testing.T) {
	d := newTestDaemon(t)
	script(t, d, `
$ -j worker show 0.1
[]
$ worker 0.01
! Error: argument "0.01" is wrong: "worker show" takes seconds from 0.1 to 86400
? 1
$ worker show 0.1 fast
! Error: ...
? 1
$ worker set
! Error: command line is not complete: "worker set" needs a value
? 1
$ worker set one queue red/eth1:0
! Error: argument "one" is wrong: "worker set" takes a number
? 1
$ worker set 1 queue
! Error: command line is not complete: "queue" needs NAMESPACE/DEVICE:QUEUE
? 1
$ worker set 1 queue eth1:0
! Error: argument "eth1:0" is wrong: "queue" takes NAMESPACE/DEVICE:QUEUE, such as init/eth1:0
? 1
$ worker set 1 queue red/eth1
! Error: argument "red/eth1" is wrong: "queue" takes NAMESPACE/DEVICE:QUEUE, such as init/eth1:0
? 1
$ worker set 1 queue red/eth1:-1
! Error: argument "-1" is wrong: "queue" takes a number that is not negative
? 1
$ worker set 1 que red/eth1:0
! Error: "que" is a garbage: poll MODE or queue NAMESPACE/DEVICE:QUEUE is expected
? 1
$ worker set 1 poll
! Error: command line is not complete: "poll" needs a value
? 1
$ worker set 1 poll busy poll adaptive
! Error: duplicate "poll": give it once
? 1
$ worker set 1 queue red/eth1.5:3 poll busy queue blue/eth2:0
`)
	want := &v1.SetWorkerRequest{Worker: 1, Poll: "busy", Queues: []*v1.WorkerQueue{
		{Netns: "red", Dev: "eth1.5", Queue: 3}, {Netns: "blue", Dev: "eth2"},
	}}
	if !proto.Equal(d.workerSet, want) {
		t.Errorf("asked: %v", d.workerSet)
	}
}
