//go:build !dpdk

package main

func dpdkContenders() []*contender { return nil }

func startDPDK(int) (stop func(), note string, err error) {
	return func() {}, "left out (with libdpdk-dev, pkg-config and gcc installed, make bench-fib has it)", nil
}
