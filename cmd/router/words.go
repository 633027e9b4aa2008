package main

import "strings"

// splitWords splits a line of a batch as iproute2 does: blanks separate, a word may be in single or double quotes, #
// begins a comment. There is no escape.
func splitWords(line string) ([]string, error) {
	words := make([]string, 0, 8)
	for {
		line = strings.TrimLeft(line, " \t\r")
		if line == "" || line[0] == '#' {
			return words, nil
		}
		if quote := line[0]; quote == '"' || quote == '\'' {
			end := strings.IndexByte(line[1:], quote)
			if end < 0 {
				return nil, usagef("the quote %c is not closed", quote)
			}
			words = append(words, line[1:1+end])
			line = line[end+2:]
			continue
		}
		end := strings.IndexAny(line, " \t\r#")
		if end < 0 {
			end = len(line)
		}
		words = append(words, line[:end])
		line = line[end:]
	}
}
