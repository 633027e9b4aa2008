//go:build !dpdk

package main

const dpdkNote = "left out (apt-get install libdpdk-dev pkg-config gcc, then build with -tags dpdk: make bench-fib does)"

func dpdkContenders() []*contender { return nil }

func startDPDK(int) (stop func(), note string, err error) { return func() {}, dpdkNote, nil }
