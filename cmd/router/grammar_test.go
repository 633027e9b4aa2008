package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// parse reads a command line without a daemon, and returns the change that it asks for; nil where it is no change.
func parse(words []string) (req *v1.ChangeRequest, err error) {
	c := &cli{objects: objects()}
	if words, err = c.parseOptions(words); err != nil || len(words) < 2 {
		return nil, err
	}
	o := findObject(c.objects, words[0])
	if o == nil {
		return nil, usagef("object %q is unknown", words[0])
	}
	cmd := findCommand(o.commands, words[1])
	if cmd == nil || cmd.change == nil {
		return nil, nil
	}
	a := &args{words: words[2:]}
	req = cmd.change(c, a)
	if err := a.done(); err != nil {
		return nil, err
	}
	req.Netns = c.netns
	return req, nil
}

// TestGrammar compares pairs of command lines that mean the same: a short or unusual one, and the full one.
func TestGrammar(t *testing.T) {
	for short, full := range map[string]string{
		"a a 10.0.0.1/24 dev p1":                      "address add local 10.0.0.1/24 dev p1",
		"addr del 10.0.0.1 dev p1":                    "address delete 10.0.0.1 dev p1",
		"a change 10.0.0.1 dev p1":                    "address replace 10.0.0.1/32 dev p1",
		"a a 2001:db8::1 dev p1 nodad":                "address add 2001:db8::1/128 dev p1 nodad",
		"ad f p1":                                     "address flush dev p1",
		"-4 addr flush p1":                            "-f inet address flush dev p1",
		"r a 10.1/16 via 10.0.0.1":                    "route add to 10.1.0.0/16 via 10.0.0.1",
		"ro r 10.1.0.0/255.255.0.0 dev p1":            "route replace 10.1.0.0/16 oif p1",
		"ro ap 10.0.0.9 dev p1":                       "route append 10.0.0.9/32 dev p1",
		"r c default via 10.0.0.1 metric 5":           "route change 0.0.0.0/0 via 10.0.0.1 priority 5",
		"r chg 0/0 via 10.0.0.1 prio 5":               "route change any via 10.0.0.1 preference 5",
		"r d default via 2001:db8::1 proto bgp":       "-6 route delete ::/0 via inet6 2001:db8::1 protocol 186",
		"-6 r a default dev p1":                       "route add ::/0 dev p1",
		"r a 10.0.0.0/8 dev p1 proto 0x10 scope link": "route add 10.0.0.0/8 dev p1 proto dhcp scope 253",
		"r f root 10/8":                               "route flush root 10.0.0.0/8",
		"r f all":                                     "-4 route flush to all",
		"r a 10/8 nexthop dev p1 via 10.0.0.1 nexthop dev p2 weight 0x10 via 10.0.1.1 onlink": "route add 10.0.0.0/8 " +
			"scope global nexthop via 10.0.0.1 dev p1 nexthop via inet 10.0.1.1 dev p2 onlink weight 16",
		"r a default nexthop via 2001:db8::1 nexthop via 2001:db8::2": "-6 route add ::/0 scope global " +
			"nexthop via inet6 2001:db8::1 nexthop via 2001:db8::2",
		"r a 10/8 nhid 0x10":                                "route add to 10.0.0.0/8 nhid 16",
		"r a 10/8 via inet6 fe80::1 dev p1":                 "route add 10.0.0.0/8 dev p1 via inet6 fe80::1",
		"r a local 10.0.0.1 dev p1 table local":             "route add local 10.0.0.1/32 dev p1",
		"r f ta all sc link":                                "route flush table all scope 253",
		"r f via inet6 fe80::1 src 10.0.0.1":                "route flush src 10.0.0.1 via fe80::1",
		"nex a via 10.0.0.1 dev p1":                         "nexthop add id 0 via inet 10.0.0.1 dev p1",
		"nex r id 7 group 1,5/2,256/3 type mpath":           "nexthop replace group 1,5/2,0x100/3 id 7",
		"nex a id 5 via 2001:db8::1 pr bgp":                 "-6 nexthop add id 5 protocol 186 via inet6 2001:db8::1",
		"nex c id 5 blackhole":                              "nexthop change blackhole id 5",
		"nex d id 5":                                        "nexthop delete id 5",
		"net se red max-routes 0x10":                        "netns set red max-routes 16",
		"n a 10.0.0.1 lladdr 2:0:0:0:0:1 dev p1":            "neigh add 10.0.0.1 lladdr 02:00:00:00:00:01 dev p1 nud permanent",
		"n c 10.0.0.1 dev p1 lladdr 2:0:0:0:0:1":            "neighbour change to 10.0.0.1 dev p1 lladdr 02:00:00:00:00:01",
		"n d 10.0.0.1 dev p1":                               "neighbor delete 10.0.0.1 dev p1",
		"n f p dev p1":                                      "",
		"l a p1 type xdp":                                   "link add name p1 type xdp mode auto",
		"l a p1 mtu 1400 addr 02:00:00:00:00:01 type dummy": "link add address 02:00:00:00:00:01 mtu 1400 dev p1 ty dummy",
		"l a v0 type veth peer v1 netns red":                "link add v0 type veth peer name v1 netns red",
		"l a li p1 p1.5 type vlan prot 802.1AD id 0x5":      "link add name p1.5 link p1 type vlan id 5 protocol 802.1ad",
		"l a p1.5 link p1 type vlan i 5 reorder_hdr on":     "link add link p1 name p1.5 type vlan id 5",
		"l s p1 up mtu 1400":                                "link set dev p1 mtu 1400 up",
		"li c p1 netns red name up0":                        "link set p1 name up0 netns red",
		"l d p1":                                            "link delete dev p1 type xdp",
		"-n red l d p1":                                     "--netns=red link delete p1",
		"net a red":                                         "netns add red",
		"netn d red":                                        "netns delete red",
	} {
		got, err := parse(strings.Fields(short))
		if full == "" {
			if err == nil {
				t.Errorf("%s: taken for %v", short, got)
			}
			continue
		}
		want, wantErr := parse(strings.Fields(full))
		if err != nil || wantErr != nil || want == nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v\n%s: %v, %v", short, got, err, full, want, wantErr)
		}
	}
}

// TestPrecedence: of several objects and commands that a word abbreviates, iproute2's first one is meant.
func TestPrecedence(t *testing.T) {
	c := &cli{objects: objects()}
	for word, name := range map[string]string{
		"a": "address", "r": "route", "ru": "rule", "n": "neighbor", "ne": "neighbor", "net": "netns", "l": "link", "m": "monitor",
		"nei": "neighbor", "nex": "nexthop", "neighbour": "neighbor", "v": "vrf",
	} {
		if o := findObject(c.objects, word); o == nil || o.names[0] != name {
			t.Errorf("object %s: %v, want %s", word, o, name)
		}
	}
	for words, name := range map[string]string{
		"a s": "show", "a a": "add", "a c": "change", "a r": "change", "a l": "show", "a d": "delete", "a f": "flush",
		"r a": "add", "r ap": "append", "r c": "change", "r r": "replace", "r s": "list", "r l": "list", "r g": "get",
		"n r": "replace", "n s": "show", "l s": "set", "l l": "show", "l sh": "show", "net l": "list", "net s": "list",
		"net se": "set", "net e": "exec", "net i": "identify", "net p": "pids",
	} {
		object, command, _ := strings.Cut(words, " ")
		if cmd := findCommand(findObject(c.objects, object).commands, command); cmd == nil || !slices.Contains(cmd.names, name) {
			t.Errorf("%s: %v, want %s", words, cmd, name)
		}
	}
	for word, name := range map[string]string{
		"-s": "stats", "-stat": "stats", "--statistics": "statistics", "-j": "json", "-json": "json", "-p": "pretty", "-b": "batch",
		"-br": "brief", "-n": "netns", "--netns": "netns", "-N": "Numeric", "-d": "details", "-o": "oneline", "-f": "family",
		"-fo": "force", "-4": "4", "-h": "help", "-V": "Version", "--all-netns": "all-netns", "-x": "", "---s": "", "-": "", "--": "",
	} {
		if got := findOption(word); got != name {
			t.Errorf("option %s: %q, want %q", word, got, name)
		}
	}
}

// TestWrongWords: a command line that is wrong ends with status 1, and one line that names the word at fault.
func TestWrongWords(t *testing.T) {
	d := newTestDaemon(t)
	d.must("link add p1 type dummy")
	for line, word := range map[string]string{
		"frobnicate":                           "frobnicate",
		"link frobnicate p1":                   "frobnicate",
		"-frob link":                           "-frob",
		"-json=yes link":                       "-json",
		"-f ipx link":                          "ipx",
		"-n":                                   "-n",
		"link add p2 type":                     "type",
		"link add p2 type gre":                 "gre",
		"link add p2 type xdp mode warp":       "warp",
		"link add p2 type xdp queues 0":        "queues",
		"link add p2 p3 type dummy":            "name",
		"link add name p1.7 type vlan id 7":    "link",
		"link add link p1 name p1.7 type vlan": "id",
		"link add link p1 name p1.7 type vlan id seven":      "seven",
		"link add link p1 name p1.7 type vlan id 7 prot ipx": "ipx",
		"link add link p1 name p1.7 type vlan id 7 gvrp on":  "gvrp",
		"link add link p1 name p1.7 type vlan id 7 up":       "up",
		"link add link p1 name p2 type dummy":                "link",
		"link add much-too-long-a-name type dummy":           "much-too-long-a-name",
		"link set p1 upp":                                    "upp",
		"link set p1 up down":                                "down",
		"link set p1 mtu many":                               "many",
		"link set p1 address 1:2":                            "1:2",
		"link set p1 promisc on":                             "promisc",
		"addr add 10.0.0.256/24 dev p1":                      "10.0.0.256/24",
		"addr add 10.0.0.1/24":                               "dev",
		"addr add default dev p1":                            "default",
		"-6 addr add 10.0.0.1/24 dev p1":                     "10.0.0.1/24",
		"addr add 10.0.0.1/24 dev p1 scope link":             "scope",
		"route add 10.0.0.0/8 via here":                      "here",
		"route add blakhole 10.0.0.0/8":                      "blakhole",
		"route add 10.0.0.0/8 dev p1 metric -1":              "-1",
		"route add 10.0.0.0/8 dev p1 dev p1":                 "dev",
		"route add 10.0.0.0/8 dev p1 table 7":                "7",
		"route add 10.0.0.0/8 dev p1 proto 256":              "256",
		"route add 10.0.0.0/8 nexthop":                       "nexthop",
		"route add 10.0.0.0/8 nexthop dev p1 metric 5":       "metric",
		"route add 10.0.0.0/8 nexthop dev p1 nexthop":        "nexthop",
		"route add 10.0.0.0/8 nexthop dev p1 dev p1":         "dev",
		"route add 10.0.0.0/8 nexthop dev p1 weight 257":     "257",
		"route add 10.0.0.0/8 nexthop dev p1 weight 0":       "weight",
		"route add 10.0.0.0/8 nexthop dev p1 encap mpls 5":   "encap",
		"route add 10.0.0.0/8 via fe80::1 dev p1":            "fe80::1",
		"route add 10.0.0.0/8 nexthop via fe80::1 dev p1":    "fe80::1",
		"route add 2001:db8::/32 via 10.0.0.1":               "10.0.0.1",
		"route add 10.0.0.0/8 nhid 0":                        "nhid",
		"route add 10.0.0.0/8 dev p1 table local":            "local",
		"nexthop add id x":                                   "x",
		"nexthop add id 1 group 1/":                          "group",
		"nexthop add id 1 group 1,":                          "weight",
		"nexthop add id 1 fdb":                               "fdb",
		"nexthop add id 1 bogus":                             "bogus",
		"nexthop del":                                        "id",
		"nexthop del id 0":                                   "id",
		"nexthop get 5":                                      "5",
		"nexthop show bogus":                                 "bogus",
		"nexthop flush dev":                                  "dev",
		"route get 10.0.0.1 ipproto none":                    "none",
		"route get 10.0.0.1 sport 65536":                     "sport",
		"route get 10.0.0.1 mark 5":                          "mark",
		"route get fibmatch":                                 "address",
		"route show table 7":                                 "7",
		"route show nhid":                                    "nhid",
		"netns set init max-routes":                          "max-routes",
		"netns set init max-routes -1":                       "-1",
		"netns set init":                                     "max-routes",
		"route show bogus":                                   "bogus",
		"route show type bogus":                              "bogus",
		"route get":                                          "address",
		"route get 10.0.0.1 10.0.0.2":                        "10.0.0.2",
		"route flush":                                        "route flush",
		"neigh add 10.0.0.9 lladdr 02:00:00:00:00:01":        "device",
		"neigh get 10.0.0.9":                                 "required",
		"neigh add 10.0.0.9 lladdr x dev p1":                 "x",
		"neigh add 10.0.0.9 lladdr 2:0:0:0:0:1 dev p1 nud u": "u",
		"netns add":                                          "add",
		"netns add x host tun":                               "netns or none",
		"netns add x hosts":                                  "host",
		"netns set init 5":                                   "5",
		"netns list all":                                     "all",
		"netns identify me":                                  "me",
		"netns exec init":                                    "command",
		"monitor weather":                                    "weather",
		"-batch /nonexistent/b":                              "/nonexistent/b",
		"run now":                                            "now",
		"run --config x":                                     "--config",
		"run --workers 0":                                    "--workers",
		"run --cpus 3-1":                                     "3-1",
		"run --cpus 1-":                                      "\"1-\"",
		"run --cpus 0,":                                      "such as 1,3-5",
		"run --cpus 1024":                                    "1024",
	} {
		r := d.run(line)
		if r.status != statusUsage || r.out != "" || !strings.HasPrefix(r.err, "Error: ") ||
			strings.Count(r.err, "\n") != 1 || !strings.Contains(r.err, word) {
			t.Errorf("router %s: status %d, %q%q; want 1 and %q", line, r.status, r.out, r.err, word)
		}
	}
	if got := d.must("-br link"); strings.Count(got, "\n") != 2 {
		t.Errorf("a wrong command changed something:\n%s", got)
	}
}

func TestHelp(t *testing.T) {
	d := newTestDaemon(t)
	for _, line := range []string{"help", "-help", "-h"} {
		if r := d.run(line); r.status != 0 || !strings.HasPrefix(r.out, "Usage: router [ OPTIONS ] OBJECT") {
			t.Errorf("router %s: status %d, %q%q", line, r.status, r.out, r.err)
		}
	}
	for _, o := range objects() {
		if o.usage == "" {
			continue
		}
		if r := d.run(o.names[0] + " help"); r.status != 0 || !strings.HasPrefix(r.out, "Usage: router "+o.names[0]) {
			t.Errorf("router %s help: status %d, %q%q", o.names[0], r.status, r.out, r.err)
		}
	}
	if r := d.run(""); r.status != statusUsage || !strings.HasPrefix(r.err, "Usage: ") {
		t.Errorf("router: status %d, %q%q", r.status, r.out, r.err)
	}
	if r := d.run("-V"); r.status != 0 || !strings.HasPrefix(r.out, "router utility, ") {
		t.Errorf("router -V: status %d, %q%q", r.status, r.out, r.err)
	}
}

// FuzzParse: no words make the parser panic; a change that it makes can be sent, and an error is one line.
func FuzzParse(f *testing.F) {
	for line := range strings.Lines(strings.TrimSpace(reference)) {
		f.Add(strings.TrimSpace(line))
	}
	for line := range strings.Lines(strings.TrimSpace(multipath)) {
		f.Add(strings.TrimSpace(line))
	}
	f.Add("-n red link add v0 type veth peer name v1 netns blue")
	f.Add("-6 route flush root 2001:db8::/32 proto bgp via ::1 metric 0x10")
	f.Add("neigh flush to 10/8 nud stale")
	f.Add("link set \xd9 up")
	f.Fuzz(func(t *testing.T, line string) {
		words, err := splitWords(line)
		if err == nil {
			var req *v1.ChangeRequest
			if req, err = parse(words); req != nil {
				if b, err := protojson.Marshal(req); err != nil {
					t.Errorf("%q: %s: %v", words, b, err)
				}
			}
		}
		if err == nil {
			return
		}
		var out strings.Builder
		if status := (&cli{err: &out}).status(err); status != statusUsage || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%q: status %d, %q", words, status, out.String())
		}
	})
}

// FuzzBatchLines: whatever is read as a batch, each line is told by its number, and words that are quoted come back.
func FuzzBatchLines(f *testing.F) {
	f.Add("route add 10.0.0.0/8 \\\n dev p1 # why\n\n\"a b\" 'c'\n")
	f.Add("\\")
	f.Add("'")
	f.Fuzz(func(t *testing.T, text string) {
		var lines commandLines
		last := 0
		for block := range readBlocks(t.Context(), strings.NewReader(text)) {
			for number, command := range lines.cut(block.text) {
				if number <= last || number > strings.Count(text, "\n")+1 {
					t.Errorf("%q: line %d after %d", text, number, last)
				}
				last = number
				words, _ := splitWords(command)
				for _, w := range words {
					if !strings.Contains(w, `"`) {
						if again, err := splitWords(`"` + w + `"`); err != nil || len(again) != 1 || again[0] != w {
							t.Errorf("%q: %q, %v", w, again, err)
						}
					}
				}
			}
		}
	})
}

// TestBatchEnds: a reader of a batch that is stopped does not go on.
func TestBatchEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	lines := readBlocks(ctx, in)
	go func() {
		for {
			if _, err := fmt.Fprintln(out, "netns list"); err != nil {
				return
			}
		}
	}()
	<-lines
	cancel()
	for range lines { // what was read ahead, and then the end
	}
	out.Close()
}
