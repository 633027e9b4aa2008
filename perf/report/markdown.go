package main

import (
	"bytes"
	"fmt"
	"strings"
)

// pictures is the directory of the figures beside the document.
const pictures = "performance"

// markdown is the section as a part of the document.
func (s *section) markdown() string {
	var out strings.Builder
	for _, f := range s.figures {
		fmt.Fprintf(&out, "![%s](%s/%s.svg)\n\n", f.caption, pictures, f.name)
	}
	for _, t := range s.tables {
		if t.caption != "" {
			fmt.Fprintf(&out, "%s\n\n", t.caption)
		}
		out.WriteString(t.markdown())
		out.WriteByte('\n')
	}
	if out.Len() == 0 {
		return "Not measured in the committed results.\n"
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}

func (t *table) markdown() string {
	var out strings.Builder
	line := func(cells []string) {
		out.WriteByte('|')
		for _, c := range cells {
			out.WriteString(" " + strings.ReplaceAll(c, "|", `\|`) + " |")
		}
		out.WriteByte('\n')
	}
	line(t.columns)
	rule := "|"
	for i := range t.columns {
		if i < t.left {
			rule += "---|"
		} else {
			rule += "---:|"
		}
	}
	out.WriteString(rule + "\n")
	for _, row := range t.rows {
		line(row)
	}
	return out.String()
}

func begin(id string) string { return "<!-- begin generated: " + id + " -->" }
func end(id string) string   { return "<!-- end generated: " + id + " -->" }

// regenerate puts the sections between their markers. The document must have the markers of all sections, once, and no others.
func regenerate(document []byte, sections []section) ([]byte, error) {
	for _, s := range sections {
		before, rest, ok := bytes.Cut(document, []byte(begin(s.id)+"\n"))
		_, after, closed := bytes.Cut(rest, []byte(end(s.id)+"\n"))
		if !ok || !closed {
			return nil, fmt.Errorf("it has no lines %q and %q, in this order, for section %s: add them", begin(s.id), end(s.id), s.id)
		}
		text := begin(s.id) + "\n" + s.markdown() + end(s.id) + "\n"
		document = bytes.Join([][]byte{before, []byte(text), after}, nil)
	}
	if n := bytes.Count(document, []byte("<!-- begin generated: ")); n != len(sections) {
		return nil, fmt.Errorf("it has %d beginnings of generated sections, want %d: take the others away", n, len(sections))
	}
	return document, nil
}
