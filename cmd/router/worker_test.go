package main

import (
	"strings"
	"testing"
	"time"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// TestWorkerRows: the load is that of the time between, also for a worker of a daemon that began anew meanwhile.
func TestWorkerRows(t *testing.T) {
	const second = uint64(time.Second)
	before := []*v1.Worker{
		{Id: 0, Cpu: 2, Packets: 100, Rounds: 10, Sleeps: 5, BusyNs: second, AgeNs: 10 * second},
		{Id: 1, Cpu: -1, Packets: 900, BusyNs: 9 * second, AgeNs: 10 * second},
	}
	after := []*v1.Worker{
		{
			Id: 0, Cpu: 2, Packets: 500, Rounds: 30, Sleeps: 5, BusyNs: 2 * second, AgeNs: 12 * second,
			Queues: []*v1.WorkerQueue{{Netns: "red", Dev: "eth1"}, {Netns: "blue", Dev: "eth2", Queue: 3}},
		},
		{Id: 1, Cpu: -1, Packets: 50, BusyNs: second / 2, AgeNs: second},
	}
	rows := workerRows(before, after)
	if r := rows[0]; r.Load != 0.5 || r.Packets != 200 || r.Rounds != 10 || r.Sleeps != 0 || r.Total != 500 || *r.CPU != 2 {
		t.Errorf("%+v", r)
	}
	if r := rows[1]; r.Load != 0.5 || r.Packets != 50 || r.CPU != nil {
		t.Errorf("%+v", r)
	}
	want := [][]string{
		{"worker", "cpu", "load", "packets/s", "rounds/s", "sleeps/s", "queues"},
		{"0", "2", "50.0%", "200", "10", "0", "red/eth1:0", "blue/eth2:3"},
		{"1", "-", "50.0%", "50", "0", "0"},
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
`)
}
