package main

import (
	"encoding/json"
	"fmt"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// nexthopJSON is a next-hop object as "ip -j nexthop show" has it.
type nexthopJSON struct {
	ID        uint32          `json:"id"`
	Group     []memberJSON    `json:"group,omitempty"`
	Gateway   string          `json:"gateway,omitempty"`
	Dev       string          `json:"dev,omitempty"`
	Scope     string          `json:"scope,omitempty"`
	Blackhole json.RawMessage `json:"blackhole,omitempty"`
	Protocol  string          `json:"protocol,omitempty"`
	Flags     []string        `json:"flags"`
}

type memberJSON struct {
	ID     uint32 `json:"id"`
	Weight uint32 `json:"weight,omitempty"` // where it is not 1
}

func (c *cli) nexthopObject(n *v1.Nexthop) *nexthopJSON {
	h := n.Hop
	o := &nexthopJSON{
		ID: n.Id, Gateway: h.GetGateway(), Dev: h.GetDev(),
		Flags: hopFlags(h.GetDead(), h.GetOnlink(), h.GetLinkdown(), h.GetUnresolved(), h.GetRecursive()),
	}
	for _, m := range n.Group {
		member := memberJSON{ID: m.Id}
		if m.Weight > 1 {
			member.Weight = m.Weight
		}
		o.Group = append(o.Group, member)
	}
	if n.Blackhole {
		o.Blackhole = json.RawMessage("null") // ip(8) has it so
	}
	if n.Scope != scopeUniverse || c.details {
		o.Scope = scopeName(n.Scope)
	}
	if n.Protocol != 0 || c.details {
		o.Protocol = protocolName(n.Protocol)
	}
	return o
}

func (c *cli) nexthopRecord(n *v1.Nexthop) record {
	o := c.nexthopObject(n)
	return record{json: o, text: func() string { return nexthopText(o) + "\n" }}
}

// nexthopText is the line of an object without its end.
func nexthopText(o *nexthopJSON) string {
	var b strings.Builder
	fmt.Fprintf(&b, "id %d ", o.ID)
	for i, m := range o.Group {
		sep := "/"
		if i == 0 {
			sep = "group "
		}
		fmt.Fprintf(&b, "%s%d", sep, m.ID)
		if m.Weight != 0 {
			fmt.Fprintf(&b, ",%d", m.Weight)
		}
	}
	if len(o.Group) > 0 {
		b.WriteByte(' ')
	}
	b.WriteString(wayText(&wayJSON{Gateway: o.Gateway, Dev: o.Dev}))
	if o.Scope != "" {
		b.WriteString("scope " + o.Scope + " ")
	}
	if o.Blackhole != nil {
		b.WriteString("blackhole ")
	}
	if o.Protocol != "" {
		b.WriteString("proto " + o.Protocol + " ")
	}
	for _, f := range o.Flags {
		b.WriteString(f + " ")
	}
	return b.String()
}
