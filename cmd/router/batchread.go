package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
)

// inputBlock is a part of the input of a batch: whole lines, as many as could be read at once, or at its end what was
// wrong.
type inputBlock struct {
	text string
	err  error
}

const (
	// blockSize is how much is read at once, in bytes; readAhead is how many blocks are read before they are needed.
	blockSize = 64 << 10
	readAhead = 16
	// maxLine bounds a line in bytes.
	maxLine = 1 << 20
)

// readBlocks reads until the end of the input.
func readBlocks(ctx context.Context, in io.Reader) <-chan inputBlock {
	blocks := make(chan inputBlock, readAhead)
	put := func(b inputBlock) bool {
		select {
		case blocks <- b:
			return true
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer close(blocks)
		scan := bufio.NewScanner(in)
		scan.Buffer(make([]byte, blockSize), maxLine)
		scan.Split(splitBlock)
		for scan.Scan() {
			if !put(inputBlock{text: scan.Text()}) {
				return
			}
		}
		if err := scan.Err(); err != nil {
			put(inputBlock{err: fmt.Errorf("cannot read the batch: %w", err)})
		}
	}()
	return blocks
}

// splitBlock is a bufio.SplitFunc for all whole lines that are there.
func splitBlock(data []byte, atEOF bool) (advance int, token []byte, err error) {
	end := bytes.LastIndexByte(data, '\n') + 1
	if end == 0 && atEOF && len(data) > 0 {
		end = len(data) // a last line without its end
	}
	if end == 0 {
		return 0, nil, nil
	}
	return end, data[:end], nil
}

// commandLines cuts blocks into commands: lines, of which those that end in a backslash go on in the next.
type commandLines struct {
	number int    // of the line read last
	joined string // what goes on
}

// cut returns the commands of a block with the number of their last line.
func (c *commandLines) cut(block string) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for block != "" {
			var text string
			text, block, _ = strings.Cut(block, "\n")
			c.number++
			if c.joined != "" {
				text = c.joined + text
				c.joined = ""
			}
			text = strings.TrimSuffix(text, "\r")
			if joined, more := strings.CutSuffix(text, "\\"); more && !strings.Contains(text, "#") {
				c.joined = joined + " "
				continue
			}
			if !yield(c.number, text) {
				return
			}
		}
	}
}
