package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nsrouter/afxdp"
	"nsrouter/ctl/daemon"
)

// newRunCommand is "router run".
func newRunCommand() *cobra.Command {
	var o daemon.Options
	var config, cpus, poll string
	tableMemory, fastTables := 0, 0
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if config != "" {
				return usagef("--config %s: there is no configuration file format yet; use the control socket", config)
			}
			if cmd.Flags().Changed("workers") && cmd.Flags().Changed("cpus") {
				return usagef("--workers and --cpus exclude each other: the CPUs of the list have a worker each")
			}
			if cmd.Flags().Changed("workers") && o.Workers < 1 {
				return usagef("--workers %d: at least 1", o.Workers)
			}
			if o.Frames < afxdp.FillTarget {
				return usagef("--frames %d: at least %d, what one queue needs", o.Frames, afxdp.FillTarget)
			}
			if tableMemory < 0 {
				return usagef("--table-memory %d: a number of MiB, or 0 for no limit", tableMemory)
			}
			if fastTables < 0 {
				return usagef("--fast-tables %d: a number of MiB, or 0 for none", fastTables)
			}
			o.TableMemory, o.FastTables = tableMemory<<20, fastTables<<20
			if strings.Contains(o.NetnsPrefix, "/") {
				return usagef("--netns-prefix %s: no '/' in the name of a Linux network namespace", o.NetnsPrefix)
			}
			if o.CPUs, err = parseCPUs(cpus); err != nil {
				return err
			}
			if o.Poll, err = daemon.ParsePoll(poll); err != nil {
				return usagef("--poll: %v", err)
			}
			o.Socket, _ = cmd.Flags().GetString("socket")
			logs := logConfig()
			o.Log = buildLogger(&logs)
			audit, stop := auditLogger(&logs, os.Stderr)
			defer stop()
			o.Audit = audit
			return daemon.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.State, "state", "/var/lib/router", "directory of the durable state, or \"none\"")
	f.StringVar(&config, "config", "", "configuration file (there is no format for it yet)")
	f.IntVar(&o.Workers, "workers", 1, "number of worker threads, each pinned to a CPU")
	f.StringVar(&cpus, "cpus", "", "CPUs to pin a worker to each, such as 1,3-5")
	f.StringVar(&poll, "poll", "adaptive",
		"what workers do without packets: adaptive, busy or interrupt; of single ones: 0=busy (router worker help)")
	f.BoolVar(&o.ManageIRQ, "manage-irq", false,
		"have the kernel receive for a queue on a CPU beside its worker's: interrupts, and NAPI in threads")
	f.StringVar(&o.NetnsPrefix, "netns-prefix", "", "goes before the names in /run/netns")
	f.StringVar(&o.ProcFS, "procfs", "", "directory to show the namespaces in as /proc/net does; empty: nowhere")
	f.IntVar(&fastTables, "fast-tables", 256,
		"MiB that IPv4 tables of more than 250,000 routes share to become faster, 64 each")
	f.IntVar(&tableMemory, "table-memory", 0, "MiB that the forwarding table of each namespace may take; 0: no limit")
	f.IntVar(&o.Frames, "frames", daemon.DefaultFrames, "number of packet frames, 2 KiB each")
	return cmd
}

// maxCPU bounds a CPU number: a mask of the kernel's has room for that many.
const maxCPU = 1023

// parseCPUs reads a list such as "1,3-5".
func parseCPUs(list string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(list, ",") {
		if list == "" {
			break
		}
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a < 0 || b < a || b > maxCPU {
			return nil, usagef("--cpus %s: %q is no CPU or range of CPUs, such as 1,3-5", list, part)
		}
		for c := a; c <= b; c++ {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}
