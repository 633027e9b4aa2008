package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

const dropsUsage = `
router drops [ show ] [ [ dev ] NAME ] [ all ] [ -w[atch] [ SECONDS ] ]
What was dropped of the packets that came in by each device, and why. Below the table each device adds up:
received = forwarded + delivered + held + dropped. "suppressed" counts answers that a rate limit kept back.
all shows every reason, -w again and again with the packets a second since the last time, -all-netns (before "drops")
the devices of all namespaces.
`

// dropsOptions are what "router drops" shows, and how often.
type dropsOptions struct {
	req   *v1.ListDropsRequest
	every time.Duration // 0: once
}

const (
	defaultWatch = time.Second
	minWatch     = 0.1   // seconds
	maxWatch     = 86400 // seconds
)

func (c *cli) drops(ctx context.Context, a *args) error {
	o, err := c.dropsOptions(a)
	if err != nil {
		return err
	}
	if o.every == 0 {
		devices, err := c.listDrops(ctx, o.req)
		if err != nil {
			return err
		}
		t := newDropsTable(o.req, devices, nil, 0)
		if c.json {
			return c.print(t.records()...)
		}
		_, err = c.out.WriteString(t.text())
		return err
	}
	return c.watchDrops(ctx, o)
}

func (c *cli) dropsOptions(a *args) (*dropsOptions, error) {
	o := &dropsOptions{req: &v1.ListDropsRequest{Netns: c.netns, AllNetns: c.allNetns}}
	if a.more() && (a.peek() == "show" || a.peek() == "list") {
		a.next()
	}
	for a.more() {
		switch w := a.next(); {
		case strings.HasPrefix(w, "-") && matches(strings.TrimLeft(w, "-"), "watch"):
			a.once("watch")
			o.every = a.interval(`"-watch" takes`)
		case strings.HasPrefix(w, "-") && len(w) > 2 && findOption(w) == "all-netns":
			o.req.AllNetns = true
		case w == "all":
			o.req.Zero = true
		case w == "dev":
			o.req.Dev = a.device("dev")
		default:
			a.once("dev")
			a.checkDevice(w)
			o.req.Dev = w
		}
	}
	return o, a.done()
}

// interval is the number of seconds that may follow; takes says what takes them.
func (a *args) interval(takes string) time.Duration {
	if !a.more() {
		return defaultWatch
	}
	n, err := strconv.ParseFloat(a.peek(), 64)
	if err != nil {
		return defaultWatch // the next word is another
	}
	if w := a.next(); !(n >= minWatch && n <= maxWatch) {
		a.fail("argument %q is wrong: %s seconds from %v to %v", w, takes, minWatch, maxWatch)
	}
	return time.Duration(n * float64(time.Second))
}

// listDrops asks once.
func (c *cli) listDrops(ctx context.Context, req *v1.ListDropsRequest) ([]*v1.DeviceDrops, error) {
	stream, err := c.client.ListDrops(ctx, req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.Close() }()
	var all []*v1.DeviceDrops
	for stream.Receive() {
		all = append(all, stream.Msg().Devices...)
	}
	return all, stream.Err()
}

// watchDrops shows the table until a signal comes: on a terminal always in the same place, else one below the other.
func (c *cli) watchDrops(ctx context.Context, o *dropsOptions) error {
	ticker := time.NewTicker(o.every)
	defer ticker.Stop()
	var last []*v1.DeviceDrops
	var asked time.Time
	for first := true; ; first = false {
		devices, err := c.listDrops(ctx, o.req)
		now := time.Now()
		if ctx.Err() != nil {
			return nil // a signal ended it
		}
		if err != nil {
			return err
		}
		t := newDropsTable(o.req, devices, last, now.Sub(asked))
		if err := c.showBlock(t, first); err != nil {
			return err
		}
		last, asked = devices, now
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// showBlock prints one of many tables.
func (c *cli) showBlock(t *dropsTable, first bool) error {
	switch {
	case c.json:
		return c.print(t.records()...)
	case c.terminal != nil:
		_, _ = c.out.WriteString(redrawn(t.text(), c.terminal, first))
	default:
		if !first {
			_ = c.out.WriteByte('\n')
		}
		_, _ = c.out.WriteString(t.text())
	}
	return c.out.Flush() // which has the first error
}

// redrawn is a text that takes the place of an earlier one on a terminal, cut to its height.
func redrawn(text string, terminal *os.File, first bool) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if _, height, err := term.GetSize(int(terminal.Fd())); err == nil && height > 2 && len(lines) >= height {
		cut := len(lines) - (height - 2)
		lines = append(lines[:height-2], fmt.Sprintf("... %d lines more", cut))
	}
	const home, clearAll, clearLine, clearBelow = "\x1b[H", "\x1b[2J", "\x1b[K", "\x1b[J"
	s := home
	if first {
		s += clearAll
	}
	return s + strings.Join(lines, clearLine+"\n") + clearLine + "\n" + clearBelow
}

// terminal is w, if that is a terminal.
func terminal(w io.Writer) *os.File {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// dropJSON is one reason of one device.
type dropJSON struct {
	IfName      string   `json:"ifname"`
	Reason      string   `json:"reason"`
	Packets     uint64   `json:"packets"`
	PerSecond   *float64 `json:"per_second,omitempty"` // while watching, from the second time on
	Explanation string   `json:"explanation"`
	Netns       string   `json:"netns"`
}

// dropsTable is one answer of the daemon, compared with an earlier one while watching.
type dropsTable struct {
	rows    []dropJSON
	devices []*v1.DeviceDrops
	rates   bool
	netns   bool // devices of several namespaces
}

// newDropsTable compares an answer with the last one, as long before as passed says: nil where there is none.
func newDropsTable(req *v1.ListDropsRequest, devices, last []*v1.DeviceDrops, passed time.Duration) *dropsTable {
	t := &dropsTable{devices: devices, rates: last != nil, netns: req.AllNetns}
	type key struct{ netns, dev, reason string }
	before := make(map[key]uint64)
	for _, d := range last {
		for _, r := range d.Drops {
			before[key{d.Netns, d.Dev, r.Reason}] = r.Packets
		}
	}
	for _, d := range devices {
		for _, r := range d.Drops {
			row := dropJSON{
				IfName: d.Dev, Reason: r.Reason, Packets: r.Packets, Explanation: r.Explanation, Netns: d.Netns,
			}
			if t.rates {
				rate := 0.0
				// One of the same name that counts from the start again is another device.
				if old := before[key{d.Netns, d.Dev, r.Reason}]; old <= r.Packets && passed > 0 {
					rate = float64(r.Packets-old) / passed.Seconds()
				}
				row.PerSecond = &rate
			}
			t.rows = append(t.rows, row)
		}
	}
	return t
}

func (t *dropsTable) records() []record {
	out := make([]record, len(t.rows))
	for i := range t.rows {
		out[i] = record{json: &t.rows[i]}
	}
	return out
}

// text is the table, and below it a line for each device that received something.
func (t *dropsTable) text() string {
	cells := [][]string{{"device", "reason", "packets"}}
	if t.rates {
		cells[0] = append(cells[0], "per-second")
	}
	cells[0] = append(cells[0], "explanation")
	for i := range t.rows {
		r := &t.rows[i]
		row := []string{t.device(r.Netns, r.IfName), r.Reason, strconv.FormatUint(r.Packets, 10)}
		if t.rates {
			row = append(row, strconv.FormatFloat(*r.PerSecond, 'f', 1, 64))
		}
		cells = append(cells, append(row, r.Explanation))
	}
	var b strings.Builder
	if len(t.rows) > 0 {
		writeColumns(&b, cells)
	}
	for _, d := range t.devices {
		if d.Received > 0 || len(d.Suppressed) > 0 {
			b.WriteString(t.sum(d))
		}
	}
	return b.String()
}

// device is the name of a device, with its namespace where those of several are shown.
func (t *dropsTable) device(netns, name string) string {
	if t.netns {
		return netns + "/" + name
	}
	return name
}

func (t *dropsTable) sum(d *v1.DeviceDrops) string {
	var dropped uint64
	for _, r := range d.Drops {
		dropped += r.Packets
	}
	return fmt.Sprintf("%s: received %d forwarded %d delivered %d held %d dropped %d%s\n",
		t.device(d.Netns, d.Dev), d.Received, d.Forwarded, d.Delivered, d.Held, dropped, suppressedText(d.Suppressed))
}

// suppressedText lists the answers that rate limits kept back, or is empty.
func suppressedText(all []*v1.SuppressedAnswers) string {
	if len(all) == 0 {
		return ""
	}
	s := " suppressed"
	for _, a := range all {
		s += fmt.Sprintf(" %s %d", a.Kind, a.Packets)
	}
	return s
}

// writeColumns aligns numbers to the right and words to the left; the last column has any length.
func writeColumns(b *strings.Builder, rows [][]string) {
	last := len(rows[0]) - 1
	widths := make([]int, last)
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], len(row[i]))
		}
	}
	const words = 2 // device and reason; then numbers
	for _, row := range rows {
		for i, width := range widths {
			if i < words {
				fmt.Fprintf(b, "%-*s  ", width, row[i])
			} else {
				fmt.Fprintf(b, "%*s  ", width, row[i])
			}
		}
		b.WriteString(row[last] + "\n")
	}
}
