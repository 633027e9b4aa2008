// Package setting says what can be set of a namespace and of a device, by name and value: `netns set NS NAME VALUE` and
// `link set DEV NAME VALUE`.
//
// A setting is a field of [Namespace] or [Device] and a row in its table, [Namespaces] or [Devices]. All else follows
// from the row: the command line and its help, the API, what is stored, what is shown. The data plane reads the field;
// values are published with the view and never change afterwards.
//
// The names are those of the Linux sysctls where there are such, with dashes. A device loses its settings when it moves
// to another namespace, as in Linux.
package setting

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Row describes one setting of T.
type Row[T any] struct {
	Group   string // what it is about: the heading in the help
	Name    string // words joined by dashes
	Help    string // what it does, in one line
	Values  string // what it takes, as the usage has it: "N", "{ on | off }"
	Range   string // of a number: "2 to 9"
	Default string
	Kind    Kind
	// Quota says that the setting is about what all namespaces share, most often how much of it one may use up: it is not for
	// those who administer the namespace alone.
	Quota bool
	// also is another name that is taken for it.
	also string
	// words are the values of an enumeration, in the order of their numbers.
	words []string
	get   func(*T) string
	set   func(*T, string) error // the error says what is taken: "takes …"
}

// Kind is the type of a setting's value in JSON.
type Kind uint8

// Kinds of values.
const (
	Word   Kind = iota
	Number      // decimal
	Switch      // on or off
)

// Table is all settings of T.
type Table[T any] []Row[T]

// Value is a setting with its value.
type Value struct {
	Name, Value string
	Kind        Kind
	Changed     bool // it is not the default
}

// Canonical is the name as the tables have it: underscores, as in sysctls and JSON, become dashes.
func Canonical(name string) string { return strings.ReplaceAll(name, "_", "-") }

// Has tells whether there is a setting of that name.
func (t Table[T]) Has(name string) bool { return t.find(name) != nil }

func (t Table[T]) find(name string) *Row[T] {
	name = Canonical(name)
	if i := slices.IndexFunc(t, func(r Row[T]) bool { return r.Name == name || r.also == name && name != "" }); i >= 0 {
		return &t[i]
	}
	return nil
}

// IsQuota tells whether the setting of that name is a quota; one that does not exist is none.
func (t Table[T]) IsQuota(name string) bool {
	r := t.find(name)
	return r != nil && r.Quota
}

// Sysctl is the value of a setting as a sysctl has it: on and off are 1 and 0, and words their numbers. What has none stays.
func (t Table[T]) Sysctl(v Value) string {
	r := t.find(v.Name)
	switch {
	case v.Kind == Switch:
		return map[string]string{"off": "0", "on": "1"}[v.Value]
	case r != nil && slices.Contains(r.words, v.Value):
		return strconv.Itoa(slices.Index(r.words, v.Value))
	}
	return v.Value
}

// Names lists the settings for an error message.
func (t Table[T]) Names() string {
	names := make([]string, len(t))
	for i := range t {
		names[i] = t[i].Name
	}
	return strings.Join(names, ", ")
}

// Usage lists the settings for a help text, below headings.
func (t Table[T]) Usage() string {
	var b strings.Builder
	group := ""
	for i := range t {
		r := &t[i]
		if r.Group != group {
			group = r.Group
			fmt.Fprintf(&b, "  %s:\n", group)
		}
		of := ""
		if r.Range != "" {
			of = r.Range + ", "
		}
		if r.Quota {
			of = "quota, " + of
		}
		fmt.Fprintf(&b, "    %s %s (%sdefault %s)\n", r.Name, r.Values, of, r.Default)
		wrap(&b, r.Help)
	}
	return b.String()
}

// wrap writes the text in lines that fit a terminal, below the name of the setting.
func wrap(b *strings.Builder, text string) {
	const indent, width = "         ", 100
	at := 0
	for word := range strings.FieldsSeq(text) {
		if at > 0 && at+1+len(word) > width {
			b.WriteByte('\n')
			at = 0
		}
		if at == 0 {
			b.WriteString(indent)
		}
		b.WriteByte(' ')
		b.WriteString(word)
		at += 1 + len(word)
	}
	b.WriteByte('\n')
}

// About is the settings that have word as a part of their names; where there are none, those that have it anywhere there.
func (t Table[T]) About(word string) Table[T] {
	word = Canonical(word)
	without := func(has func(string) bool) Table[T] {
		return slices.DeleteFunc(slices.Clone(t), func(r Row[T]) bool { return !has(r.Name) })
	}
	if part := without(func(s string) bool { return strings.Contains("-"+s+"-", "-"+word+"-") }); len(part) > 0 {
		return part
	}
	return without(func(s string) bool { return strings.Contains(s, word) })
}

// Like is the name that was probably meant by one that is not in the table, or empty.
func (t Table[T]) Like(name string) string {
	const most = 2 // letters that are wrong, missing or too many
	name = Canonical(strings.ToLower(name))
	best, found := most+1, ""
	for i := range t {
		if d := distance(name, t[i].Name); d < best && d < len(name)/2 {
			best, found = d, t[i].Name
		}
	}
	return found
}

// distance is Levenshtein's: how many letters are to be changed, put in or left out to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			changed := diagonal
			if a[i] != b[j] {
				changed++
			}
			diagonal = row[j+1]
			row[j+1] = min(changed, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// group puts rows below a heading.
func group[T any](heading string, t Table[T]) Table[T] {
	for i := range t {
		t[i].Group = heading
	}
	return t
}

// quotas marks rows as quotas.
func quotas[T any](rows ...Row[T]) Table[T] {
	for i := range rows {
		rows[i].Quota = true
	}
	return rows
}

// Default is T with every setting at its default.
func (t Table[T]) Default() *T {
	v := new(T)
	for i := range t {
		if err := t[i].set(v, t[i].Default); err != nil {
			panic(fmt.Sprintf("setting %s: default %q: %v", t[i].Name, t[i].Default, err))
		}
	}
	return v
}

// Set changes one setting of v. Its error names the setting and what it takes; v is unchanged then.
func (t Table[T]) Set(v *T, name, value string) error {
	r := t.find(name)
	if r == nil {
		return fmt.Errorf("%q is not a setting: there are %s", name, t.Names())
	}
	if err := r.set(v, value); err != nil {
		return fmt.Errorf("argument %q is wrong: %q %w", value, r.Name, err)
	}
	return nil
}

// Parse reads a setting by itself. The value it returns is written as Values has it.
func (t Table[T]) Parse(name, value string) (Value, error) {
	v := new(T)
	if err := t.Set(v, name, value); err != nil {
		return Value{}, err
	}
	r := t.find(name)
	value = r.get(v)
	return Value{Name: r.Name, Value: value, Kind: r.Kind, Changed: value != r.Default}, nil
}

// Values lists all settings of v, or those that are not at their default.
func (t Table[T]) Values(v *T, all bool) []Value {
	var out []Value
	for i := range t {
		r := &t[i]
		value := r.get(v)
		if changed := value != r.Default; all || changed {
			out = append(out, Value{Name: r.Name, Value: value, Kind: r.Kind, Changed: changed})
		}
	}
	return out
}

// toggle is a row that is on or off, off by default.
func toggle[T any](name, help string, field func(*T) *bool) Row[T] {
	return Row[T]{
		Name: name, Help: help, Values: "{ on | off }", Default: "off", Kind: Switch,
		get: func(v *T) string { return map[bool]string{false: "off", true: "on"}[*field(v)] },
		set: func(v *T, s string) error {
			switch s {
			case "on", "1":
				*field(v) = true
			case "off", "0":
				*field(v) = false
			default:
				return fmt.Errorf("takes on or off")
			}
			return nil
		},
	}
}

// unless is a row that is on or off, on by default: the field says that it is off.
func unless[T any](name, help string, field func(*T) *bool) Row[T] {
	r := toggle(name, help, field)
	r.Default = "on"
	get, set := r.get, r.set
	r.get = func(v *T) string { return map[string]string{"off": "on", "on": "off"}[get(v)] }
	r.set = func(v *T, s string) error {
		err := set(v, s)
		if err == nil {
			*field(v) = !*field(v)
		}
		return err
	}
	return r
}

// number is a row with a number from low to high.
func number[T any](name, help string, low, high, standard uint32, field func(*T) *uint32) Row[T] {
	return Row[T]{
		Name: name, Help: help, Values: "N", Range: bounds(low, high), Default: strconv.FormatUint(uint64(standard), 10), Kind: Number,
		get: func(v *T) string { return strconv.FormatUint(uint64(*field(v)), 10) },
		set: func(v *T, s string) error {
			n, err := strconv.ParseUint(s, 0, 32)
			if err != nil || n < uint64(low) || n > uint64(high) {
				return fmt.Errorf("takes a number from %d to %d", low, high)
			}
			*field(v) = uint32(n)
			return nil
		},
	}
}

// bounds are words for what a number may be; empty if it may be any.
func bounds(low, high uint32) string {
	if low == 0 && high == math.MaxUint32 {
		return ""
	}
	return fmt.Sprintf("%d to %d", low, high)
}

// choice is a row with a value of an enumeration, whose names are in its order; the first is the default. The place of
// a name does for the name, as in sysctls.
func choice[T any, E ~uint8](name, help string, names []string, field func(*T) *E) Row[T] {
	return Row[T]{
		Name: name, Help: help, Values: "{ " + strings.Join(names, " | ") + " }", Default: names[0], words: names,
		get: func(v *T) string { return names[*field(v)] },
		set: func(v *T, s string) error {
			i := slices.Index(names, s)
			if n, err := strconv.ParseUint(s, 10, 8); i < 0 && err == nil {
				i = int(n)
			}
			if i < 0 || i >= len(names) {
				return fmt.Errorf("takes %s", strings.Join(names, " or "))
			}
			*field(v) = E(i)
			return nil
		},
	}
}
