package server

import (
	"os/user"
	"strconv"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/nstable"
)

func roles() map[v1.Role]nstable.Role {
	return map[v1.Role]nstable.Role{
		v1.Role_ROLE_READ: nstable.Read, v1.Role_ROLE_OPERATE: nstable.Operate, v1.Role_ROLE_ADMIN: nstable.Admin,
		v1.Role_ROLE_NONE: nstable.NoRole,
	}
}

// readOwners finds the users and groups of the daemon's host that are named.
func readOwners(list []*v1.NetnsOwner) ([]nstable.Owner, error) {
	var out []nstable.Owner
	for _, o := range list {
		role, ok := roles()[o.GetRole()]
		if !ok {
			return nil, invalid("role %d is unknown: use read, operate, admin or none", o.GetRole())
		}
		p, err := readPrincipal(o.GetPrincipal())
		if err != nil {
			return nil, err
		}
		out = append(out, nstable.Owner{Principal: p, Role: role})
	}
	return out, nil
}

// readPrincipal reads user:NAME or group:NAME, or either with a number.
func readPrincipal(text string) (p nstable.Principal, err error) {
	kind, name, _ := strings.Cut(text, ":")
	if kind != "user" && kind != "group" || name == "" {
		return p, invalid("owner %q is wrong: it is user:NAME or group:NAME, or either with the number", text)
	}
	p.Group = kind == "group"
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		if n == 1<<32-1 { // (uid_t)-1 is no user, see setresuid(2)
			return p, invalid("owner %q is wrong: that number is no %s", text, kind)
		}
		p.ID = uint32(n)
		return p, nil
	}
	var id string
	if p.Group {
		var g *user.Group
		if g, err = user.LookupGroup(name); err == nil {
			id = g.Gid
		}
	} else {
		var u *user.User
		if u, err = user.Lookup(name); err == nil {
			id = u.Uid
		}
	}
	n, numErr := strconv.ParseUint(id, 10, 32)
	if err != nil || numErr != nil {
		return p, invalid("owner %q: the daemon's host knows no %s %s (give its number)", text, kind, name)
	}
	p.ID = uint32(n)
	return p, nil
}

func apiOwners(list []nstable.Owner) []*v1.NetnsOwner {
	var out []*v1.NetnsOwner
	for _, o := range list {
		for api, role := range roles() {
			if role == o.Role {
				out = append(out, &v1.NetnsOwner{Principal: principalName(o.Principal), Role: api, Id: o.ID})
			}
		}
	}
	return out
}

// principalName is with the name where the host knows one.
func principalName(p nstable.Principal) string {
	id := strconv.FormatUint(uint64(p.ID), 10)
	if p.Group {
		if g, err := user.LookupGroupId(id); err == nil {
			return "group:" + g.Name
		}
	} else if u, err := user.LookupId(id); err == nil {
		return "user:" + u.Username
	}
	return p.String()
}
