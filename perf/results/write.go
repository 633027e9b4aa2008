package results

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"strconv"
)

// WriteCSV writes the header as comments, the names of the columns, and the records.
func WriteCSV(w io.Writer, header, columns []string, records [][]string) error {
	for _, line := range header {
		if _, err := fmt.Fprintln(w, "#", line); err != nil {
			return err
		}
	}
	c := csv.NewWriter(w)
	if err := c.Write(columns); err != nil {
		return err
	}
	return c.WriteAll(records)
}

// Float is v with six digits, as the CSV files have it.
func Float(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// Writable makes a file if there is none, so that a path that cannot be written is known before anything is measured. What stands
// in the file is left as it is.
func Writable(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// SaveTable is WriteCSV to a file.
func SaveTable(path string, header, columns []string, records [][]string) error {
	var text bytes.Buffer
	if err := WriteCSV(&text, header, columns, records); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}
