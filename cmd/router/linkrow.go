package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable/setting"
)

// linkJSON is a link as "ip -j link show" has it; then what only this router has.
type linkJSON struct {
	IfIndex   uint32   `json:"ifindex"`
	Link      string   `json:"link,omitempty"`
	LinkIndex uint32   `json:"link_index,omitempty"`
	IfName    string   `json:"ifname"`
	Flags     []string `json:"flags"`
	MTU       uint32   `json:"mtu"`
	Qdisc     string   `json:"qdisc"`
	OperState string   `json:"operstate"`
	LinkMode  string   `json:"linkmode,omitempty"`
	Group     string   `json:"group"`
	TxQLen    int      `json:"txqlen"`
	LinkType  string   `json:"link_type,omitempty"`
	Address   string   `json:"address,omitempty"`
	Broadcast string   `json:"broadcast,omitempty"`
	LinkNetns string   `json:"link_netns,omitempty"`

	LinkInfo *linkInfoJSON  `json:"linkinfo,omitempty"`
	AddrInfo *[]addrJSON    `json:"addr_info,omitempty"`
	Settings map[string]any `json:"settings,omitempty"`
	*statsJSON
}

type linkInfoJSON struct {
	Kind string `json:"info_kind"`
	Data any    `json:"info_data,omitempty"` // *xdpInfo or *vlanInfo
}

// vlanInfo is what iproute2 tells of a VLAN device.
type vlanInfo struct {
	Protocol string   `json:"protocol"`
	ID       uint32   `json:"id"`
	Flags    []string `json:"flags"`
}

// xdpInfo says what was asked of an AF_XDP interface and what was got.
type xdpInfo struct {
	Host        string `json:"host"`
	ModeAsked   string `json:"mode_asked"`
	Mode        string `json:"mode,omitempty"`
	QueuesAsked uint32 `json:"queues_asked,omitempty"`
	Queues      uint32 `json:"queues"`
	Attached    bool   `json:"attached"`
	StripsTags  bool   `json:"strips_vlan_tags,omitempty"`
	MaxMTU      uint32 `json:"max_mtu,omitempty"`
}

// briefJSON is a link of "ip -j -br link show" or addr show.
type briefJSON struct {
	Link      string       `json:"link,omitempty"`
	LinkIndex uint32       `json:"link_index,omitempty"`
	IfName    string       `json:"ifname"`
	OperState string       `json:"operstate"`
	Address   string       `json:"address,omitempty"`
	Flags     []string     `json:"flags,omitempty"`
	AddrInfo  *[]briefAddr `json:"addr_info,omitempty"`
}

type briefAddr struct {
	Local     string `json:"local"`
	PrefixLen int    `json:"prefixlen"`
}

// linkFlags are in iproute2's order.
func linkFlags(l *v1.Link) []string {
	var f []string
	add := func(set bool, name ...string) {
		if set {
			f = append(f, name...)
		}
	}
	add(l.Up && !l.Carrier, "NO-CARRIER")
	switch l.Kind {
	case "loopback":
		add(true, "LOOPBACK")
	case "dummy":
		add(true, "BROADCAST", "NOARP")
	default:
		add(true, "BROADCAST", "MULTICAST")
	}
	add(l.Up, "UP")
	add(l.Up && l.Carrier, "LOWER_UP")
	add(l.Peer != nil && l.Peer.Netns == l.Netns && !l.Peer.Up, "M-DOWN")
	return f
}

// operState is RFC 2863's, as Linux reports it.
func operState(l *v1.Link) string {
	switch {
	case !l.Up:
		return "DOWN"
	case l.Kind == "loopback", l.Kind == "dummy":
		return "UNKNOWN"
	case l.Carrier:
		return "UP"
	case l.Kind == "veth", l.Kind == "vlan":
		return "LOWERLAYERDOWN"
	}
	return "DOWN"
}

func vlanProtocolName(p v1.VlanProtocol) string {
	if p == v1.VlanProtocol_VLAN_PROTOCOL_8021AD {
		return "802.1ad"
	}
	return "802.1Q"
}

func linkObject(l *v1.Link) linkJSON {
	o := linkJSON{
		IfIndex: l.Index, IfName: l.Name, Flags: linkFlags(l), MTU: l.Mtu, Qdisc: "noqueue", OperState: operState(l),
		LinkMode: "DEFAULT", Group: "default", TxQLen: 1000,
		LinkType: "ether", Address: l.Mac, Broadcast: "ff:ff:ff:ff:ff:ff",
	}
	if !l.Up {
		o.Qdisc = "noop"
	}
	if l.Kind == "loopback" {
		o.LinkType, o.Broadcast = "loopback", "00:00:00:00:00:00"
	} else {
		o.LinkInfo = &linkInfoJSON{Kind: l.Kind}
	}
	if p := l.Peer; p != nil && p.Netns == l.Netns {
		o.Link = p.Name
	} else if p != nil {
		o.LinkIndex, o.LinkNetns = p.Index, p.Netns
	}
	if x := l.Xdp; x != nil {
		o.LinkInfo.Data = &xdpInfo{
			Host: x.Host, ModeAsked: xdpModeName(x.ModeAsked), Mode: xdpModeName(x.ModeObtained), QueuesAsked: x.QueuesAsked,
			Queues: x.Queues, Attached: x.Attached, StripsTags: x.StripsTags, MaxMTU: x.MaxMtu,
		}
	}
	if v := l.Vlan; v != nil {
		o.LinkInfo.Data = &vlanInfo{Protocol: vlanProtocolName(v.Protocol), ID: v.Id, Flags: []string{"REORDER_HDR"}}
	}
	return o
}

// linkRecord is a link in the chosen form; detail adds what "link show" has and "addr show" has not.
func (c *cli) linkRecord(l *v1.Link, detail bool) record {
	o := linkObject(l)
	if c.brief {
		return briefLink(&o)
	}
	settings := ""
	if detail {
		list := settingsOf(setting.Devices, l.Settings)
		o.Settings = settingsJSON(list, c.details)
		if c.details {
			settings = settingsText(list)
		}
	} else {
		o.LinkMode = ""
	}
	if l.Stats != nil {
		o.statsJSON = statsObject(l.Stats)
	}
	return record{json: o, text: func() string {
		return linkHead(&o) + linkAddress(&o) + c.linkDetails(&o, detail) + settings + statsText(l.Stats)
	}}
}

// linkName is the name with that of the link below or beside it, as in p1@p2 or p1@if7.
func linkName(name, link string, index uint32) string {
	switch {
	case link != "":
		return name + "@" + link
	case index != 0:
		return fmt.Sprintf("%s@if%d", name, index)
	}
	return name
}

func linkHead(o *linkJSON) string {
	mode := ""
	if o.LinkMode != "" {
		mode = "mode " + o.LinkMode + " "
	}
	return fmt.Sprintf("%d: %s: <%s> mtu %d qdisc %s state %s %sgroup %s qlen %d\n", o.IfIndex,
		linkName(o.IfName, o.Link, o.LinkIndex), strings.Join(o.Flags, ","), o.MTU, o.Qdisc, o.OperState, mode, o.Group,
		o.TxQLen)
}

func linkAddress(o *linkJSON) string {
	s := fmt.Sprintf("    link/%s %s brd %s", o.LinkType, o.Address, o.Broadcast)
	if o.LinkNetns != "" {
		s += " link-netns " + o.LinkNetns
	}
	return s + "\n"
}

// linkDetails are a line on AF_XDP, which "link show" always has, and with -d the kind of any link.
func (c *cli) linkDetails(o *linkJSON, detail bool) string {
	if !detail || o.LinkInfo == nil {
		return ""
	}
	switch data := o.LinkInfo.Data.(type) {
	case *xdpInfo:
		return data.text(c.details)
	case *vlanInfo:
		if c.details {
			return fmt.Sprintf("    vlan protocol %s id %d <%s>\n", data.Protocol, data.ID, strings.Join(data.Flags, ","))
		}
	default:
		if c.details {
			return "    " + o.LinkInfo.Kind + "\n"
		}
	}
	return ""
}

func (x *xdpInfo) text(details bool) string {
	s := fmt.Sprintf("    xdp host %s mode %s", x.Host, cmp.Or(x.Mode, "none"))
	if x.Mode != x.ModeAsked {
		s += " asked " + x.ModeAsked
	}
	s += fmt.Sprintf(" queues %d", x.Queues)
	if x.QueuesAsked != 0 && x.QueuesAsked != x.Queues {
		s += fmt.Sprintf(" asked %d", x.QueuesAsked)
	}
	if x.MaxMTU != 0 {
		s += fmt.Sprintf(" maxmtu %d", x.MaxMTU)
	}
	switch {
	case !x.Attached:
		s += " not attached"
	case x.StripsTags:
		s += " rxvlan on: VLAN tags are lost"
	case details:
		s += " rxvlan off"
	}
	return s + "\n"
}

func briefLink(o *linkJSON) record {
	b := briefJSON{o.Link, o.LinkIndex, o.IfName, o.OperState, o.Address, slices.Clone(o.Flags), nil}
	return record{json: b, text: func() string {
		return briefHead(o) + o.Address + " <" + strings.Join(o.Flags, ",") + "> \n"
	}}
}

func briefHead(o *linkJSON) string {
	return fmt.Sprintf("%-16s %-14s ", linkName(o.IfName, o.Link, o.LinkIndex), o.OperState)
}
