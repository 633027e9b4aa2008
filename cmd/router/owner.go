package main

import (
	"fmt"
	"strings"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// ownerJSON is an owner of a namespace; ID is its number.
type ownerJSON struct {
	Owner string `json:"owner"`
	ID    uint32 `json:"id"`
	Role  string `json:"role"`
}

// ownerWords reads what follows the word owner: user:alice role admin.
func ownerWords(a *args) *v1.NetnsOwner {
	value := func(keyword string) string { // there may be several owners
		if !a.more() {
			a.fail("command line is not complete: %q needs a value", keyword)
			return ""
		}
		return a.next()
	}
	o := &v1.NetnsOwner{Principal: value("owner")}
	kind, name, _ := strings.Cut(o.Principal, ":")
	if kind != "user" && kind != "group" || name == "" {
		a.fail("argument %q is wrong: \"owner\" takes user:USER or group:GROUP", o.Principal)
	}
	if word := value("owner " + o.Principal); word != "role" {
		a.fail("either \"role\" is missing, or %q is a garbage: owner %s role read|operate|admin|none", word, o.Principal)
	}
	word := value("role")
	role, ok := v1.Role_value["ROLE_"+strings.ToUpper(word)]
	if !ok || role == int32(v1.Role_ROLE_UNSPECIFIED) || word != strings.ToLower(word) {
		a.fail("argument %q is wrong: \"role\" takes read, operate, admin or none", word)
	}
	o.Role = v1.Role(role)
	return o
}

func ownersJSON(list []*v1.NetnsOwner) []ownerJSON {
	var out []ownerJSON
	for _, o := range list {
		role := strings.ToLower(strings.TrimPrefix(o.Role.String(), "ROLE_"))
		out = append(out, ownerJSON{Owner: o.Principal, ID: o.Id, Role: role})
	}
	return out
}

func ownersText(list []ownerJSON) string {
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintf(&b, "    owner %s role %s \n", o.Owner, o.Role)
	}
	return b.String()
}
