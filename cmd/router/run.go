package main

import (
	"errors"

	"github.com/spf13/cobra"
)

// runOptions are the daemon's.
type runOptions struct {
	socket, state, config, cpus, netnsPrefix string
	workers, frames                          int
}

// newRunCommand is "router run".
func newRunCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon in the foreground",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.socket, _ = cmd.Flags().GetString("socket")
			return errors.New("the daemon is not built yet")
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.state, "state", "/var/lib/router", "directory of the durable state, or \"none\"")
	f.StringVar(&o.config, "config", "", "configuration file (there is no format for it yet)")
	f.IntVar(&o.workers, "workers", 0, "number of worker threads")
	f.StringVar(&o.cpus, "cpus", "", "CPUs to pin workers to, such as 1,3-5")
	f.StringVar(&o.netnsPrefix, "netns-prefix", "", "goes before the names in /run/netns")
	f.IntVar(&o.frames, "frames", 0, "number of packet frames; 0 chooses")
	cmd.MarkFlagsMutuallyExclusive("workers", "cpus")
	return cmd
}
