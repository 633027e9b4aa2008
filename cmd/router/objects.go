package main

import (
	"context"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable/setting"
)

// object is what the first word of a command line names, command the second. Both are found by the first entry that the
// word abbreviates, as in iproute2: the order of the tables is the precedence.
type object struct {
	names    []string
	usage    string
	settings func(word string) string // help on those that word is about
	commands []command
	// bare takes all words where the object has no commands.
	bare func(c *cli, ctx context.Context, a *args) error
}

type command struct {
	names []string
	// change parses a change; run does any other command. One of them is set.
	change func(c *cli, a *args) *v1.ChangeRequest
	run    func(c *cli, ctx context.Context, a *args) error
}

// objects are in the order of ip(8).
func objects() []object {
	return []object{
		{names: []string{"address"}, usage: addrUsage, commands: addrCommands()},
		{names: []string{"route"}, usage: routeUsage, commands: routeCommands()},
		{names: []string{"rule"}, bare: notYet("rule")},
		{names: []string{"neighbor", "neighbour"}, usage: neighUsage, commands: neighCommands()},
		{names: []string{"link"}, usage: linkUsage(), settings: settingHelp(setting.Devices), commands: linkCommands()},
		{names: []string{"monitor"}, usage: monitorUsage, bare: (*cli).monitor},
		{names: []string{"netns"}, usage: netnsUsage(), settings: settingHelp(setting.Namespaces), commands: netnsCommands()},
		{names: []string{"vrf"}, bare: notYet("vrf")},
		{names: []string{"nexthop"}, usage: nexthopUsage, commands: nexthopCommands()},
		{names: []string{"drops"}, usage: dropsUsage, bare: (*cli).drops},
		{names: []string{"worker"}, usage: workerUsage, bare: (*cli).worker},
		{names: []string{"doctor"}, usage: doctorUsage, bare: (*cli).doctor},
		{names: []string{"help"}, bare: (*cli).showHelp},
	}
}

func notYet(name string) func(*cli, context.Context, *args) error {
	return func(*cli, context.Context, *args) error {
		return usagef("object %q is not supported yet, try \"router help\"", name)
	}
}

func (c *cli) showHelp(_ context.Context, _ *args) error {
	_, err := c.out.WriteString(usage())
	return err
}

// asksForHelp tells "router OBJECT help", "router OBJECT COMMAND help", and "router OBJECT set NAME help" where there are
// settings. A namespace may be called help, but then there is something to be done with it.
func asksForHelp(o *object, words []string) bool {
	if len(words) == 0 || isHelp(words[0]) {
		return len(words) > 0
	}
	sets := o.settings != nil && matches(words[0], "set")
	return len(words) == 2 && words[1] == "help" && (sets || o.names[0] != "netns") ||
		len(words) == 3 && words[2] == "help" && sets
}

// showUsage is the help of an object, or that of the settings which are asked for.
func (c *cli) showUsage(o *object, words []string) error {
	text := ""
	if o.settings != nil && len(words) == 2 && isHelp(words[0]) {
		text = o.settings(words[1])
	}
	if text == "" {
		text = "Usage: " + strings.ReplaceAll(strings.TrimSpace(o.usage), "\n", "\n       ") + "\n"
	}
	_, err := c.out.WriteString(text)
	return err
}

// dispatch runs the command in words, which are not empty.
func (c *cli) dispatch(ctx context.Context, words []string) error {
	o := findObject(c.objects, words[0])
	if o == nil {
		return usagef("object %q is unknown, try \"router help\"", words[0])
	}
	a := &args{words: words[1:]}
	if o.usage != "" && asksForHelp(o, a.words) {
		return c.showUsage(o, a.words)
	}
	if o.bare != nil {
		return c.finishThen(ctx, func() error { return o.bare(c, ctx, a) })
	}
	verb := "show"
	if a.more() {
		verb = a.next()
	}
	cmd := findCommand(o.commands, verb)
	if cmd == nil {
		return usagef("command %q is unknown, try \"router %s help\"", verb, o.names[0])
	}
	if cmd.run != nil {
		return c.finishThen(ctx, func() error { return cmd.run(c, ctx, a) })
	}
	req := cmd.change(c, a)
	if err := a.done(); err != nil {
		return err
	}
	req.Netns = c.netns
	return c.apply(ctx, req)
}

// finishThen runs a command that shows or waits after the changes before it are made.
func (c *cli) finishThen(ctx context.Context, run func() error) error {
	if c.queue != nil {
		if err := c.queue.finish(ctx); err != nil {
			return err
		}
	}
	return run()
}

// apply makes a change, or queues it while a batch runs.
func (c *cli) apply(ctx context.Context, req *v1.ChangeRequest) error {
	if c.queue != nil {
		return c.queue.add(ctx, req)
	}
	_, err := c.client.Change(ctx, req)
	return err
}

func findObject(all []object, word string) *object {
	for i := range all {
		for _, name := range all[i].names {
			if matches(word, name) {
				return &all[i]
			}
		}
	}
	return nil
}

func findCommand(all []command, word string) *command {
	for i := range all {
		for _, name := range all[i].names {
			if matches(word, name) {
				return &all[i]
			}
		}
	}
	return nil
}

func isHelp(word string) bool {
	return word == "help" || word == "-h" || word == "-help" || word == "--help"
}

func usage() string {
	return `Usage: router [ OPTIONS ] OBJECT { COMMAND | help }
       router [ -force ] -batch FILE
       router run [ --socket PATH ] [ --state DIR|none ] [ --workers N | --cpus LIST ] ...
where  OBJECT := { address | doctor | drops | link | monitor | neighbor | netns | nexthop | route | worker }
       OPTIONS := { -n[etns] NS | -j[son] | -p[retty] | -s[tatistics] | -d[etails] | -o[neline] | -br[ief] |
                    -4 | -6 | -f[amily] { inet | inet6 } | -b[atch] FILE | -force | --socket PATH | -V[ersion] }
Objects and commands may be shortened as in ip(8): "router r s", "router a a 10.0.0.1/24 dev p1".
Without -n, a command is about the namespace of the calling process, else "init".
`
}
