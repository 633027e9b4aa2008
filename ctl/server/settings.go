package server

import (
	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable/setting"
)

// apiSettings lists all settings of v.
func apiSettings[T any](table setting.Table[T], v *T) []*v1.Setting {
	values := table.Values(v, true)
	out := make([]*v1.Setting, len(values))
	for i, s := range values {
		out[i] = &v1.Setting{Name: s.Name, Value: s.Value}
	}
	return out
}

// readSettings checks settings and writes them as the table does.
func readSettings[T any](table setting.Table[T], list []*v1.Setting) ([]setting.Value, error) {
	var out []setting.Value
	for _, s := range list {
		v, err := table.Parse(s.GetName(), s.GetValue())
		if err != nil {
			return nil, invalid("%v", err)
		}
		out = append(out, v)
	}
	return out, nil
}
