package main

import (
	"bytes"
	"encoding/json"
	"strings"
)

// record is one object of a listing, in both forms. The text ends with a newline.
type record struct {
	json any
	text func() string
	// lines tells that the text stays as it is with -o.
	lines bool
}

// receiver is a stream of messages, each with some rows.
type receiver[M any] interface {
	Receive() bool
	Msg() M
	Err() error
	Close() error
}

// show prints the rows of a stream as they come. row makes a row's record, or says that it is not wanted.
func show[M, R any](c *cli, stream receiver[M], rows func(M) []R, row func(R) (record, bool)) error {
	p := printer{c: c}
	if err := receive(&p, stream, rows, row); err != nil {
		return err
	}
	return p.end()
}

// receive prints the rows of a stream that is a part of a listing.
func receive[M, R any](p *printer, stream receiver[M], rows func(M) []R, row func(R) (record, bool)) error {
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		for _, r := range rows(stream.Msg()) {
			rec, wanted := row(r)
			if !wanted {
				continue
			}
			if err := p.add(rec); err != nil {
				return err
			}
		}
	}
	return stream.Err()
}

// print prints a listing of few rows.
func (c *cli) print(records ...record) error {
	p := printer{c: c}
	for _, r := range records {
		if err := p.add(r); err != nil {
			return err
		}
	}
	return p.end()
}

// printer writes one listing: text as it is, JSON as one array. An array is begun with the first row, so that an error
// before it leaves nothing on standard output.
type printer struct {
	c    *cli
	rows int
}

func (p *printer) add(r record) error {
	out := p.c.out
	if !p.c.json {
		text := r.text()
		if p.c.oneline && !r.lines {
			text = strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\\") + "\n"
		}
		_, err := out.WriteString(text)
		return err
	}
	b, err := p.c.marshal(r.json)
	if err != nil {
		return err
	}
	sep := ","
	if p.rows == 0 {
		sep = "["
	}
	p.rows++
	_, _ = out.WriteString(sep) // a bufio.Writer keeps its first error for the next Write
	_, err = out.Write(b)
	return err
}

func (p *printer) end() error {
	out := p.c.out
	if p.c.json {
		if p.rows == 0 {
			_, _ = out.WriteString("[")
		}
		_, _ = out.WriteString("]\n")
	}
	return out.Flush()
}

// marshal is JSON without the escapes that are meant for web pages.
func (c *cli) marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if c.pretty {
		e.SetIndent("", "    ")
	}
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
