package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const monitorUsage = `
router monitor [ netns | link | address | route | nexthop | neigh | all ] ... [ --snapshot ] [ --all-netns ]
One line an event, with -j one JSON object. With --snapshot what is there comes first, then a line that says so, then the
changes. -d prints before each its number, which -j always has: where it leaves some out, the reader was too slow for them.
`

func (c *cli) monitor(ctx context.Context, a *args) error {
	req := &v1.MonitorRequest{Netns: c.netns, AllNetns: c.allNetns}
	labels := false
	for a.more() {
		switch w := a.next(); {
		case findOption(w) == "all-netns" && strings.HasPrefix(w, "-"):
			req.AllNetns = true
		case w == "--snapshot", w == "-snapshot", w == "snapshot":
			req.Snapshot = true
		case w == "all", w == "label":
			labels = true
		default:
			object := monitorObject(w)
			if object == "" {
				return usagef("argument %q is unknown, try \"router monitor help\"", w)
			}
			req.Objects = append(req.Objects, object)
		}
	}
	stream, err := c.client.Monitor(ctx, req)
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		for _, e := range stream.Msg().Events {
			if err := c.event(e, labels, req.AllNetns); err != nil {
				return err
			}
		}
		if err := c.out.Flush(); err != nil {
			return err
		}
	}
	if err := stream.Err(); ctx.Err() == nil && err != nil {
		return err
	}
	if ctx.Err() == nil {
		return errors.New("the daemon has ended")
	}
	return nil // a signal ended it
}

// monitorObject is the name that the daemon has for what a word abbreviates.
func monitorObject(w string) string {
	for _, name := range []string{"link", "address", "route", "neighbor", "neighbour", "nexthop", "netns"} {
		if matches(w, name) && w != "n" && w != "ne" {
			return strings.Replace(name, "neighbour", "neighbor", 1)
		}
	}
	return ""
}

// eventJSON comes before the fields of the object.
type eventJSON struct {
	Seq      uint64 `json:"seq"`
	Deleted  bool   `json:"deleted,omitempty"` // as in ip(8)
	Event    string `json:"event"`
	Snapshot bool   `json:"snapshot,omitempty"` // it was there before
	Object   string `json:"object"`
	Netns    string `json:"netns"`
	Was      string `json:"was,omitempty"` // the name of the namespace until now
}

// event prints one event.
func (c *cli) event(e *v1.Event, labels, allNetns bool) error {
	object, r := c.eventRecord(e)
	head := eventJSON{e.Seq, e.Deleted, "new", e.Snapshot, object, e.NetnsName, e.Was}
	switch {
	case e.Deleted:
		head.Event = "deleted"
	case object == "missed":
		head.Event = "missed"
	case object == "snapshot":
		head.Event = "end"
	}
	if c.json {
		return c.eventObject(head, r.json)
	}
	if c.details {
		fmt.Fprintf(c.out, "[%d]", e.Seq)
	}
	if allNetns {
		fmt.Fprintf(c.out, "[netns %s]", e.NetnsName)
	}
	if labels {
		fmt.Fprintf(c.out, "[%s]", strings.ToUpper(object))
	}
	if e.Deleted {
		fmt.Fprint(c.out, "Deleted ")
	}
	lines := strings.Split(strings.TrimSuffix(r.text(), "\n"), "\n")
	for i := range lines[1:] {
		lines[i+1] = strings.TrimSpace(lines[i+1])
	}
	_, err := fmt.Fprintln(c.out, strings.Join(lines, " "))
	return err
}

// eventObject prints the fields of head and then those of body as one object.
func (c *cli) eventObject(head eventJSON, body any) error {
	pretty := c.pretty
	c.pretty = false // one line an event
	defer func() { c.pretty = pretty }()
	h, err := c.marshal(head)
	if err != nil {
		return err
	}
	b, err := c.marshal(body)
	if err != nil {
		return err
	}
	if len(b) > 2 {
		h[len(h)-1] = ','
		h = append(h, b[1:]...)
	}
	_, err = c.out.Write(append(h, '\n'))
	return err
}

type missedJSON struct {
	Missed uint64 `json:"missed"`
}

// eventRecord returns the kind of an event's object and its record.
func (c *cli) eventRecord(e *v1.Event) (string, record) {
	switch o := e.Object.(type) {
	case *v1.Event_Netns:
		r, _ := c.netnsRow(o.Netns)
		was := ""
		if e.Was != "" {
			was = fmt.Sprintf("was %s: ", e.Was)
		}
		return "netns", record{json: r.json, text: func() string { return was + "netns " + r.text() }}
	case *v1.Event_Link:
		return "link", c.linkRecord(o.Link, true)
	case *v1.Event_Address:
		return "addr", addrEventRecord(o.Address)
	case *v1.Event_Route:
		return "route", c.routeRecord(o.Route, &routeStyle{})
	case *v1.Event_Nexthop:
		return "nexthop", c.nexthopRecord(o.Nexthop)
	case *v1.Event_Neighbor:
		return "neigh", c.neighRecord(o.Neighbor)
	case *v1.Event_Missed:
		return "missed", record{json: missedJSON{o.Missed}, text: func() string {
			return fmt.Sprintf("missed %d events: the reader was too slow\n", o.Missed)
		}}
	case *v1.Event_SnapshotEnd:
		return "snapshot", record{json: struct{}{}, text: func() string { return "that is all: what follows are changes\n" }}
	}
	return "unknown", record{json: struct{}{}, text: func() string { return "an event that this program does not know\n" }}
}

// addrEventJSON is a link of "addr show" with one address and little else.
type addrEventJSON struct {
	Index    uint32     `json:"ifindex"`
	IfName   string     `json:"ifname"`
	AddrInfo []addrJSON `json:"addr_info"`
}

func addrEventRecord(e *v1.AddressEvent) record {
	a := addrObject(e.Dev, e.Address)
	return record{json: addrEventJSON{e.Index, e.Dev, []addrJSON{a}}, text: func() string {
		return fmt.Sprintf("%d: %s    %s\n       valid_lft forever preferred_lft forever\n", e.Index, e.Dev, addrText(&a))
	}}
}
