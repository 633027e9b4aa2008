package setting

import (
	"strings"
	"testing"
)

type example struct {
	limit uint32
	on    bool
	mode  uint8
}

func examples() Table[example] {
	return Table[example]{
		number("limit", "a limit", 2, 9, 5, func(e *example) *uint32 { return &e.limit }),
		toggle("rp-on", "a switch", func(e *example) *bool { return &e.on }),
		choice("mode", "a choice", []string{"off", "strict"}, func(e *example) *uint8 { return &e.mode }),
	}
}

func TestTableSet(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        example
		err         string
	}{
		{"limit", "7", example{limit: 7}, ""},
		{"limit", "0x9", example{limit: 9}, ""},
		{"limit", "1", example{limit: 5}, `"limit" takes a number from 2 to 9`},
		{"limit", "10", example{limit: 5}, `"limit" takes a number from 2 to 9`},
		{"limit", "", example{limit: 5}, `argument "" is wrong`},
		{"rp_on", "on", example{limit: 5, on: true}, ""},
		{"rp-on", "1", example{limit: 5, on: true}, ""},
		{"rp-on", "maybe", example{limit: 5}, `"rp-on" takes on or off`},
		{"mode", "strict", example{limit: 5, mode: 1}, ""},
		{"mode", "1", example{limit: 5, mode: 1}, ""},
		{"mode", "2", example{limit: 5}, `"mode" takes off or strict`},
		{"modes", "2", example{limit: 5}, `"modes" is not a setting: there are limit, rp-on, mode`},
	} {
		v := examples().Default()
		err := examples().Set(v, c.name, c.value)
		if *v != c.want {
			t.Errorf("%s %s: %+v, want %+v", c.name, c.value, *v, c.want)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s %s: error %v, want %q", c.name, c.value, err, c.err)
		}
	}
}

func TestTableValues(t *testing.T) {
	v := examples().Default()
	if got := examples().Values(v, false); len(got) != 0 {
		t.Errorf("changed of the default: %v", got)
	}
	if got := examples().Values(v, true); len(got) != 3 || got[0] != (Value{"limit", "5", Number, false}) {
		t.Errorf("all of the default: %v", got)
	}
	v.mode = 1
	if got := examples().Values(v, false); len(got) != 1 || got[0] != (Value{"mode", "strict", Word, true}) {
		t.Errorf("changed: %v", got)
	}
}

func TestTableUsage(t *testing.T) {
	rows := group("first", examples())
	rows[2].Group = "second"
	rows[2].Help = strings.Repeat("long words ", 10)
	const want = `  first:
    limit N (2 to 9, default 5)
          a limit
    rp-on { on | off } (default off)
          a switch
  second:
    mode { off | strict } (default off)
          long words long words long words long words long words long words long words long words long words
          long words
`
	if got := rows.Usage(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestTableAbout(t *testing.T) {
	for word, want := range map[string]string{
		"rp": "rp-on", "on": "rp-on", "rp_on": "rp-on", "mi": "limit", "o": "rp-on, mode", "ra": "",
	} {
		if got := examples().About(word).Names(); got != want {
			t.Errorf("about %q: %q, want %q", word, got, want)
		}
	}
}

func TestTableLike(t *testing.T) {
	for name, want := range map[string]string{
		"limits": "limit", "lmit": "limit", "rp_o": "rp-on", "RP-ON": "rp-on", "moed": "", "limitless": "", "": "", "up": "",
	} {
		if got := examples().Like(name); got != want {
			t.Errorf("like %q: %q, want %q", name, got, want)
		}
	}
}

// TestTables walks the real tables: names are unique and of the form that everybody relies on, and every value shown
// can be set again.
func TestTables(t *testing.T) {
	checkTable(t, Namespaces)
	checkTable(t, Devices)
}

func checkTable[T comparable](t *testing.T, table Table[T]) {
	t.Helper()
	seen := map[string]bool{}
	for _, r := range table {
		if seen[r.Name] || r.Name != strings.ToLower(Canonical(r.Name)) || strings.Contains(r.Name, " ") || r.Help == "" ||
			r.Group == "" {
			t.Errorf("setting %q: name taken or malformed, or no help or heading", r.Name)
		}
		seen[r.Name] = true
	}
	v, again := table.Default(), table.Default()
	for _, s := range table.Values(v, true) {
		if err := table.Set(again, s.Name, s.Value); err != nil {
			t.Error(err)
		}
	}
	if *v != *again {
		t.Errorf("defaults shown and set again: %+v, want %+v", *again, *v)
	}
}
