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
	"slices"
	"strconv"
	"strings"
)

// Row describes one setting of T.
type Row[T any] struct {
	Name    string // words joined by dashes
	Help    string // what it does, in one line
	Values  string // what it takes, as the usage has it: "N", "{ on | off }"
	Default string
	Kind    Kind
	get     func(*T) string
	set     func(*T, string) error // the error says what is taken: "takes …"
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
	if i := slices.IndexFunc(t, func(r Row[T]) bool { return r.Name == name }); i >= 0 {
		return &t[i]
	}
	return nil
}

// Names lists the settings for an error message.
func (t Table[T]) Names() string {
	names := make([]string, len(t))
	for i := range t {
		names[i] = t[i].Name
	}
	return strings.Join(names, ", ")
}

// Usage lists the settings for a help text, a line each, behind indent.
func (t Table[T]) Usage(indent string) string {
	var b strings.Builder
	for i := range t {
		r := &t[i]
		fmt.Fprintf(&b, "%s%s %s\n%s        %s (default %s)\n", indent, r.Name, r.Values, indent, r.Help, r.Default)
	}
	return b.String()
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

// number is a row with a number from low to high.
func number[T any](name, help string, low, high, standard uint32, field func(*T) *uint32) Row[T] {
	return Row[T]{
		Name: name, Help: help, Values: "N", Default: strconv.FormatUint(uint64(standard), 10), Kind: Number,
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

// choice is a row with a value of an enumeration, whose names are in its order; the first is the default. The place of
// a name does for the name, as in sysctls.
func choice[T any, E ~uint8](name, help string, names []string, field func(*T) *E) Row[T] {
	return Row[T]{
		Name: name, Help: help, Values: "{ " + strings.Join(names, " | ") + " }", Default: names[0],
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
