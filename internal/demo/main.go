// Command demo shows the router at work: it makes a lab of Linux hosts, starts the real daemon, gives two tenants the
// same addresses through the real command line, proves that each reaches its own far host and nobody else's, and
// measures a short full-rate load.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"nsrouter/internal/lab"
)

// labName is that of the lab that -keep leaves.
const labName = "nsrdemo"

func main() {
	keep := flag.Bool("keep", false, "leave the lab up, and say how to use it")
	remove := flag.Bool("remove", false, "remove the lab that -keep has left")
	flag.Parse()
	if *remove {
		if lab.Remove(labName) {
			fmt.Println("The demo's lab is removed.")
		} else {
			fmt.Println("There is no lab of the demo.")
		}
		return
	}
	if err := lab.Main(func(t lab.T) { run(t, *keep) }); err != nil {
		fmt.Printf("\nVERDICT: FAILED: %v\n", err)
		os.Exit(1)
	}
}

func run(t lab.T, keep bool) {
	d := demo{t: t}
	if keep {
		if lab.Remove(labName) {
			fmt.Println("The lab that an earlier run has left is removed first.")
		}
		d.lab = lab.NewKept(t, labName)
	} else {
		d.lab = lab.New(t)
	}
	d.title("Two tenants, red and blue, with the same addresses on one router")
	fmt.Print(`
    red-near  10.0.1.2 --- red1  [ namespace red  ] red2  --- 10.0.2.2 red-far
    blue-near 10.0.1.2 --- blue1 [ namespace blue ] blue2 --- 10.0.2.2 blue-far

Each host is a Linux network namespace of its own, each line a veth pair. The router takes its ends with AF_XDP.
`)
	d.start()
	red, blue := d.tenant("red"), d.tenant("blue")
	d.title("Each tenant reaches its own far host")
	d.reaches(red)
	d.reaches(blue)
	d.title("No tenant reaches the other")
	d.isolated(red, blue)
	d.title("A short load at full rate, 64-byte UDP, through red")
	d.load(red)
	if t.Failed() {
		return
	}
	if keep {
		d.explain()
	} else {
		d.router.Stop()
	}
	fmt.Println(
		"\nVERDICT: PASSED: both tenants are served, neither sees the other, and every packet is accounted for.",
	)
}

// demo is one run.
type demo struct {
	t      lab.T
	lab    *lab.Lab
	router *lab.Router
}

func (d *demo) title(s string) { fmt.Printf("\n== %s\n", s) }

func (d *demo) start() {
	d.title("The daemon")
	fmt.Println("$ router run --workers 1        (with a socket, a state directory and names of its own)")
	d.router = d.lab.Router(lab.RouterOptions{Args: []string{"--workers", "1"}})
	fmt.Println("it is ready")
}

// router runs commands through the real command line and shows each with what it prints.
func (d *demo) run(commands ...string) string {
	var out strings.Builder
	for _, c := range commands {
		fmt.Printf("$ router %s\n", c)
		printed := d.router.Must(c)
		fmt.Print(indent(printed))
		out.WriteString(printed)
	}
	return out.String()
}

func indent(s string) string {
	if s == "" {
		return ""
	}
	return "    " + strings.ReplaceAll(strings.TrimRight(s, "\n"), "\n", "\n    ") + "\n"
}

func (d *demo) check(ok bool, what string) {
	if !ok {
		d.t.Fatalf("%s", what)
	}
	fmt.Println("ok: " + what)
}

// explain says how to use a lab that stays.
func (d *demo) explain() {
	r := d.router
	fmt.Printf(`
== The lab stays up. To play with it:
    export ROUTER_SOCKET=%s PATH="$PATH:%s"
    router -n red -s link show                      # the router's view of tenant red
    router -n red route add blackhole 10.0.2.2      # and "route del" to take it back
    router monitor --all-netns                      # events, as they happen
    ip netns exec %s ping 10.0.2.2     # be red's near host
    ip netns exec %s ping 10.0.2.2    # be blue's: the same address, another host
Log of the daemon: %s/router-*.log
To remove it all: make demo-remove
`, r.Socket, strings.TrimSuffix(r.Binary, "/router"), d.lab.Prefix+"red-near", d.lab.Prefix+"blue-near", d.lab.Dir)
}
