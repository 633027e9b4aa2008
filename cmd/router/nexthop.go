package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const nexthopUsage = `
router nexthop { add | replace | change } id ID { blackhole | HOP | group GROUP [ type mpath ] } [ proto P ]
router nexthop { delete | get } id ID
router nexthop { list | flush } [ id ID ] [ dev NAME ] [ groups ] [ proto P ]
HOP := [ via [ inet | inet6 ] ADDR ] [ dev NAME ] [ onlink ]
GROUP := ID[,WEIGHT][/ID[,WEIGHT]]...
Routes send by it with "nhid ID". A group keeps its flows where they are when another member goes.
`

func nexthopCommands() []command {
	return []command{
		{names: []string{"add"}, change: nexthopChange(v1.Verb_VERB_ADD)},
		{names: []string{"replace"}, change: nexthopChange(v1.Verb_VERB_REPLACE)},
		{names: []string{"delete"}, change: nexthopDelete},
		{names: []string{"list", "show", "lst"}, run: (*cli).nexthopShow},
		{names: []string{"get"}, run: (*cli).nexthopGet},
		{names: []string{"flush"}, run: (*cli).nexthopFlush},
		{names: []string{"change"}, change: nexthopChange(v1.Verb_VERB_CHANGE)},
	}
}

func nexthopChange(verb v1.Verb) func(*cli, *args) *v1.ChangeRequest {
	return func(c *cli, a *args) *v1.ChangeRequest {
		n := &v1.NexthopChange{Verb: verb, Family: c.family}
		for a.more() {
			switch w := a.next(); {
			case w == "id":
				n.Id = a.number("id")
			case w == "via":
				n.Gateway = nexthopGateway(c, a)
			case w == "dev":
				n.Dev = a.device("dev")
			case w == "onlink":
				n.Onlink = true
			case w == "blackhole":
				n.Blackhole = true
			case w == "group":
				n.IsGroup, n.Group = true, a.members()
			case w == "type":
				if s := a.value("type"); s != "mpath" {
					a.fail("nexthop type %q is not supported: leave it out; every group is resilient", s)
				}
			case matches(w, "protocol"):
				n.Protocol = a.protocol()
			case unsupportedNexthopWord(w):
				a.fail("%q is not supported yet", w)
			default:
				a.garbage(w, "id")
			}
		}
		if strings.Contains(n.Gateway, ":") {
			n.Family = v1.Family_FAMILY_IPV6
		}
		return &v1.ChangeRequest{Op: &v1.ChangeRequest_Nexthop{Nexthop: n}}
	}
}

// nexthopGateway reads a gateway and, before it, perhaps its family, which must be that of the options.
func nexthopGateway(c *cli, a *args) string {
	if a.more() && (a.peek() == "inet" || a.peek() == "inet6") {
		if word := a.next(); word != familyWord(c.family) && c.family != 0 {
			a.fail("address family mismatch: %q with the option for %s", word, familyWord(c.family))
		}
	}
	return a.address("via", c.family)
}

func unsupportedNexthopWord(w string) bool {
	switch w {
	case "encap", "fdb", "vrf", "master", "buckets", "idle_timer", "unbalanced_timer":
		return true
	}
	return false
}

// members reads the members of a group.
func (a *args) members() []*v1.NexthopMember {
	s := a.value("group")
	if s == "" {
		a.fail("argument \"\" is wrong: \"group\" value is invalid: it is ID[,WEIGHT]/ID[,WEIGHT]...")
	}
	if a.err != nil {
		return nil
	}
	var out []*v1.NexthopMember
	for member := range strings.SplitSeq(s, "/") {
		id, weight, weighted := strings.Cut(member, ",")
		m := &v1.NexthopMember{Id: a.toNumber(id, "group", math.MaxUint32)}
		if weighted {
			m.Weight = a.weight(weight)
		}
		out = append(out, m)
	}
	return out
}

func nexthopDelete(_ *cli, a *args) *v1.ChangeRequest {
	n := &v1.NexthopChange{Verb: v1.Verb_VERB_DELETE, Id: nexthopID(a)}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_Nexthop{Nexthop: n}}
}

// nexthopID reads "id N".
func nexthopID(a *args) uint32 {
	if !a.more() {
		a.fail("Nexthop id is missing: say \"id N\"")
		return 0
	}
	if w := a.next(); w != "id" {
		a.garbage(w, "id")
	}
	return a.id("id")
}

func (c *cli) nexthopFilter(a *args) *v1.NexthopFilter {
	f := &v1.NexthopFilter{Family: c.family}
	for a.more() {
		switch w := a.next(); {
		case w == "id":
			f.Id = a.id("id")
		case matches(w, "dev"):
			f.Dev = a.device("dev")
		case matches(w, "groups"):
			f.Groups = true
		case matches(w, "protocol"):
			f.Protocol = a.protocol()
		case unsupportedNexthopWord(w):
			a.fail("%q is not supported yet", w)
		default:
			a.garbage(w, "id")
		}
	}
	return f
}

func (c *cli) nexthopShow(ctx context.Context, a *args) error {
	f := c.nexthopFilter(a)
	if err := a.done(); err != nil {
		return err
	}
	if f.Id != 0 {
		return c.showNexthop(ctx, f.Id)
	}
	stream, err := c.client.ListNexthops(ctx, &v1.ListNexthopsRequest{Netns: c.netns, Filter: f})
	if err != nil {
		return err
	}
	return show(c, stream, (*v1.ListNexthopsResponse).GetNexthops, func(n *v1.Nexthop) (record, bool) {
		return c.nexthopRecord(n), true
	})
}

func (c *cli) nexthopGet(ctx context.Context, a *args) error {
	id := nexthopID(a)
	if err := a.done(); err != nil {
		return err
	}
	return c.showNexthop(ctx, id)
}

// showNexthop prints one object, which must be there.
func (c *cli) showNexthop(ctx context.Context, id uint32) error {
	found, err := c.nexthops(ctx, &v1.NexthopFilter{Id: id})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("No such file or directory: there is no nexthop id %d (see nexthop show)", id)
	}
	return c.print(c.nexthopRecord(found[0]))
}

// nexthops fetches the objects that a filter chooses.
func (c *cli) nexthops(ctx context.Context, f *v1.NexthopFilter) ([]*v1.Nexthop, error) {
	stream, err := c.client.ListNexthops(ctx, &v1.ListNexthopsRequest{Netns: c.netns, Filter: f})
	if err != nil {
		return nil, err
	}
	var all []*v1.Nexthop
	for stream.Receive() {
		all = append(all, stream.Msg().Nexthops...)
	}
	return all, errors.Join(stream.Err(), stream.Close())
}

func (c *cli) nexthopsByID(ctx context.Context) (map[uint32]*v1.Nexthop, error) {
	all, err := c.nexthops(ctx, nil)
	byID := make(map[uint32]*v1.Nexthop, len(all))
	for _, n := range all {
		byID[n.Id] = n
	}
	return byID, err
}

// nexthopFlush removes objects and tells how many.
func (c *cli) nexthopFlush(ctx context.Context, a *args) error {
	f := c.nexthopFilter(a)
	if err := a.done(); err != nil {
		return err
	}
	done, err := c.client.Change(ctx, &v1.ChangeRequest{
		Netns: c.netns, Op: &v1.ChangeRequest_NexthopFlush{NexthopFlush: &v1.NexthopFlush{Filter: f}},
	})
	switch {
	case err != nil:
		return err
	case done.Removed == 0:
		fmt.Fprintln(c.out, "Nothing to flush")
	default:
		fmt.Fprintf(c.out, "Flushed %d nexthops\n", done.Removed)
	}
	return nil
}
