package poptrie

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gaissmai/bart"
	"golang.org/x/sys/unix"
)

// streamLen is the number of addresses of a stream, a power of two: more than a cache holds results for.
const streamLen = 1 << 20

// stream draws the addresses of a benchmark: uniform over the family's address space (IPv6: 2000::/3), under random prefixes of the
// table, or of 262,144 such destinations with Zipf's frequencies.
func stream(kind string, f Family, routes []route) []Addr {
	rnd := rand.New(rand.NewPCG(42, 1))
	if kind == "under" {
		return under(routes, rnd, streamLen)
	}
	keys := make([]Addr, streamLen)
	if kind == "zipf" {
		dst := under(routes, rnd, 1<<18)
		z := rand.NewZipf(rnd, 1.1, 1, uint64(len(dst)-1))
		for i := range keys {
			keys[i] = dst[z.Uint64()]
		}
		return keys
	}
	for i := range keys {
		keys[i] = Addr{rnd.Uint64()>>3 | 1<<61, rnd.Uint64()}
		if f == IPv4 {
			keys[i] = Addr{Hi: rnd.Uint64() &^ (1<<32 - 1)}
		}
	}
	return keys
}

// sample takes n routes at random.
func sample(routes []route, n int) []route {
	if n >= len(routes) {
		return routes
	}
	rnd := rand.New(rand.NewPCG(3, uint64(n)))
	out := make([]route, 0, n)
	for _, i := range rnd.Perm(len(routes))[:n] {
		out = append(out, routes[i])
	}
	return out
}

// contender looks up 256 addresses from position i of a stream on.
type contender struct {
	name string
	look func(i int)
}

const benchBatch = 256

type looker interface {
	Insert(netip.Prefix, ID)
	Lookup(netip.Addr) (ID, bool)
}

func contenders(b *testing.B, f Family, routes []route, keys []Addr) []contender {
	ids := make([]ID, benchBatch)
	dst, addrs := make([]uint32, len(keys)), make([]netip.Addr, len(keys))
	for i, k := range keys {
		dst[i], addrs[i] = uint32(k.Hi>>32), addrOf(f, k)
	}
	var list []contender
	for _, budget := range []*Budget{nil, NewBudget(2 * fastCost)} {
		for _, kernel := range kernels() {
			tbl := loaded(b, f, routes, Options{Fast: budget, Kernel: kernel})
			if budget != nil && !tbl.form.fast {
				continue
			}
			look := func(i int) { tbl.Lookup6(keys[i:i+benchBatch], ids) }
			if f == IPv4 {
				look = func(i int) { tbl.Lookup4(dst[i:i+benchBatch], ids) }
			}
			list = append(list, contender{fmt.Sprintf("%s-%d", kernel, tbl.Memory().RootBits), look})
		}
	}
	for _, o := range []struct {
		name string
		l    looker
	}{{"bart.Fast", new(bart.Fast[ID])}, {"bart.Table", new(bart.Table[ID])}} {
		for _, r := range routes {
			o.l.Insert(r.prefix, r.id)
		}
		list = append(list, contender{o.name, nil})
		// A direct call for each type: through the interface it would not be a fair race.
		switch l := o.l.(type) {
		case *bart.Fast[ID]:
			list[len(list)-1].look = func(i int) {
				for j, a := range addrs[i : i+benchBatch] {
					ids[j], _ = l.Lookup(a)
				}
			}
		case *bart.Table[ID]:
			list[len(list)-1].look = func(i int) {
				for j, a := range addrs[i : i+benchBatch] {
					ids[j], _ = l.Lookup(a)
				}
			}
		}
	}
	hugeHeap(b)
	return list
}

// hugeHeap puts Go's heap on huge pages, as the tables' mappings are: the race is to be fair.
func hugeHeap(b *testing.B) {
	runtime.GC()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var first, end uintptr
		if _, err := fmt.Sscanf(line, "%x-%x rw-p 00000000 00:00 0", &first, &end); err != nil {
			continue
		}
		first = (first + hugePage - 1) &^ (hugePage - 1)
		const madvCollapse = 25 // MADV_COLLAPSE, Linux 6.1
		for at := first; at+hugePage <= end; at += hugePage {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, at, hugePage, unix.MADV_HUGEPAGE)
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, at, hugePage, madvCollapse)
		}
	}
}

// median of what is measured in interleaved rounds, so that a machine whose speed wanders is fair to all.
func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// BenchmarkLookup runs rounds (b.N: use -benchtime 15x) of look-ups in batches of 256, the contenders in turn. It reports the median
// of nanoseconds per look-up of each, and that of the ratios to bart.Fast in each round.
func BenchmarkLookup(b *testing.B) {
	for _, f := range []Family{IPv4, IPv6} {
		for _, n := range []int{10, 1000, 100_000, 1_000_000} {
			routes := sample(realTable(f), n)
			for _, kind := range []string{"uniform", "under", "zipf"} {
				b.Run(fmt.Sprintf("%v/%d/%s", f, n, kind), func(b *testing.B) {
					race(b, contenders(b, f, routes, stream(kind, f, routes)))
				})
			}
		}
	}
}

func race(b *testing.B, list []contender) {
	const part = streamLen / 4
	times := make([][]float64, len(list))
	for round := range b.N {
		for c := range list {
			first := round % 4 * part
			pass := func() time.Duration {
				start := time.Now()
				for i := first; i < first+part; i += benchBatch {
					list[c].look(i)
				}
				return time.Since(start)
			}
			pass() // the caches are the contender's own
			times[c] = append(times[c], float64(pass().Nanoseconds())/part)
		}
	}
	b.ReportMetric(0, "ns/op")
	fast := slices.IndexFunc(list, func(c contender) bool { return c.name == "bart.Fast" })
	for c := range list {
		if c != fast && fast >= 0 {
			ratios := make([]float64, b.N)
			for round := range ratios {
				ratios[round] = times[fast][round] / times[c][round]
			}
			b.ReportMetric(median(ratios), "x/"+list[c].name)
		}
	}
	for c := range list {
		b.ReportMetric(median(times[c]), "ns/"+list[c].name)
	}
}

// BenchmarkLoad builds full tables from sorted prefixes.
func BenchmarkLoad(b *testing.B) {
	for _, f := range []Family{IPv4, IPv6} {
		routes := realTable(f)
		b.Run(f.String(), func(b *testing.B) {
			tbl := newTable(b, f, Options{})
			for b.Loop() {
				if err := tbl.Load(seq(routes)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(routes))/b.Elapsed().Seconds()/1e6, "Mroutes/s")
		})
		b.Run(f.String()+"-bart.Fast", func(b *testing.B) {
			for b.Loop() {
				tbl := new(bart.Fast[ID])
				for _, r := range routes {
					tbl.Insert(r.prefix, r.id)
				}
			}
			b.ReportMetric(float64(b.N)*float64(len(routes))/b.Elapsed().Seconds()/1e6, "Mroutes/s")
		})
	}
}

// BenchmarkChurn changes a full table, with a reader on another CPU: two new ids, a withdrawal, and a return in turn. With b.N of
// 10 million (-benchtime 10000000x), x-bytes tells how the memory fragments.
func BenchmarkChurn(b *testing.B) {
	for _, f := range []Family{IPv4, IPv6} {
		routes := realTable(f)
		keys := stream("under", f, routes)
		dst := make([]uint32, len(keys))
		for i, k := range keys {
			dst[i] = uint32(k.Hi >> 32)
		}
		b.Run(f.String(), func(b *testing.B) {
			e := new(Epochs)
			tbl := loaded(b, f, routes, Options{Grace: e})
			before := tbl.Memory()
			r, ids := e.Join(), make([]ID, benchBatch)
			stop := reading(func(i int) {
				r.Quiesce()
				if f == IPv4 {
					tbl.Lookup4(dst[i:i+benchBatch], ids)
				} else {
					tbl.Lookup6(keys[i:i+benchBatch], ids)
				}
			})
			churn(b, routes, func(p netip.Prefix, id ID) { _ = tbl.Insert(p, id) },
				func(p netip.Prefix) { _, _ = tbl.Delete(p) })
			stop(b)
			e.Leave(r)
			after := tbl.Memory()
			b.ReportMetric(float64(after.Lookup)/float64(before.Lookup), "x-bytes")
			b.ReportMetric(float64(after.Held)/(1<<20), "MiB-held")
		})
		b.Run(f.String()+"-bart.Table", func(b *testing.B) {
			first := new(bart.Table[ID])
			for _, r := range routes {
				first.Insert(r.prefix, r.id)
			}
			var tbl atomic.Pointer[bart.Table[ID]]
			tbl.Store(first)
			ids, addrs := make([]ID, benchBatch), make([]netip.Addr, len(keys))
			for i, k := range keys {
				addrs[i] = addrOf(f, k)
			}
			stop := reading(func(i int) {
				t := tbl.Load()
				for j, a := range addrs[i : i+benchBatch] {
					ids[j], _ = t.Lookup(a)
				}
			})
			churn(b, routes, func(p netip.Prefix, id ID) { tbl.Store(tbl.Load().InsertPersist(p, id)) },
				func(p netip.Prefix) { tbl.Store(tbl.Load().DeletePersist(p)) })
			stop(b)
		})
	}
}

// reading calls look over and over in a goroutine, until the function that it returns reports how often.
func reading(look func(i int)) (stop func(*testing.B)) {
	var done atomic.Bool
	rate := make(chan float64)
	go func() {
		start, n := time.Now(), 0
		for i := 0; !done.Load(); i = (i + benchBatch) & (streamLen - 1) {
			look(i)
			n += benchBatch
		}
		rate <- float64(n) / time.Since(start).Seconds()
	}()
	return func(b *testing.B) {
		done.Store(true)
		b.ReportMetric(<-rate/1e6, "Mlookups/s")
	}
}

// churn makes b.N changes and reports their latencies.
func churn(b *testing.B, routes []route, insert func(netip.Prefix, ID), remove func(netip.Prefix)) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var out []route
	times := make([]float64, 0, b.N)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := threadTime(b)
	b.ResetTimer()
	for i := range b.N {
		r := routes[rnd.IntN(len(routes))]
		start := time.Now()
		switch i & 3 {
		case 2:
			remove(r.prefix)
			out = append(out, r)
		case 3:
			insert(out[len(out)-1].prefix, r.id)
			out = out[:len(out)-1]
		default:
			insert(r.prefix, r.id)
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/1e3)
	}
	b.StopTimer()
	cpu = threadTime(b) - cpu
	slices.Sort(times)
	b.ReportMetric(times[len(times)/2], "us-p50")
	b.ReportMetric(times[len(times)*999/1000], "us-p99.9")
	b.ReportMetric(times[len(times)-1], "us-max")
	b.ReportMetric(float64(b.N)/cpu.Seconds()/1e3, "kchanges/cpu-s")
}

// threadTime is the CPU time of this thread, which other users of the machine do not disturb.
func threadTime(b *testing.B) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// BenchmarkShortPrefix changes prefixes that cover many entries of the root of a full table.
func BenchmarkShortPrefix(b *testing.B) {
	for _, p := range []string{"0.0.0.0/0", "128.0.0.0/1", "64.0.0.0/4", "77.0.0.0/8", "77.64.0.0/12", "77.77.77.0/24"} {
		b.Run(p, func(b *testing.B) {
			tbl := loaded(b, IPv4, realTable(IPv4), Options{Grace: new(Epochs)})
			prefix, id := netip.MustParsePrefix(p), ID(0)
			for b.Loop() {
				id = id%1000 + 1
				if err := tbl.Insert(prefix, id); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBatchLength compares the kernels by the length of the batch, for the choice of vectorMin4 and vectorMin6.
func BenchmarkBatchLength(b *testing.B) {
	for _, f := range []Family{IPv4, IPv6} {
		for _, n := range []int{10, 1_000_000} {
			routes := sample(realTable(f), n)
			tbl, keys := loaded(b, f, routes, Options{}), stream("under", f, routes)
			dst, ids := make([]uint32, len(keys)), make([]ID, benchBatch)
			for i, k := range keys {
				dst[i] = uint32(k.Hi >> 32)
			}
			for _, length := range []int{4, 8, 16, 24, 32, 48, 64, 128, 256} {
				b.Run(fmt.Sprintf("%v/%d/%d", f, n, length), func(b *testing.B) {
					var list []contender
					for _, kernel := range kernels() {
						s := tbl.current.Load()
						look := func(i int) {
							for j := i; j+length <= i+benchBatch; j += length {
								if f == IPv4 {
									look4(s, kernel, dst[j:j+length], ids)
								} else {
									look6(s, kernel, keys[j:j+length], ids)
								}
							}
						}
						list = append(list, contender{string(kernel), look})
					}
					race(b, list)
				})
			}
		}
	}
}
