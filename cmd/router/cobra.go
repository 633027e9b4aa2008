package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"nsrouter/ctl/client"
)

// isCobra tells the first words that are cobra's commands. They are not abbreviated: "router r" is "router route".
func isCobra(word string) bool {
	return slices.Contains([]string{"run", "completion", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, word)
}

func executeCobra(ctx context.Context, words []string, out, errOut io.Writer) error {
	root := newRootCommand()
	root.SetArgs(words)
	root.SetOut(out)
	root.SetErr(errOut)
	return root.ExecuteContext(ctx)
}

// newRootCommand knows the objects too, so that shells can complete them, although [cli.dispatch] runs them.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "router",
		Short:         "A packet router with namespaces, over AF_XDP",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noArgs,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usagef("%v", err) })
	root.PersistentFlags().String("socket", client.SocketFromEnv(), "the daemon's unix socket")
	root.AddCommand(newRunCommand())
	for _, o := range objects() {
		if o.usage == "" {
			continue
		}
		object := &cobra.Command{Use: o.names[0], DisableFlagParsing: true, Run: func(*cobra.Command, []string) {}}
		for _, c := range o.commands {
			object.ValidArgs = append(object.ValidArgs, c.names[0])
		}
		root.AddCommand(object)
	}
	return root
}

func noArgs(cmd *cobra.Command, words []string) error {
	if len(words) > 0 {
		return usagef("%q is a garbage: \"router %s\" takes flags only", words[0], cmd.Name())
	}
	return nil
}

func printVersion(w io.Writer) {
	version := "(devel)"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		version = info.Main.Version
	}
	fmt.Fprintf(w, "router utility, nsrouter %s\n", version)
}
