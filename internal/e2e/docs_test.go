package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestNamespacesPage: the commands that docs/namespaces.md shows do what they are said to do, section by section, in a
// namespace red that is as the first section makes it.
func TestNamespacesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/namespaces.md")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	ran := 0
	for i, section := range strings.Split(string(page), "\n## ") {
		if i > 0 {
			w.r.Must("netns add red\n-n red link add d0 type dummy\n-n red addr add 192.0.2.1/24 dev d0\n-n red link set d0 up")
		}
		for line := range strings.Lines(section) {
			command, example := strings.CutPrefix(line, "    router ")
			if example {
				command, _, _ = strings.Cut(command, "  #")
				w.shown(strings.Fields(command))
				ran++
			}
		}
		for _, ns := range []string{"red", "rouge", "shared"} {
			w.r.CLI("netns", "del", ns) // those that are there
		}
	}
	if ran < 30 {
		t.Errorf("%d commands ran", ran)
	}
}

// shown runs an example. Names that stand for others are replaced.
func (w *world) shown(words []string) {
	w.t.Helper()
	for i, word := range words {
		switch {
		case word == "4711":
			words[i] = "self"
		case strings.HasPrefix(word, "user:"):
			words[i] = "user:1000"
		case word == "monitor": // it lasts
			m := w.r.Host.Start(w.r.Binary, append([]string{"--socket", w.r.Socket}, words...)...)
			time.Sleep(200 * time.Millisecond)
			m.Signal(unix.SIGINT)
			if status, err := m.Wait(5 * time.Second); err != nil || status != 0 {
				w.t.Errorf("router %s: status %d, %v: %s", strings.Join(words, " "), status, err, m.Output())
			}
			return
		}
	}
	if res := w.r.CLI(words...); res.Status != 0 {
		w.t.Errorf("router %s: status %d: %s%s", strings.Join(words, " "), res.Status, res.Stdout, res.Stderr)
	}
}

// TestNamedTests: the tests that the pages name are there.
func TestNamedTests(t *testing.T) {
	there := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range function.FindAllSubmatch(source, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, path := range append(pages, "../../README.md", "../../ARCHITECTURE.md") {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(page), -1) {
			if named++; !there[name] {
				t.Errorf("%s names %s, which is not there", filepath.Base(path), name)
			}
		}
	}
	if named < 50 {
		t.Errorf("only %d names found", named)
	}
}
