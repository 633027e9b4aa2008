package main

import (
	"encoding/json"
	"fmt"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable/setting"
)

// settingWord reads the value behind the name of a setting.
func settingWord[T any](a *args, table setting.Table[T], name string) *v1.Setting {
	v, err := table.Parse(name, a.value(setting.Canonical(name)))
	if err != nil {
		a.fail("%v", err)
	}
	return &v1.Setting{Name: v.Name, Value: v.Value}
}

// settingHelp is help on the settings that a word is about; empty if there are none.
func settingHelp[T any](table setting.Table[T]) func(word string) string {
	return func(word string) string { return table.About(word).Usage() }
}

// elsewhere is the mend of an error about a name that is no setting of devices, or of namespaces: the command for it if it
// is one of the others, or otherwise.
func elsewhere(name string, devices bool, otherwise string) string {
	switch {
	case devices && setting.Namespaces.Has(name):
		return fmt.Sprintf("it is a setting of namespaces: \"netns set NS %s VALUE\"", name)
	case !devices && setting.Devices.Has(name):
		return fmt.Sprintf("it is a setting of devices: \"link set DEV %s VALUE\"", name)
	}
	return otherwise
}

// meant is the mend of an error about a name that is no setting: the setting that was probably meant, or otherwise.
func meant[T any](table setting.Table[T], name, otherwise string) string {
	if like := table.Like(name); like != "" {
		return fmt.Sprintf("did you mean %q?", like)
	}
	return otherwise
}

// settingsOf reads what the daemon tells of settings; a newer one may tell of some that are not known here, which are
// words.
func settingsOf[T any](table setting.Table[T], list []*v1.Setting) []setting.Value {
	out := make([]setting.Value, len(list))
	for i, s := range list {
		v, err := table.Parse(s.GetName(), s.GetValue())
		if err != nil {
			v = setting.Value{Name: s.GetName(), Value: s.GetValue(), Changed: true}
		}
		out[i] = v
	}
	return out
}

// settingsJSON is an object of the settings that are not at their default, or of all; nil if there are none.
func settingsJSON(list []setting.Value, all bool) map[string]any {
	var out map[string]any
	for _, s := range list {
		if !all && !s.Changed {
			continue
		}
		if out == nil {
			out = make(map[string]any)
		}
		var v any = s.Value
		switch s.Kind {
		case setting.Number: // or a word that stands for one
			if s.Value != "" && s.Value[0] >= '0' && s.Value[0] <= '9' {
				v = json.Number(s.Value)
			}
		case setting.Switch:
			v = s.Value == "on"
		case setting.Word:
		}
		out[strings.ReplaceAll(s.Name, "-", "_")] = v
	}
	return out
}

// settingsText is the settings as they are set, in lines of at most about width bytes.
func settingsText(list []setting.Value) string {
	const indent, width = "    ", 100
	var b strings.Builder
	line := 0
	for _, s := range list {
		word := s.Name + " " + s.Value + " "
		if line+len(word) > width || line == 0 {
			if line > 0 {
				b.WriteByte('\n')
			}
			b.WriteString(indent)
			line = 0
		}
		b.WriteString(word)
		line += len(word)
	}
	if line > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}
