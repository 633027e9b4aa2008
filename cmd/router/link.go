package main

import (
	"context"
	"math"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable/setting"
)

func linkUsage() string {
	return `
router link add NAME type xdp [ host IF ] [ mode { auto | zerocopy | copy | generic } ] [ queues N ] [ force ]
router link add NAME type veth [ peer name NAME2 [ netns NS2 ] ]
router link add link PARENT name NAME type vlan id N [ protocol { 802.1q | 802.1ad } ]
router link add NAME type dummy
                [ mtu N ] [ address MAC ] before "type"
router link set NAME [ up | down ] [ mtu N ] [ address MAC ] [ name NEW ] [ netns NS2 ] [ SETTING VALUE ]...
router link delete NAME
router link show [ [ dev ] NAME ] [ up ] [ type { xdp | veth | vlan | dummy | loopback } ]
force: take an interface that has addresses, a master or the default route
SETTING VALUE ("router link help WORD" shows those with WORD in their names; "router -d link show" what is set):
` + setting.Devices.Usage()
}

func linkCommands() []command {
	return []command{
		{names: []string{"add"}, change: linkAdd},
		{names: []string{"set", "change"}, change: linkSet},
		{names: []string{"delete"}, change: linkDelete},
		{names: []string{"show", "lst", "list"}, run: (*cli).linkShow},
	}
}

func linkAdd(_ *cli, a *args) *v1.ChangeRequest {
	add := &v1.LinkAdd{}
	parent := ""
	for a.more() && add.Kind == nil {
		switch w := a.next(); {
		case matches(w, "link"):
			parent = a.device("link")
		case w == "netns", w == "index", matches(w, "txqueuelen"), matches(w, "broadcast"):
			a.fail("%q is not supported yet", w)
		case w == "mtu":
			add.Mtu = new(a.number("mtu"))
		case matches(w, "address"):
			add.Mac = new(a.mac("address"))
		case matches(w, "type"):
			linkType(a, add)
		default:
			if w == "name" || w == "dev" {
				w = a.value("name")
			} else {
				a.once("name")
			}
			a.checkDevice(w)
			add.Name = w
		}
	}
	switch {
	case add.Name == "":
		a.fail("not enough information: the name of the link is missing")
	case add.Kind == nil:
		a.fail("not enough information: \"type\" argument is required: xdp, veth, vlan or dummy")
	case add.GetVlan() == nil && parent != "":
		a.fail("\"link %s\" goes with \"type vlan\" only", parent)
	case add.GetVlan() != nil && parent == "":
		a.fail("not enough information: \"link\" is required: the device that the VLAN is on")
	}
	if v := add.GetVlan(); v != nil {
		v.Link = parent
	}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_LinkAdd{LinkAdd: add}}
}

// linkType reads the kind and its own words, which come last.
func linkType(a *args, add *v1.LinkAdd) {
	switch kind := a.value("type"); kind {
	case "xdp":
		add.Kind = &v1.LinkAdd_Xdp{Xdp: xdpWords(a)}
	case "veth":
		add.Kind = &v1.LinkAdd_Veth{Veth: vethWords(a)}
	case "dummy":
		add.Kind = &v1.LinkAdd_Dummy{Dummy: &v1.DummySpec{}}
	case "vlan":
		add.Kind = &v1.LinkAdd_Vlan{Vlan: vlanWords(a)}
	default:
		a.fail("unknown link type %q: it is xdp, veth, vlan or dummy", kind)
	}
}

func xdpWords(a *args) *v1.XdpSpec {
	spec := &v1.XdpSpec{Mode: v1.XdpMode_XDP_MODE_AUTO}
	for a.more() {
		switch w := a.next(); w {
		case "host":
			spec.Host = a.device("host")
		case "mode":
			spec.Mode = a.xdpMode()
		case "queues":
			if spec.Queues = a.number("queues"); spec.Queues == 0 {
				a.fail("argument \"0\" is wrong: \"queues\" takes a number from 1")
			}
		case "force":
			spec.Force = true
		default:
			a.fail("%q is a garbage: an xdp link has host, mode, queues and force; mtu and address come before \"type\"", w)
		}
	}
	return spec
}

func (a *args) xdpMode() v1.XdpMode {
	s := a.value("mode")
	for _, m := range []v1.XdpMode{1, 2, 3, 4} {
		if xdpModeName(m) == s {
			return m
		}
	}
	a.fail("argument %q is wrong: \"mode\" is auto, zerocopy, copy or generic", s)
	return 0
}

func xdpModeName(m v1.XdpMode) string {
	switch m {
	case v1.XdpMode_XDP_MODE_AUTO:
		return "auto"
	case v1.XdpMode_XDP_MODE_ZEROCOPY:
		return "zerocopy"
	case v1.XdpMode_XDP_MODE_COPY:
		return "copy"
	case v1.XdpMode_XDP_MODE_GENERIC:
		return "generic"
	}
	return ""
}

func vethWords(a *args) *v1.VethSpec {
	spec := &v1.VethSpec{}
	if a.more() && a.next() != "peer" {
		a.fail("%q is a garbage: after \"type veth\" comes \"peer name NAME2\"", a.words[a.at-1])
	}
	for a.more() {
		switch w := a.next(); w {
		case "netns":
			spec.PeerNetns = a.value("netns")
		case "name":
			spec.PeerName = a.device("peer name")
		default:
			a.once("peer name")
			a.checkDevice(w)
			spec.PeerName = w
		}
	}
	return spec
}

func vlanWords(a *args) *v1.VlanSpec {
	spec := &v1.VlanSpec{}
	for a.more() {
		switch w := a.next(); {
		case matches(w, "protocol"):
			spec.Protocol = a.vlanProtocol()
		case matches(w, "id"):
			spec.Id = new(a.numberUpTo(math.MaxUint16, "id")) // the daemon refuses the last ones, as the kernel does
		case matches(w, "reorder_hdr"):
			a.only(w, "on")
		case matches(w, "gvrp"), matches(w, "mvrp"), matches(w, "loose_binding"), matches(w, "bridge_binding"):
			a.only(w, "off")
		case matches(w, "ingress-qos-map"), matches(w, "egress-qos-map"):
			a.fail("%q is not supported yet: a tag has the priority that the packet came with", w)
		default:
			a.fail("%q is a garbage: a vlan link has id and protocol", w)
		}
	}
	if spec.Id == nil {
		a.fail("not enough information: \"id\" is required: 0 to 4094")
	}
	return spec
}

// only reads the one value of a word that is supported.
func (a *args) only(word, value string) {
	if a.value(word) != value {
		a.fail("%q is not supported yet but as %q", word, value)
	}
}

func (a *args) vlanProtocol() v1.VlanProtocol {
	s := a.value("protocol")
	switch strings.ToLower(s) {
	case "802.1q", "0x8100":
		return v1.VlanProtocol_VLAN_PROTOCOL_8021Q
	case "802.1ad", "0x88a8":
		return v1.VlanProtocol_VLAN_PROTOCOL_8021AD
	}
	a.fail("argument %q is wrong: \"protocol\" is 802.1q or 802.1ad", s)
	return 0
}

func linkSet(_ *cli, a *args) *v1.ChangeRequest {
	set := &v1.LinkSet{}
	for a.more() {
		switch w := a.next(); {
		case w == "up", w == "down":
			a.onceOf("up", `"up" or "down"`)
			set.Up = new(w == "up")
		case w == "mtu":
			set.Mtu = new(a.number("mtu"))
		case matches(w, "address"):
			set.Mac = new(a.mac("address"))
		case w == "name":
			set.NewName = new(a.device("name"))
		case w == "netns":
			set.NewNetns = new(a.value("netns"))
		case unsupportedLinkWord(w):
			a.fail("%q is not supported yet", w)
		case setting.Devices.Has(w):
			set.Settings = append(set.Settings, settingWord(a, setting.Devices, w))
		default:
			if w == "dev" {
				w = a.value("dev")
			} else if set.Name != "" {
				a.fail("either \"dev\" is duplicate, or %q is a garbage: %s", w, elsewhere(w, true,
					meant(setting.Devices, w, "\"link help\" lists what can be set")))
			}
			a.checkDevice(w)
			set.Name = w
		}
	}
	if set.Name == "" {
		a.fail("not enough information: \"dev\" argument is required")
	}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_LinkSet{LinkSet: set}}
}

// unsupportedLinkWord tells keywords of "ip link set" that must not be taken for the name of a link.
func unsupportedLinkWord(w string) bool {
	switch w {
	case "arp", "multicast", "allmulticast", "promisc", "trailers", "txqueuelen", "qlen", "broadcast", "brd",
		"alias", "group", "master", "nomaster", "vf", "xdp", "type", "index":
		return true
	}
	return false
}

func linkDelete(_ *cli, a *args) *v1.ChangeRequest {
	del := &v1.LinkDelete{}
	for a.more() {
		switch w := a.next(); w {
		case "type":
			a.value("type")
		default:
			del.Name = a.bareDevice(w)
		}
	}
	if del.Name == "" {
		a.fail("not enough information: the name of the link is missing")
	}
	return &v1.ChangeRequest{Op: &v1.ChangeRequest_LinkDelete{LinkDelete: del}}
}

// bareDevice is a device's name with or without the word "dev" before it.
func (a *args) bareDevice(w string) string {
	if w == "dev" {
		return a.device("dev")
	}
	a.once("dev")
	a.checkDevice(w)
	return w
}

func (c *cli) linkShow(ctx context.Context, a *args) error {
	req := &v1.ListLinksRequest{Netns: c.netns, Stats: c.stats}
	upOnly := false
	for a.more() {
		switch w := a.next(); w {
		case "up":
			upOnly = true
		case "type":
			req.Type = a.value("type")
		default:
			req.Dev = a.bareDevice(w)
		}
	}
	if err := a.done(); err != nil {
		return err
	}
	stream, err := c.client.ListLinks(ctx, req)
	if err != nil {
		return err
	}
	return show(c, stream, (*v1.ListLinksResponse).GetLinks, func(l *v1.Link) (record, bool) {
		return c.linkRecord(l, true), l.Up || !upOnly
	})
}
