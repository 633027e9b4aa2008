package afxdp

// The include directories are for <asm/types.h>, which Debian keeps apart for each architecture.
//
//go:generate go tool bpf2go -tags linux -cflags "-O2 -Wall -Werror -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu" xdp xdp.c
