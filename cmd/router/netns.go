package main

import (
	"context"
	"fmt"
	"os"
	"strconv"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable/setting"
)

func netnsUsage() string {
	return `
router netns list
router netns add NAME [SETTING VALUE ...]
router netns set NAME SETTING VALUE ...
router netns set NAME name NEW
router netns set NAME owner { user:USER | group:GROUP } role { read | operate | admin | none } ...
router netns delete NAME
router netns exec NAME [--] CMD ...
router -all netns exec [--] CMD ...
router netns identify [PID]
router netns pids NAME
An owner may do in the namespace what the role allows: read (listings, monitor), operate (links up and down, neighbours),
admin (addresses, routes, virtual links, settings). What is a quota below, and owners, are for root and the group router.
Inside another namespace than init, list shows that alone, and add, delete and exec are refused: run them in init.
SETTING VALUE ("router netns help WORD" shows those with WORD in their names; "router -d netns list" what is set):
` + setting.Namespaces.Usage()
}

func netnsCommands() []command {
	return []command{
		{names: []string{"list", "show", "lst"}, run: (*cli).netnsList},
		{names: []string{"add"}, change: netnsAdd},
		{names: []string{"set"}, change: netnsSet},
		{names: []string{"delete"}, change: netnsDelete},
		{names: []string{"identify"}, run: (*cli).netnsIdentify},
		{names: []string{"pids"}, run: (*cli).netnsPids},
		{names: []string{"exec"}, run: (*cli).netnsExec},
	}
}

func netnsAdd(_ *cli, a *args) *v1.ChangeRequest {
	add := &v1.NetnsAdd{Name: a.namespace("add")}
	add.Settings = netnsSettings(a, "add", nil)
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsAdd{NetnsAdd: add}}
}

// netnsSettings reads the settings that end a command. Behind words that are none it calls what takes what follows.
func netnsSettings(a *args, command string, others map[string]func()) (settings []*v1.Setting) {
	for a.more() {
		w := a.next()
		if other := others[w]; other != nil {
			other()
			continue
		}
		if !setting.Namespaces.Has(w) {
			a.fail("\"netns %s\" does not know %q: %s", command, w, elsewhere(w, false,
				meant(setting.Namespaces, w, "it sets "+setting.Namespaces.Names())))
			break
		}
		settings = append(settings, settingWord(a, setting.Namespaces, w))
	}
	return settings
}

func netnsDelete(_ *cli, a *args) *v1.ChangeRequest {
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsDelete{NetnsDelete: &v1.NetnsDelete{Name: a.namespace("delete")}}}
}

func netnsSet(_ *cli, a *args) *v1.ChangeRequest {
	set := &v1.NetnsSet{Name: a.namespace("set")}
	set.Settings = netnsSettings(a, "set", map[string]func(){
		"owner": func() { set.Owners = append(set.Owners, ownerWords(a)) },
		"name":  func() { set.NewNetns = a.namespace("name") },
	})
	if len(set.Settings) == 0 && len(set.Owners) == 0 && set.NewNetns == "" {
		a.fail("command line is not complete: \"netns set NS\" needs what to set: name, owner, %s", setting.Namespaces.Names())
	}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_NetnsSet{NetnsSet: set}}
}

// namespace is the name of a namespace, which the command needs.
func (a *args) namespace(command string) string {
	if !a.more() {
		a.fail("command line is not complete: no netns name specified after %q", command)
		return ""
	}
	return a.next()
}

func (c *cli) netnsList(ctx context.Context, a *args) error {
	if err := a.done(); err != nil {
		return err
	}
	stream, err := c.client.ListNetns(ctx, &v1.ListNetnsRequest{Stats: c.stats})
	if err != nil {
		return err
	}
	return show(c, stream, (*v1.ListNetnsResponse).GetNetns, c.netnsRow)
}

type netnsJSON struct {
	Name     string         `json:"name"`
	Routes   *uint64        `json:"routes,omitempty"` // of all tables
	Settings map[string]any `json:"settings,omitempty"`
	Owners   []ownerJSON    `json:"owners,omitempty"`
	*netnsStatsJSON
}

// netnsStatsJSON accounts for all packets that came in by a device of the namespace.
type netnsStatsJSON struct {
	Forwarding struct {
		Received  uint64 `json:"received"`
		Forwarded uint64 `json:"forwarded"`
		Delivered uint64 `json:"delivered"`
		Held      uint64 `json:"held"`
		Dropped   uint64 `json:"dropped"`
	} `json:"forwarding"`
	// Leaked counts what routes brought from other namespaces, and sent there.
	Leaked struct {
		In  uint64 `json:"in"`
		Out uint64 `json:"out"`
	} `json:"leaked"`
	Drops      map[string]uint64 `json:"drops"`
	Suppressed map[string]uint64 `json:"suppressed,omitempty"` // answers that rate limits kept back
}

func (c *cli) netnsRow(n *v1.Netns) (record, bool) {
	settings := settingsOf(setting.Namespaces, n.Settings)
	o := netnsJSON{Name: n.Name, Settings: settingsJSON(settings, c.details)}
	text := n.Name + "\n"
	if c.details {
		o.Routes, o.Owners = &n.Routes, ownersJSON(n.Owners)
		text = fmt.Sprintf("%s routes %d \n%s%s", n.Name, n.Routes, settingsText(settings), ownersText(o.Owners))
	}
	if n.Stats != nil {
		o.netnsStatsJSON = netnsStats(n.Stats)
	}
	return record{json: o, text: func() string {
		if n.Stats == nil {
			return text
		}
		f := &o.Forwarding
		return fmt.Sprintf("%s    received %d forwarded %d delivered %d held %d dropped %d leaked in %d out %d\n%s%s",
			text, f.Received, f.Forwarded, f.Delivered, f.Held, f.Dropped, o.Leaked.In, o.Leaked.Out, dropsText(n.Stats.Drops),
			suppressedLine(n.Stats.Suppressed))
	}}, true
}

func netnsStats(s *v1.NetnsStats) *netnsStatsJSON {
	o := &netnsStatsJSON{Drops: make(map[string]uint64), Suppressed: suppressedObject(s.Suppressed)}
	o.Forwarding.Received, o.Forwarding.Forwarded = s.Received, s.Forwarded
	o.Forwarding.Delivered, o.Forwarding.Held = s.Delivered, s.Held
	o.Leaked.In, o.Leaked.Out = s.LeakedIn, s.LeakedOut
	for _, d := range s.Drops {
		o.Drops[d.Reason] = d.Packets
		o.Forwarding.Dropped += d.Packets
	}
	return o
}

func (c *cli) netnsIdentify(ctx context.Context, a *args) error {
	pid := 0 // the daemon knows the caller by its socket
	if a.more() {
		word := a.next()
		n, err := strconv.ParseUint(word, 10, 31)
		switch {
		case word == "self":
		case err != nil || n == 0:
			a.fail("specified string %q is not a pid", word)
		default:
			pid = int(n)
		}
	}
	if err := a.done(); err != nil {
		return err
	}
	if pid == os.Getpid() {
		pid = 0
	}
	found, err := c.client.IdentifyNetns(ctx, &v1.IdentifyNetnsRequest{Pid: uint32(pid)})
	if err != nil {
		return err
	}
	return c.print(record{json: netnsJSON{Name: found.Netns}, text: func() string { return found.Netns + "\n" }})
}

type pidJSON struct {
	Pid uint32 `json:"pid"`
}

func (c *cli) netnsPids(ctx context.Context, a *args) error {
	name := a.namespace("pids")
	if err := a.done(); err != nil {
		return err
	}
	found, err := c.client.ListPids(ctx, &v1.ListPidsRequest{Netns: name})
	if err != nil {
		return err
	}
	var all []record
	for _, pid := range found.Pids {
		all = append(all, record{json: pidJSON{pid}, text: func() string { return fmt.Sprintln(pid) }})
	}
	return c.print(all...)
}
