package daemon

import (
	"context"
	"fmt"
	"maps"
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
	warned := make(map[*counters.Device]bool)
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
func (p *ports) follow(ctx context.Context, updates chan netlink.LinkUpdate, warned map[*counters.Device]bool) {
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

// look compares the attached and the missing interfaces with the host's, and tells the table what has changed. One look
// at a time, from the first question to the last word, so that what is told is never older than what was told before.
func (p *ports) look() {
	p.looking.Lock()
	defer p.looking.Unlock()
	links, err := netlink.LinkList()
	if err != nil {
		return // looked at again after lookInterval
	}
	host := hostLinks{
		byIndex: make(map[int]netlink.Link, len(links)),
		byName:  make(map[string]netlink.Link, len(links)),
	}
	for _, l := range links {
		host.byIndex[l.Attrs().Index] = l
		for _, name := range l.Attrs().AltNames {
			host.byName[name] = l
		}
	}
	for _, l := range links {
		host.byName[l.Attrs().Name] = l
	}
	p.mu.Lock()
	tell := p.changes(host)
	p.mu.Unlock()
	for _, f := range tell {
		f() // without the lock: the table may call back
	}
}

// hostLinks are the host's interfaces, by all that an operator can name them with.
type hostLinks struct {
	byIndex map[int]netlink.Link
	byName  map[string]netlink.Link
}

// changes brings the ports up to date with the host and returns what the table has to hear; under the lock.
func (p *ports) changes(host hostLinks) (tell []func()) {
	for id, a := range p.attached {
		l := host.byIndex[a.iface.HostIndex()]
		if l == nil || a.iface.Gone() {
			p.log.Warn("the interface has vanished; its device waits for it", zap.String("interface", a.spec.Host))
			if err := p.detach(id); err != nil {
				p.log.Warn("release a vanished interface", zap.String("interface", a.spec.Host), zap.Error(err))
			}
			p.missing[id] = &absence{spec: a.spec}
			tell = append(tell, func() { p.tell("interface gone", p.table.PortGone(id)) })
			continue
		}
		if now := running(l); now != a.carrier {
			a.carrier = now
			tell = append(tell, func() { p.tell("carrier", p.table.SetCarrier(id, now)) })
		}
	}
	for id, m := range p.missing {
		l := host.byName[m.spec.Host]
		if l == nil || !m.due(l.Attrs().Index) {
			continue
		}
		info, err := p.attach(id, m.spec)
		if err != nil {
			m.failed(l.Attrs().Index)
			p.log.Info("the interface is there, but cannot be attached",
				zap.String("interface", m.spec.Host), zap.Error(err), zap.Duration("tried again after", m.wait))
			continue
		}
		p.log.Info("the interface is back", zap.String("interface", m.spec.Host))
		tell = append(tell, func() { p.back(id, info) })
	}
	return tell
}

// absence is a device that waits for its interface.
type absence struct {
	spec    nstable.XDPSpec
	ifindex int // of the interface that could not be attached; zero if none was tried
	wait    time.Duration
	next    time.Time
}

// How long to wait before an interface that could not be attached is tried again, twice as long each time. A try may
// itself change the interface for a moment, and so be seen as a reason to try again.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// due tells whether the interface is to be tried: at once if it is another one than that which failed.
func (m *absence) due(ifindex int) bool { return m.ifindex != ifindex || !time.Now().Before(m.next) }

func (m *absence) failed(ifindex int) {
	if m.ifindex != ifindex {
		m.wait = 0
	}
	m.ifindex = ifindex
	m.wait = min(max(2*m.wait, firstRetry), lastRetry)
	m.next = time.Now().Add(m.wait)
}

// back tells the table of an interface that is attached again, and configures it for its device.
func (p *ports) back(id nstable.DeviceID, info nstable.PortInfo) {
	if err := p.table.PortBack(id, info); err != nil {
		p.tell("interface back", err)
		return
	}
	if c, ok := p.table.PortConfig(id); ok {
		p.tell("configure", p.configure(id, c))
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
func (p *ports) warnPartialSums(warned map[*counters.Device]bool) {
	const unlikely = 1 // a good checksum looks like that once in 65,536 samples
	living := make(map[*counters.Device]bool)
	for _, d := range p.table.View().Devices {
		if d == nil || d.Kind != nstable.XDP {
			continue
		}
		living[d.Counters] = true
		var t counters.Totals
		if d.Counters.Sum(&t); t.PartialSum <= unlikely || warned[d.Counters] {
			continue
		}
		warned[d.Counters] = true
		p.log.Warn(fmt.Sprintf("what comes in by %s has unfinished TCP and UDP checksums: "+
			"its peer leaves them to hardware that is not there; ethtool -K PEER tx off", d.Name),
			zap.Uint64("sampled packets", t.PartialSum))
	}
	maps.DeleteFunc(warned, func(c *counters.Device, _ bool) bool { return !living[c] })
}
