package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// TestAuditLogger: lines that are alike are all written, whole, with Sync or at the end.
func TestAuditLogger(t *testing.T) {
	config := logConfig()
	config.Encoding = "json"
	var out bytes.Buffer
	log, stop := auditLogger(&config, &out)
	const many = 5000
	for range many {
		log.Info("change")
	}
	if err := log.Sync(); err != nil {
		t.Error(err)
	}
	if n := strings.Count(out.String(), "\n"); n != many {
		t.Errorf("%d lines of %d after Sync", n, many)
	}
	log.Info("change")
	stop()
	n := 0
	for text := range strings.Lines(out.String()) {
		var line struct{ Logger, Msg string }
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Logger != "audit" || line.Msg != "change" {
			t.Fatalf("%s: %v", text, err)
		}
		n++
	}
	if n != many+1 {
		t.Errorf("%d lines of %d at the end", n, many+1)
	}
}
