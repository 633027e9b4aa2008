package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// queue sends the changes of a batch over one stream, many to a message. The answer comes with the end of the stream,
// so whatever must come after the changes calls finish first.
type queue struct {
	c       *cli
	line    int // of the command being read
	stream  *connect.ClientStreamForClientSimple[v1.BatchRequest, v1.BatchResponse]
	pending []*v1.ChangeRequest
	lines   []int // by index of the stream: where the change was read
	failed  int   // exit status so far, with -force
}

// chunk is how many changes go into one message.
const chunk = 4096

// idle is how long the input may pause before the changes read so far are finished, so that a program that writes
// commands one by one sees each of them done.
const idle = 5 * time.Millisecond

// errStop ends a batch at a failure that was reported.
var errStop = errors.New("stopped")

// runBatch reads commands, a line each.
func (c *cli) runBatch(ctx context.Context) error {
	in, name := c.in, c.batch
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return usagef("cannot open file %q for reading: %v", name, errors.Unwrap(err))
		}
		defer f.Close()
		in = f
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.queue = &queue{c: c}
	err := c.eachCommand(ctx, readCommands(ctx, in))
	if err == nil {
		err = c.queue.finish(ctx)
	}
	if c.queue.failed != 0 && (err == nil || errors.Is(err, errStop)) {
		return errReported{c.queue.failed}
	}
	return err
}

// eachCommand runs the commands as they come. A pause of the input finishes the changes before it.
func (c *cli) eachCommand(ctx context.Context, in <-chan batchLine) error {
	pause := time.NewTimer(idle)
	defer pause.Stop()
	for {
		var line batchLine
		var ok bool
		select {
		case line, ok = <-in:
		default:
			pause.Reset(idle)
			select {
			case line, ok = <-in:
			case <-pause.C:
				if err := c.queue.finish(ctx); err != nil {
					return err
				}
				select {
				case line, ok = <-in:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		if !ok {
			return ctx.Err()
		}
		if err := c.batchCommand(ctx, line); err != nil {
			return err
		}
	}
}

// batchCommand runs one command; its own options hold for it alone.
func (c *cli) batchCommand(ctx context.Context, line batchLine) error {
	if line.err == nil && len(line.words) == 0 {
		return nil
	}
	c.queue.line = line.number
	err := line.err
	if err == nil {
		err = c.batchWords(ctx, line.words)
	}
	if err == nil || errors.Is(err, errStop) || ctx.Err() != nil {
		return err
	}
	// The changes before this line are made, or fail, before it is reported.
	if finishErr := c.queue.finish(ctx); finishErr != nil {
		return finishErr
	}
	return c.queue.report(line.number, err)
}

func (c *cli) batchWords(ctx context.Context, words []string) error {
	saved := c.options
	defer func() { c.options = saved }()
	if words[0][0:1] == "-" {
		var err error
		if words, err = c.parseOptions(words); err != nil {
			return err
		}
		if len(words) == 0 || c.batch != saved.batch || c.socket != saved.socket {
			return usagef("a line of a batch is OPTIONS OBJECT COMMAND, without -batch and --socket")
		}
	}
	return c.dispatch(ctx, words)
}

// report prints what went wrong at a line; without -force it stops the batch.
func (q *queue) report(line int, err error) error {
	where := fmt.Sprintf(" (Command failed %s:%d)", q.c.batch, line)
	var usage *usageError
	if errors.As(err, &usage) {
		err = &usageError{usage.text + where}
	} else {
		err = errors.New(q.c.message(err) + where)
	}
	if flushErr := q.c.out.Flush(); flushErr != nil {
		return flushErr
	}
	q.failed = max(q.failed, q.c.status(err))
	if q.c.force {
		return nil
	}
	return errStop
}

// add queues a change.
func (q *queue) add(ctx context.Context, req *v1.ChangeRequest) error {
	q.pending = append(q.pending, req)
	q.lines = append(q.lines, q.line)
	if len(q.pending) < chunk {
		return nil
	}
	return q.send(ctx)
}

// send sends what is pending. A stream that the daemon ended is finished, which tells why.
func (q *queue) send(ctx context.Context) error {
	if q.stream == nil {
		stream, err := q.c.client.Batch(ctx)
		if err != nil {
			return err
		}
		q.stream = stream
	}
	err := q.stream.Send(&v1.BatchRequest{Changes: q.pending, Force: q.c.force})
	q.pending = nil
	if errors.Is(err, io.EOF) {
		return q.finish(ctx)
	}
	return err
}

// finish waits until all queued changes are made, and reports those that failed.
func (q *queue) finish(ctx context.Context) error {
	if len(q.pending) > 0 {
		if err := q.send(ctx); err != nil {
			return err
		}
	}
	if q.stream == nil {
		return nil
	}
	answer, err := q.stream.CloseAndReceive()
	lines := q.lines
	q.stream, q.lines, q.pending = nil, nil, nil
	if err != nil {
		return err
	}
	for _, f := range answer.Failures {
		line := 0
		if f.Index < uint64(len(lines)) {
			line = lines[f.Index]
		}
		if err := q.report(line, errors.New(f.Message)); err != nil {
			return err
		}
	}
	return nil
}

// batchLine is one command: a line, or several joined by backslashes, of which number is the last.
type batchLine struct {
	number int
	words  []string
	err    error
}

// readAhead is how many commands are read before they are needed.
const readAhead = chunk

// maxLine bounds a command in bytes.
const maxLine = 1 << 20

// readCommands reads commands until the end of the input.
func readCommands(ctx context.Context, in io.Reader) <-chan batchLine {
	lines := make(chan batchLine, readAhead)
	go func() {
		defer close(lines)
		scan := bufio.NewScanner(in)
		scan.Buffer(make([]byte, 64<<10), maxLine)
		var line batchLine
		text := ""
		for scan.Scan() {
			line.number++
			text += scan.Text()
			if joined, more := strings.CutSuffix(text, "\\"); more && !strings.Contains(text, "#") {
				text = joined + " "
				continue
			}
			line.words, line.err = splitWords(text)
			text = ""
			select {
			case lines <- line:
			case <-ctx.Done():
				return
			}
		}
		line.words, line.err = splitWords(text)
		if err := scan.Err(); err != nil {
			line.err = fmt.Errorf("cannot read the batch: %w", err)
		}
		select {
		case lines <- line:
		case <-ctx.Done():
		}
	}()
	return lines
}
