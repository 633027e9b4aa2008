package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress draws one line about a long command on a terminal, again and again. Where there is no terminal it does nothing.
type progress struct {
	out   *os.File // nil: no terminal
	verb  string
	since time.Time // of the verb
	drawn time.Time
}

// redraw is how long a line stays.
const redraw = 100 * time.Millisecond

func newProgress(out io.Writer) *progress {
	return &progress{out: terminal(out)}
}

// show tells how far it is: how many routes are done, and which part of all, below 0 where that is not known.
func (p *progress) show(verb string, routes int, part float64) {
	if p.out == nil {
		return
	}
	now := time.Now()
	if p.verb != verb {
		p.verb, p.since = verb, now
	}
	if now.Sub(p.drawn) < redraw {
		return
	}
	p.drawn = now
	width, _, err := term.GetSize(int(p.out.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	line := progressLine(width-1, verb, routes, float64(routes)/max(now.Sub(p.since).Seconds(), 1e-3), part)
	fmt.Fprint(p.out, "\r"+line+"\x1b[K")
}

// clear takes the line away.
func (p *progress) clear() {
	if p.out != nil && !p.drawn.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
		p.drawn = time.Time{}
	}
}

// part is done of all, or -1 where all is not known.
func part(done, all int64) float64 {
	if all <= 0 {
		return -1
	}
	return min(float64(done)/float64(all), 1)
}

// progressLine is what show draws, in width columns at most. The bar has what the words leave.
func progressLine(width int, verb string, routes int, rate, part float64) string {
	text := fmt.Sprintf("%s %d routes, %.0f/s", verb, routes, rate)
	if part >= 0 {
		text = fmt.Sprintf("%s %3.0f%%", text, part*100)
		if room := min(width-len(text)-3, 40); room >= 8 {
			full := int(part * float64(room))
			text += " [" + strings.Repeat("#", full) + strings.Repeat("-", room-full) + "]"
		}
	}
	return text[:min(len(text), max(width, 0))]
}
