package nstable

import (
	"cmp"
	"fmt"
	"slices"
)

// Role is what an owner may do in a namespace; each includes those before it. What a role allows is for the server of
// the API to say.
type Role uint8

// Roles.
const (
	NoRole Role = iota
	Read
	Operate
	Admin
)

// String is the role as the command line spells it.
func (r Role) String() string { return [...]string{"none", "read", "operate", "admin"}[r] }

// Principal is a user or a group of the host, by its number.
type Principal struct {
	Group bool
	ID    uint32
}

// String is user:N or group:N.
func (p Principal) String() string {
	if p.Group {
		return fmt.Sprintf("group:%d", p.ID)
	}
	return fmt.Sprintf("user:%d", p.ID)
}

// Owner is a principal with its role in a namespace.
type Owner struct {
	Principal
	Role Role
}

// String is user:N or group:N with the role.
func (o Owner) String() string { return o.Principal.String() + " " + o.Role.String() }

// maxOwners bounds the owners of a namespace: whoever calls is compared with all of them.
const maxOwners = 256

// SetOwners gives owners of a namespace another role, or takes it from those whose role is NoRole: all, or none.
func (tx *Tx) SetOwners(namespace string, changes []Owner) error {
	ns, err := tx.t.namespace(namespace)
	if err != nil {
		return err
	}
	old := ns.owners
	owners := slices.Clone(old)
	for _, c := range changes {
		i, there := slices.BinarySearchFunc(owners, c.Principal, func(o Owner, p Principal) int { return o.compare(p) })
		switch {
		case there && c.Role == NoRole:
			owners = slices.Delete(owners, i, i+1)
		case there:
			owners[i].Role = c.Role
		case c.Role == NoRole:
			return fail(NotFound, "%s is no owner of namespace %s: there is no role to take away", c.Principal, namespace)
		default:
			owners = slices.Insert(owners, i, c)
		}
	}
	if len(owners) > maxOwners {
		return fail(Refused, "namespace %s would have %d owners, and may have %d: make a group of them", namespace,
			len(owners), maxOwners)
	}
	ns.owners = owners
	tx.onUndo(func() { ns.owners = old })
	tx.put(BucketNamespace, namespaceKey(ns.id), encodeNamespace(ns))
	tx.announceNamespace(ns, false)
	return nil
}

// compare orders users before groups, and each by their numbers.
func (p Principal) compare(other Principal) int {
	if p.Group != other.Group {
		return map[bool]int{false: -1, true: 1}[p.Group]
	}
	return cmp.Compare(p.ID, other.ID)
}

// Role is the highest role that a caller has in a namespace: has tells whether it is, or belongs to, a principal. There
// is none in a namespace that does not exist.
func (t *Table) Role(namespace string, has func(Principal) bool) Role {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if ns := t.byName[namespace]; ns != nil {
		return ns.role(has)
	}
	return NoRole
}

// OwnsAny tells whether the caller that has tells of is an owner of any namespace.
func (t *Table) OwnsAny(has func(Principal) bool) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, ns := range t.byName {
		if ns.role(has) != NoRole {
			return true
		}
	}
	return false
}

func (ns *namespace) role(has func(Principal) bool) Role {
	best := NoRole
	for _, o := range ns.owners {
		if o.Role > best && has(o.Principal) {
			best = o.Role
		}
	}
	return best
}

// RemovedWith lists what a deletion of a device removes: the device itself first, then VLAN devices on it and the other end of
// a veth with those on that, wherever they are.
func (t *Table) RemovedWith(namespace, name string) ([]LinkInfo, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	first, err := t.device(namespace, name)
	if err != nil {
		return nil, err
	}
	list := []*device{first}
	for i := 0; i < len(list); i++ {
		list = append(list, list[i].uppers...)
		if peer := t.deviceByID(list[i].peer); peer != nil && !slices.Contains(list, peer) {
			list = append(list, peer)
		}
	}
	out := make([]LinkInfo, len(list))
	for i, d := range list {
		out[i] = t.linkInfo(d)
	}
	return out, nil
}
