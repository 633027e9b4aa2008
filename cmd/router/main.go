// Command router is the daemon ("router run") and its command line, which speaks the grammar of ip(8).
//
// The daemon's commands are cobra's. Everything else goes through a layer of its own, since iproute2's grammar
// (keywords without dashes, abbreviations with a fixed precedence, options with one dash) is not that of cobra:
// [parseOptions] takes the options before the object, and the tables in objects.go find object and command.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"nsrouter/ctl/client"
)

// Exit statuses, the same as those of ip(8) but for its 255.
const (
	statusUsage   = 1 // the command line is wrong
	statusRefused = 2 // the daemon refused it or could not be reached
)

// usageError is a fault of the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, v ...any) error { return &usageError{fmt.Sprintf(format, v...)} }

// errReported ends the program with a status after everything was said already.
type errReported struct{ status int }

func (e errReported) Error() string { return fmt.Sprintf("status %d", e.status) }

// cli is one run of the program.
type cli struct {
	options
	in  io.Reader
	out *bufio.Writer
	err io.Writer
	// terminal is what out writes to, if that is a terminal.
	terminal *os.File

	objects []object
	client  *client.Client
	queue   *queue // of changes, while a batch runs
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the whole program but for the process around it.
func run(ctx context.Context, words []string, in io.Reader, out, errOut io.Writer) int {
	c := &cli{in: in, out: bufio.NewWriter(out), err: errOut, terminal: terminal(out), objects: objects()}
	c.socket = client.SocketFromEnv()
	rest, err := c.parseOptions(words)
	if err == nil {
		if len(rest) > 0 && isCobra(rest[0]) {
			err = executeCobra(ctx, words, out, errOut)
		} else {
			err = c.execute(ctx, rest)
		}
	}
	if flushErr := c.out.Flush(); err == nil {
		err = flushErr
	}
	return c.status(err)
}

// execute does what the words after the options ask for.
func (c *cli) execute(ctx context.Context, words []string) error {
	switch {
	case c.version:
		printVersion(c.out)
		return nil
	case c.help:
		_, err := c.out.WriteString(usage())
		return err
	}
	c.client = client.NewIn(c.socket, c.netns)
	defer c.client.Close()
	switch {
	case c.batch != "":
		return c.runBatch(ctx)
	case len(words) == 0:
		fmt.Fprint(c.err, usage())
		return errReported{statusUsage}
	}
	return c.dispatch(ctx, words)
}

// status reports an error and returns the exit status that belongs to it.
func (c *cli) status(err error) int {
	var reported errReported
	var usage *usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &reported):
		return reported.status
	case errors.As(err, &usage):
		fmt.Fprintf(c.err, "Error: %s\n", oneLine(usage.text))
		return statusUsage
	}
	fmt.Fprintf(c.err, "Error: %s\n", oneLine(c.message(err)))
	return statusRefused
}

func (c *cli) message(err error) string { return client.Message(err, c.socket) }

// oneLine keeps the contract that a reason is one line.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
