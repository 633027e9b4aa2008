package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const neighUsage = `
router neighbor { add | replace | change } ADDR [ lladdr MAC ] dev NAME [ nud STATE ]
router neighbor delete ADDR dev NAME
router neighbor flush [ dev NAME ] [ to PREFIX ] [ nud STATE ]
router neighbor show [ [ to ] PREFIX ] [ dev NAME ] [ nud STATE ]
router neighbor get ADDR dev NAME
STATE := { permanent | noarp | reachable | stale | delay | probe | failed | incomplete }
    A permanent neighbour (the default of add) is stored; others live in the data plane. lladdr is
    needed where the address is not known. Limits and timers: router link help, neigh-max and after.
`

func neighCommands() []command {
	return []command{
		{names: []string{"add"}, change: neighChange(v1.Verb_VERB_ADD)},
		{names: []string{"change"}, change: neighChange(v1.Verb_VERB_CHANGE)},
		{names: []string{"replace"}, change: neighChange(v1.Verb_VERB_REPLACE)},
		{names: []string{"delete"}, change: neighChange(v1.Verb_VERB_DELETE)},
		{names: []string{"show", "lst", "list"}, run: (*cli).neighShow},
		{names: []string{"get"}, run: (*cli).neighGet},
		{names: []string{"flush"}, change: neighFlush},
	}
}

func neighChange(verb v1.Verb) func(*cli, *args) *v1.ChangeRequest {
	return func(c *cli, a *args) *v1.ChangeRequest {
		n := &v1.NeighborChange{Verb: verb}
		for a.more() {
			switch w := a.next(); w {
			case "lladdr":
				n.Mac = a.mac("lladdr")
			case "nud":
				n.State = a.neighState()
			case "dev":
				n.Dev = a.device("dev")
			case "proxy", "router", "use", "managed", "extern_learn", "protocol":
				a.fail("%q is not supported yet", w)
			default:
				if w == "to" {
					w = a.value("to")
				} else if n.Address != "" {
					a.garbage(w, "to")
				}
				if a.err == nil {
					n.Address = a.toAddress(w, c.family)
				}
			}
		}
		switch {
		case n.Dev == "" || n.Address == "":
			a.fail("device and destination are required arguments")
		case n.State == 0 && verb != v1.Verb_VERB_DELETE:
			n.State = v1.NeighborState_NEIGHBOR_STATE_PERMANENT
		}
		return &v1.ChangeRequest{Op: &v1.ChangeRequest_Neighbor{Neighbor: n}}
	}
}

// neighState reads a state after "nud"; "all" is 0.
func (a *args) neighState() v1.NeighborState {
	s := a.value("nud")
	for n := range v1.NeighborState_name {
		if n != 0 && strings.EqualFold(s, neighStateName(v1.NeighborState(n))) {
			return v1.NeighborState(n)
		}
	}
	if s != "all" {
		a.fail("nud state %q is bad: it is permanent, noarp, reachable, stale, delay, probe, incomplete or failed", s)
	}
	return 0
}

func neighStateName(s v1.NeighborState) string {
	return strings.TrimPrefix(s.String(), "NEIGHBOR_STATE_")
}

func neighFlush(c *cli, a *args) *v1.ChangeRequest {
	flush := &v1.NeighborFlush{Family: c.family}
	if !a.more() {
		a.fail("flush requires arguments: \"neighbor flush dev NAME\"")
	}
	for a.more() {
		switch w := a.next(); w {
		case "dev":
			flush.Dev = a.device("dev")
		case "nud":
			flush.State = a.neighState()
		case "all":
		default:
			if w == "to" {
				w = a.value("to")
			} else {
				a.once("to")
			}
			flush.Prefix = a.toPrefix(w, c.family)
		}
	}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_NeighborFlush{NeighborFlush: flush}}
}

func (c *cli) neighShow(ctx context.Context, a *args) error {
	req := &v1.ListNeighborsRequest{Netns: c.netns, Family: c.family}
	noARP := false // shown only when states are asked for, as in ip(8)
	for a.more() {
		switch w := a.next(); w {
		case "dev":
			req.Dev = a.device("dev")
		case "nud":
			req.State = a.neighState()
			noARP = true
		default:
			if w == "to" {
				w = a.value("to")
			} else {
				a.once("to")
			}
			req.Prefix = a.toPrefix(w, c.family)
		}
	}
	if err := a.done(); err != nil {
		return err
	}
	stream, err := c.client.ListNeighbors(ctx, req)
	if err != nil {
		return err
	}
	return show(c, stream, (*v1.ListNeighborsResponse).GetNeighbors, func(n *v1.Neighbor) (record, bool) {
		if req.Dev != "" {
			n.Dev = "" // as in ip(8): what was chosen is not repeated
		}
		return c.neighRecord(n), noARP || n.State != v1.NeighborState_NEIGHBOR_STATE_NOARP
	})
}

// neighGet shows one neighbour.
func (c *cli) neighGet(ctx context.Context, a *args) error {
	req := &v1.ListNeighborsRequest{Netns: c.netns}
	for a.more() {
		switch w := a.next(); w {
		case "dev":
			req.Dev = a.device("dev")
		default:
			if w == "to" {
				w = a.value("to")
			} else if req.Prefix != "" {
				a.garbage(w, "to")
			}
			if a.err == nil {
				req.Prefix = a.toPrefix(a.toAddress(w, c.family), c.family)
			}
		}
	}
	if req.Dev == "" || req.Prefix == "" {
		a.fail("Device and address are required arguments")
	}
	if err := a.done(); err != nil {
		return err
	}
	stream, err := c.client.ListNeighbors(ctx, req)
	if err != nil {
		return err
	}
	found := false
	err = show(c, stream, (*v1.ListNeighborsResponse).GetNeighbors, func(n *v1.Neighbor) (record, bool) {
		found = true
		return c.neighRecord(n), true
	})
	if err == nil && !found {
		addr, _, _ := strings.Cut(req.Prefix, "/")
		return fmt.Errorf("Neighbour entry not found: %s is no neighbour of %s (see neigh show dev %s)", addr, req.Dev, req.Dev)
	}
	return err
}

// neighJSON is a neighbour as "ip -j neigh show" has it.
type neighJSON struct {
	Dst    string          `json:"dst"`
	Dev    string          `json:"dev,omitempty"`
	LLAddr string          `json:"lladdr,omitempty"`
	Router json.RawMessage `json:"router,omitempty"`
	*neighStats
	State []string `json:"state"`
}

// neighStats is what "ip -s neigh show" adds.
type neighStats struct {
	Used      uint64 `json:"used"`
	Confirmed uint64 `json:"confirmed"`
	Updated   uint64 `json:"updated"`
	Probes    uint32 `json:"probes"`
}

func (c *cli) neighRecord(n *v1.Neighbor) record {
	o := c.neighObject(n)
	return record{json: o, text: func() string { return neighText(&o) }}
}

func (c *cli) neighObject(n *v1.Neighbor) neighJSON {
	o := neighJSON{Dst: n.Address, Dev: n.Dev, LLAddr: n.Mac, State: []string{neighStateName(n.State)}}
	if n.Router {
		o.Router = json.RawMessage("null") // ip(8) has it so
	}
	if c.stats {
		o.neighStats = &neighStats{Used: n.Used, Confirmed: n.Confirmed, Updated: n.Updated, Probes: n.Probes}
	}
	return o
}

func neighText(o *neighJSON) string {
	s := o.Dst + " "
	if o.Dev != "" {
		s += "dev " + o.Dev + " "
	}
	if o.LLAddr != "" {
		s += "lladdr " + o.LLAddr + " "
	}
	if o.Router != nil {
		s += "router "
	}
	if t := o.neighStats; t != nil {
		s += fmt.Sprintf(" used %d/%d/%dprobes %d ", t.Used, t.Confirmed, t.Updated, t.Probes)
	}
	return s + o.State[0] + " \n"
}
