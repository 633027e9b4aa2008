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
	if err := s.followHost(name); err != nil {
		return errors.Join(err, s.table.DeleteNamespace(name))
	}
	s.sockets.add(name)
	return nil
}

func (s *Server) deleteNamespace(name string) error {
	s.netns.Lock()
	defer s.netns.Unlock()
	if err := s.takeRights(func() error { return s.table.DeleteNamespace(name) }); err != nil {
		return err
	}
	s.sockets.remove(name)
	return s.options.Hosts.Delete(name)
}

// renameNamespace renames a namespace and its Linux namespace: both, or neither. Processes stay inside.
func (s *Server) renameNamespace(name, to string) error {
	s.netns.Lock()
	defer s.netns.Unlock()
	rename := func(from, to string) error { // what was allowed in a namespace is not done in another of its old name
		return s.takeRights(func() error {
			return s.table.Do(func(tx *nstable.Tx) error { return tx.RenameNamespace(from, to) })
		})
	}
	if err := rename(name, to); err != nil || name == to {
		return err
	}
	if err := s.options.Hosts.Rename(name, to); err != nil {
		return errors.Join(err, rename(to, name))
	}
	s.sockets.remove(name)
	s.sockets.add(to)
	return nil
}

func (s *Server) planNetnsSet(set *v1.NetnsSet) (step, error) {
	values, err := readSettings(setting.Namespaces, set.GetSettings())
	if err != nil {
		return step{}, err
	}
	owners, err := readOwners(set.GetOwners())
	if err != nil {
		return step{}, err
	}
	switch rename := set.GetNewNetns() != ""; {
	case rename && len(values)+len(owners) > 0:
		return step{}, invalid("netns set %s name %s: a name is set by itself", set.GetName(), set.GetNewNetns())
	case rename:
		return step{slow: func() error { return s.renameNamespace(set.GetName(), set.GetNewNetns()) }}, nil
	case len(values) == 0 && len(owners) == 0:
		return step{}, invalid("netns set %s: say what to set: name, owner, %s", set.GetName(), setting.Namespaces.Names())
	}
	if len(owners) > 0 {
		return s.planOwners(set.GetName(), owners, values)
	}
	change := func(tx *nstable.Tx) error { return tx.SetNamespace(set.GetName(), values) }
	if !setsHost(values) {
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

func setsHost(values []setting.Value) bool {
	return slices.ContainsFunc(values, func(v setting.Value) bool { return v.Name == "host" })
}

// planOwners changes owners, and settings besides.
func (s *Server) planOwners(name string, owners []nstable.Owner, values []setting.Value) (step, error) {
	if setsHost(values) {
		return step{}, invalid("netns set %s: host and owners are not set in one command", name)
	}
	return step{slow: func() error {
		return s.takeRights(func() error {
			return s.table.Do(func(tx *nstable.Tx) error {
				if err := tx.SetOwners(name, owners); err != nil || len(values) == 0 {
					return err
				}
				return tx.SetNamespace(name, values)
			})
		})
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
