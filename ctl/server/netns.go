package server

import (
	"errors"
	"slices"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// addNamespace makes a namespace and then its Linux namespace, if it is to have one: both, or neither.
func (s *Server) addNamespace(name string, values []setting.Value) error {
	s.netns.Lock()
	defer s.netns.Unlock()
	if err := s.table.Do(func(tx *nstable.Tx) error { return tx.AddNamespace(name, values...) }); err != nil {
		return err
	}
	err := s.followHost(name)
	if err != nil {
		err = errors.Join(err, s.table.DeleteNamespace(name))
	}
	return err
}

func (s *Server) deleteNamespace(name string) error {
	s.netns.Lock()
	defer s.netns.Unlock()
	if err := s.table.DeleteNamespace(name); err != nil {
		return err
	}
	return s.options.Hosts.Delete(name)
}

func (s *Server) planNetnsSet(set *v1.NetnsSet) (step, error) {
	values, err := readSettings(setting.Namespaces, set.GetSettings())
	if err != nil {
		return step{}, err
	}
	if len(values) == 0 {
		return step{}, invalid("netns set %s: say what to set: %s", set.GetName(), setting.Namespaces.Names())
	}
	change := func(tx *nstable.Tx) error { return tx.SetNamespace(set.GetName(), values) }
	if !slices.ContainsFunc(values, func(v setting.Value) bool { return v.Name == "host" }) {
		return done(change)
	}
	return step{slow: func() error {
		s.netns.Lock()
		defer s.netns.Unlock()
		if err := s.table.Do(change); err != nil {
			return err
		}
		err := s.followHost(set.GetName())
		if err != nil {
			err = errors.Join(err, s.table.Do(func(tx *nstable.Tx) error {
				return tx.SetNamespace(set.GetName(), []setting.Value{{Name: "host", Value: "none"}})
			}))
		}
		return err
	}}, nil
}

// followHost gives a namespace its Linux namespace or takes it away, as it is set.
func (s *Server) followHost(name string) error {
	ns, err := s.table.Namespace(name)
	if err != nil {
		return err
	}
	if ns.Settings().Host == setting.HostNone {
		return s.options.Hosts.Delete(name)
	}
	return s.options.Hosts.Add(name)
}
