package main

import (
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// options are those before the object.
type options struct {
	socket, netns, batch         string
	json, pretty, stats, details bool
	oneline, brief, force        bool
	version, help, allNetns      bool
	family                       v1.Family
}

// optionNames are in iproute2's order: of several that a shortened option fits, the first is meant (-b is -batch, -br
// is -brief). -h is -help here, as nearly everywhere but in ip(8).
func optionNames() []string {
	return []string{
		"help", "family", "4", "6", "stats", "statistics", "details", "oneline", "Version", "force", "batch", "brief",
		"json", "color", "netns", "Numeric", "pretty", "socket", "all-netns",
	}
}

// findOption finds the full name of an option with one dash or two.
func findOption(word string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-")
	if name == "" {
		return ""
	}
	for _, full := range optionNames() {
		if strings.HasPrefix(full, name) {
			return full
		}
	}
	return ""
}

// parseOptions takes the options from the front of words and returns the rest. What it finds is added to c.options.
func (c *cli) parseOptions(words []string) ([]string, error) {
	a := &args{words: words}
	for a.more() && len(a.peek()) > 1 && a.peek()[0] == '-' {
		word := a.next()
		if word == "--" {
			break
		}
		word, value, joined := strings.Cut(word, "=")
		name := findOption(word)
		if joined {
			switch name {
			case "family", "batch", "netns", "socket":
				a.words, a.at = append([]string{value}, a.rest()...), 0
			case "color":
			default:
				return nil, usagef("option %q takes no value, try \"router -help\"", word)
			}
		}
		if !c.setOption(name, word, a) {
			return nil, usagef("option %q is unknown, try \"router -help\"", word)
		}
	}
	return a.rest(), a.err
}

func (c *cli) setOption(name, word string, a *args) bool {
	switch name {
	case "help":
		c.help = true
	case "family":
		c.setFamily(a.value(word), a)
	case "4":
		c.family = v1.Family_FAMILY_IPV4
	case "6":
		c.family = v1.Family_FAMILY_IPV6
	case "stats", "statistics":
		c.stats = true
	case "details":
		c.details = true
	case "oneline":
		c.oneline = true
	case "Version":
		c.version = true
	case "force":
		c.force = true
	case "batch":
		c.batch = a.value(word)
	case "brief":
		c.brief = true
	case "json":
		c.json = true
	case "netns":
		c.netns = a.value(word)
	case "pretty":
		c.pretty = true
	case "socket":
		c.socket = a.value(word)
	case "all-netns":
		c.allNetns = true
	case "color", "Numeric": // scripts give them; there is nothing to colour, and nothing is resolved
	default:
		return false
	}
	return true
}

func (c *cli) setFamily(name string, a *args) {
	switch name {
	case "inet":
		c.family = v1.Family_FAMILY_IPV4
	case "inet6":
		c.family = v1.Family_FAMILY_IPV6
	default:
		a.fail("argument %q is wrong: the family is inet or inet6", name)
	}
}
