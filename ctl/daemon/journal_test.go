package daemon

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"nsrouter/afxdp"
)

func reopen(t *testing.T, path string) (*journal, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zap.WarnLevel)
	j, err := openJournal(path, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	return j, logs
}

// TestJournal writes, reads after a death, and sees the file go with the last entry.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sock.interfaces")
	settings := []afxdp.Setting{
		{Kind: afxdp.Sysctl, Name: "ipv6/disable_ipv6", Old: "0"},
		{Kind: afxdp.MTU, Old: "1500"},
	}
	j, logs := reopen(t, path)
	if len(j.all()) != 0 {
		t.Errorf("a new journal has %v", j.all())
	}
	j.Save(5, settings)
	j.Save(6, settings[:1])
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	// A daemon that was killed while it wrote.
	if err := os.WriteFile(path+".new", []byte(`{"bo`), 0o600); err != nil {
		t.Fatal(err)
	}
	j, logs2 := reopen(t, path)
	if got := j.Load(5); !reflect.DeepEqual(got, settings) {
		t.Errorf("read %v, want %v", got, settings)
	}
	j.Save(5, nil)
	if got := j.all(); len(got) != 1 || !reflect.DeepEqual(got[6], settings[:1]) {
		t.Errorf("left: %v", got)
	}
	j.Save(6, nil)
	j.Save(6, nil)
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%v, %v", files, err)
	}
	if logs.Len()+logs2.Len() != 0 {
		t.Errorf("%v %v", logs.All(), logs2.All())
	}
}

// TestJournalOfOthers: the file of another boot or another Linux network namespace is not used, nor one that is damaged
// or another user's, of which the log tells. The next change replaces each.
func TestJournalOfOthers(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *journalContent)
		bytes  string
		uid    int
		warn   int
	}{
		"boot":      {change: func(c *journalContent) { c.Boot = "4ad2ed2f-ae0e-4b8c-8ba7-e4a25bcb4a1a" }},
		"namespace": {change: func(c *journalContent) { c.Netns++ }},
		"null":      {change: func(c *journalContent) { c.Interfaces = nil }},
		"damaged":   {bytes: `{"boot": 7`, warn: 1},
		"empty":     {bytes: " ", warn: 1},
		"user":      {uid: 65534, warn: 1},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sock.interfaces")
			settings := []afxdp.Setting{{Kind: afxdp.Up, Old: "false"}}
			j, _ := reopen(t, path)
			j.Save(5, settings)
			if test.change != nil {
				test.change(&j.content)
				data, err := json.Marshal(j.content)
				if err != nil {
					t.Fatal(err)
				}
				test.bytes = string(data)
			}
			if test.bytes != "" {
				if err := os.WriteFile(path, []byte(test.bytes), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chown(path, test.uid, 0); err != nil {
				t.Fatal(err)
			}
			j, logs := reopen(t, path)
			if len(j.all()) != 0 || logs.Len() != test.warn {
				t.Errorf("used: %v; log: %v", j.all(), logs.All())
			}
			j.Save(7, settings)
			if j, _ = reopen(t, path); len(j.all()) != 1 || len(j.Load(7)) != 1 {
				t.Errorf("written after that: %v", j.all())
			}
		})
	}
}

// TestJournalCannotWrite: a change that cannot be noted is made, and the log tells.
func TestJournalCannotWrite(t *testing.T) {
	j, logs := reopen(t, filepath.Join(t.TempDir(), "nosuch", "sock.interfaces"))
	j.Save(5, []afxdp.Setting{{Kind: afxdp.Up, Old: "false"}})
	if logs.Len() != 1 || len(j.Load(5)) != 1 {
		t.Errorf("%v", logs.All())
	}
}
