package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// queue sends the changes of a batch over one stream, many to a message; of the routes that follow each other many, it
// makes a load. The answer comes with the end of a stream, so whatever must come after the changes calls finish first.
type queue struct {
	c       *cli
	line    int // of the command being read
	stream  *connect.ClientStreamForClientSimple[v1.BatchRequest, v1.BatchResponse]
	pending []*v1.ChangeRequest
	bytes   int   // of those
	lines   []int // by index of the stream: where the change was read
	load    *routeLoad
	text    string // of the command being read
	failed  int    // exit status so far, with -force

	run       runKey // of the routes that follow each other just now
	runLength int
}

// chunk is how many changes go into one message.
const chunk = 4096

// chunkBytes is how large they may be together: the daemon takes no message above 1 MiB of those who are not root.
const chunkBytes = 512 << 10

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
	err := c.eachCommand(ctx, readBlocks(ctx, in))
	if err == nil {
		err = c.queue.finish(ctx)
	}
	if c.queue.failed != 0 && (err == nil || errors.Is(err, errStop)) {
		return errReported{c.queue.failed}
	}
	return err
}

// eachCommand runs the commands as they come. A pause of the input finishes the changes before it.
func (c *cli) eachCommand(ctx context.Context, in <-chan inputBlock) error {
	pause := time.NewTimer(idle)
	defer pause.Stop()
	var lines commandLines
	for {
		block, ok, err := c.nextBlock(ctx, in, pause)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		for number, text := range lines.cut(block.text) {
			if err := c.batchCommand(ctx, number, text); err != nil {
				return err
			}
		}
		if block.err != nil {
			return c.batchError(ctx, lines.number+1, block.err)
		}
	}
	if lines.joined != "" && ctx.Err() == nil {
		return c.batchCommand(ctx, lines.number, lines.joined)
	}
	return ctx.Err()
}

// nextBlock waits for input; ok is false at its end.
func (c *cli) nextBlock(
	ctx context.Context, in <-chan inputBlock, pause *time.Timer,
) (b inputBlock, ok bool, err error) {
	select {
	case b, ok = <-in:
		return b, ok, nil
	default:
	}
	pause.Reset(idle)
	select {
	case b, ok = <-in:
		return b, ok, nil
	case <-pause.C:
	}
	if err := c.queue.finish(ctx); err != nil {
		return b, false, err
	}
	select {
	case b, ok = <-in:
		return b, ok, nil
	case <-ctx.Done():
		return b, false, ctx.Err()
	}
}

// batchCommand runs one command; its own options hold for it alone.
func (c *cli) batchCommand(ctx context.Context, number int, text string) error {
	c.queue.line, c.queue.text = number, text
	if known, err := c.queue.loadText(text); known {
		return err
	}
	words, err := splitWords(text)
	if err == nil {
		if len(words) == 0 {
			return nil
		}
		err = c.batchWords(ctx, words)
	}
	if err == nil || errors.Is(err, errStop) || ctx.Err() != nil {
		return err
	}
	return c.batchError(ctx, number, err)
}

// batchError reports what is wrong with a line, after the changes before it were made.
func (c *cli) batchError(ctx context.Context, number int, err error) error {
	if finishErr := c.queue.finish(ctx); finishErr != nil {
		return finishErr
	}
	return c.queue.report(number, err)
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
	if known, err := q.loadChange(ctx, req); known {
		return err
	}
	if err := q.endLoad(); err != nil {
		return err
	}
	q.pending = append(q.pending, req)
	q.lines = append(q.lines, q.line)
	if q.bytes += proto.Size(req); len(q.pending) >= chunk || q.bytes >= chunkBytes {
		if err := q.send(ctx); err != nil {
			return err
		}
	}
	return q.countRun(ctx, req)
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
	q.pending, q.bytes = nil, 0
	if errors.Is(err, io.EOF) {
		return q.finishChanges(ctx)
	}
	return err
}

// finish waits until all queued changes are made, and reports those that failed.
func (q *queue) finish(ctx context.Context) error {
	if err := q.endLoad(); err != nil {
		return err
	}
	return q.finishChanges(ctx)
}

func (q *queue) finishChanges(ctx context.Context) error {
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
	q.stream, q.lines, q.pending, q.bytes = nil, nil, nil, 0
	if err != nil {
		return err
	}
	return q.reportAll(answer.Failures, lines)
}

// reportAll reports the failures of a stream; lines are where its changes were read.
func (q *queue) reportAll(failures []*v1.BatchFailure, lines []int) error {
	for _, f := range failures {
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
