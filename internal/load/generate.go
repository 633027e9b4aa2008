package load

//go:generate go tool bpf2go -target bpfel -tags linux load load.c -- -O2 -Wall -Werror -idirafter /usr/include/x86_64-linux-gnu -idirafter /usr/include/aarch64-linux-gnu
