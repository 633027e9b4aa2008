package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"nsrouter/dataplane/counters"
	"nsrouter/nstable"
)

// lookInterval is how often the host is looked at without being asked to: for what no message told, and for checksums.
const lookInterval = 5 * time.Second

// watch follows the host's interfaces until ctx is done: links that come and go, interfaces that vanish and come back.
// Messages only say that something happened; what, is read from the host, so that a lost message costs a moment and
// nothing else.
func (p *ports) watch(ctx context.Context) {
	warned := make(map[nstable.DeviceID]uint64)
	for ctx.Err() == nil {
		updates := make(chan netlink.LinkUpdate, 256)
		done := make(chan struct{})
		err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{
			ErrorCallback: func(error) {}, // the channel closes: subscribe and look again
		})
		if err != nil {
			p.log.Warn("follow the host's interfaces", zap.Error(err))
			updates = nil
		}
		p.follow(ctx, updates, warned)
		close(done)
	}
}

// follow looks at the host after each burst of messages and every now and then, until the subscription breaks.
func (p *ports) follow(ctx context.Context, updates chan netlink.LinkUpdate, warned map[nstable.DeviceID]uint64) {
	ticker := time.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		p.look()
		select {
		case <-ctx.Done():
			return
		case _, ok := <-updates:
			if !ok {
				return
			}
			for len(updates) > 0 {
				<-updates
			}
		case <-ticker.C:
			p.warnPartialSums(warned)
			if updates == nil {
				return
			}
		}
	}
}

// look compares the attached and the missing interfaces with the host's, and tells the table what has changed.
func (p *ports) look() {
	links, err := netlink.LinkList()
	if err != nil {
		return // looked at again after lookInterval
	}
	byName := make(map[string]netlink.Link, len(links))
	for _, l := range links {
		byName[l.Attrs().Name] = l
	}
	for _, tell := range p.changes(byName) {
		tell()
	}
}

// changes brings the ports up to date with the host and returns what the table has to hear, which is told without the
// lock: the table may call back.
func (p *ports) changes(host map[string]netlink.Link) (tell []func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, a := range p.attached {
		l := host[a.spec.Host]
		if l == nil || l.Attrs().Index != a.iface.HostIndex() || a.iface.Gone() {
			p.log.Warn("the interface has vanished; its device waits for it", zap.String("interface", a.spec.Host))
			if err := p.detach(id); err != nil {
				p.log.Warn("release a vanished interface", zap.String("interface", a.spec.Host), zap.Error(err))
			}
			p.missing[id] = a.spec
			tell = append(tell, func() { p.tell("interface gone", p.table.PortGone(id)) })
			continue
		}
		if now := running(l); now != a.carrier {
			a.carrier = now
			tell = append(tell, func() { p.tell("carrier", p.table.SetCarrier(id, now)) })
		}
	}
	for id, spec := range p.missing {
		if host[spec.Host] == nil {
			continue
		}
		info, err := p.attach(id, spec)
		if err != nil {
			p.log.Debug("attach again", zap.String("interface", spec.Host), zap.Error(err))
			continue
		}
		p.log.Info("the interface is back", zap.String("interface", spec.Host))
		tell = append(tell, func() { p.back(id, info) })
	}
	return tell
}

// back tells the table of an interface that is attached again, and configures it for its device.
func (p *ports) back(id nstable.DeviceID, info nstable.PortInfo) {
	if err := p.table.PortBack(id, info); err != nil {
		p.tell("interface back", err)
		return
	}
	if d := p.table.View().Device(id); d != nil {
		p.tell("configure", p.configure(id, nstable.PortConfig{Up: d.Up, MTU: d.MTU, MAC: d.MAC}))
	}
}

func (p *ports) tell(what string, err error) {
	if err != nil && nstable.KindOf(err) != nstable.NotFound { // deleted meanwhile
		p.log.Warn(what, zap.Error(err))
	}
}

// running tells whether the interface is up and has a carrier. IFF_RUNNING would say the same up to a second later.
func running(l netlink.Link) bool {
	return l.Attrs().RawFlags&(unix.IFF_UP|unix.IFF_LOWER_UP) == unix.IFF_UP|unix.IFF_LOWER_UP
}

// warnPartialSums names, once each, the ports whose peers send TCP or UDP with nothing but a pseudo-header's sum.
func (p *ports) warnPartialSums(warned map[nstable.DeviceID]uint64) {
	for _, d := range p.table.View().Devices {
		if d == nil || d.Kind != nstable.XDP {
			continue
		}
		var t counters.Totals
		d.Counters.Sum(&t)
		if t.PartialSum > warned[d.ID]+8 && warned[d.ID] == 0 {
			warned[d.ID] = t.PartialSum
			p.log.Warn(
				fmt.Sprintf(
					"what comes in by %s has unfinished TCP and UDP checksums: its peer leaves them to hardware that is not there; "+
						"ethtool -K PEER tx off",
					d.Name,
				),
				zap.Uint64("sampled packets", t.PartialSum),
			)
		}
	}
}
