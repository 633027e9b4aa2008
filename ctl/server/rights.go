package server

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
	"nsrouter/ctl/api/nsrouter/v1/nsrouterv1connect"
	"nsrouter/nstable"
	"nsrouter/nstable/setting"
)

// This file is who may do what: the right that each call of the service needs, the right that each change needs, and the
// rights that a caller has. What is in no table is refused. guard.go asks these questions of every message.
//
// A right is one in a namespace: that of the request, and every other that the request names in a field whose name ends in
// "netns". Root and the members of the administrators' group have all rights everywhere. Others have those of their role in
// the namespaces that have made them owners, and may read the one whose Linux network namespace they are in.
//
// What is about the whole daemon, or its host, and not about one namespace is refused to everybody who asks inside another
// namespace than init, root too: there it would not mean what it says.

// right is what a caller may do in a namespace; each includes those before it.
type right uint8

// Rights.
const (
	noRight right = iota
	toRead
	toOperate
	toAdmin
	// toAll is that of root and of the administrators' group; no owner has it.
	toAll
)

func (r right) String() string {
	return [...]string{"none", "read", "operate", "admin", "all"}[r]
}

// need is what a call asks of its caller.
type need struct {
	right right
	// each: its messages hold changes, of which each is judged by itself where it is planned.
	each bool
	// open: it is for everybody; its handler tells only what the caller may see.
	open bool
	// why is said where toAll is refused.
	why string
	// whole is said where it is refused outside init, since it is about no namespace; empty: it is about one, or about two.
	whole string
}

// procedures are the calls of the service.
func procedures() map[string]need {
	return map[string]need{
		nsrouterv1connect.RouterServiceChangeProcedure:     {each: true},
		nsrouterv1connect.RouterServiceBatchProcedure:      {each: true},
		nsrouterv1connect.RouterServiceLoadRoutesProcedure: {right: toAdmin},

		nsrouterv1connect.RouterServiceListNetnsProcedure:     {open: true},
		nsrouterv1connect.RouterServiceListLinksProcedure:     {right: toRead},
		nsrouterv1connect.RouterServiceListRoutesProcedure:    {right: toRead},
		nsrouterv1connect.RouterServiceListNexthopsProcedure:  {right: toRead},
		nsrouterv1connect.RouterServiceListNeighborsProcedure: {right: toRead},
		nsrouterv1connect.RouterServiceListDropsProcedure:     {right: toRead},
		nsrouterv1connect.RouterServiceGetRouteProcedure:      {right: toRead},
		nsrouterv1connect.RouterServiceMonitorProcedure:       {right: toRead},

		nsrouterv1connect.RouterServiceIdentifyNetnsProcedure: {open: true},
		nsrouterv1connect.RouterServiceGetNetnsPathProcedure: {
			right: toAll, why: "to enter a namespace needs CAP_SYS_ADMIN",
			whole: "the path to a Linux namespace is one of the daemon's host",
		},
		nsrouterv1connect.RouterServiceListPidsProcedure: {right: toRead},
		nsrouterv1connect.RouterServiceGetFramesProcedure: {
			right: toAll, why: "to count the frames stops the workers of all namespaces",
			whole: "the packet frames are those of all namespaces",
		},
		nsrouterv1connect.RouterServiceListWorkersProcedure: {
			right: toAll, why: "what workers do tells of the traffic of all namespaces",
			whole: "workers serve all namespaces",
		},
		nsrouterv1connect.RouterServiceSetWorkerProcedure: {
			right: toAll, why: "workers serve all namespaces", whole: "workers serve all namespaces",
		},
	}
}

// changes are the rights that changes need, by the name of the field in ChangeRequest.op.
func changes() map[protoreflect.Name]func(*v1.ChangeRequest) need {
	always := func(n need) func(*v1.ChangeRequest) need {
		return func(*v1.ChangeRequest) need { return n }
	}
	operate, admin := always(need{right: toOperate}), always(need{right: toAdmin})
	return map[protoreflect.Name]func(*v1.ChangeRequest) need{
		"netns_add": always(need{
			right: toAll, why: "to add a namespace is not for its owners", whole: "a namespace is added to the whole router",
		}),
		"netns_delete": always(need{
			right: toAll, why: "to delete a namespace is not for its owners",
			whole: "a namespace is taken from the whole router, and its interfaces go to init",
		}),
		"netns_set":      needOfNetnsSet,
		"link_add":       needOfLinkAdd,
		"link_set":       needOfLinkSet,
		"link_delete":    admin, // and what [Server.mayRemove] says
		"address":        admin,
		"address_flush":  admin,
		"route":          admin,
		"route_flush":    admin,
		"nexthop":        admin,
		"nexthop_flush":  admin,
		"neighbor":       operate,
		"neighbor_flush": operate,
	}
}

// needOfNetnsSet leaves owners of a namespace what concerns nobody else.
func needOfNetnsSet(req *v1.ChangeRequest) need {
	set := req.GetNetnsSet()
	for _, v := range set.GetSettings() {
		if setting.Namespaces.IsQuota(v.GetName()) {
			return need{right: toAll, why: fmt.Sprintf("%s is a quota", setting.Canonical(v.GetName()))}
		}
	}
	if set.GetNewNetns() != "" {
		return need{right: toAll, why: "to rename a namespace is not for its owners"}
	}
	if !hasOnly(set.ProtoReflect(), "name", "settings") {
		return need{right: toAll, why: "to choose the owners of a namespace is not for its owners"}
	}
	return need{right: toAdmin}
}

func needOfLinkAdd(req *v1.ChangeRequest) need {
	switch req.GetLinkAdd().GetKind().(type) {
	case *v1.LinkAdd_Veth, *v1.LinkAdd_Dummy, *v1.LinkAdd_Vlan, nil: // nil is refused later
		return need{right: toAdmin}
	}
	return need{
		right: toAll, why: "to attach an interface of the host is not for the owners of a namespace",
		whole: "an interface of the host is looked for in the Linux namespace of the daemon, whoever asks",
	}
}

func needOfLinkSet(req *v1.ChangeRequest) need {
	if hasOnly(req.GetLinkSet().ProtoReflect(), "name", "up") {
		return need{right: toOperate}
	}
	return need{right: toAdmin}
}

// hasOnly tells whether of the fields of m only some are set: not one that somebody adds later.
func hasOnly(m protoreflect.Message, names ...protoreflect.Name) bool {
	only := true
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		only = false
		for _, name := range names {
			only = only || f.Name() == name
		}
		return only
	})
	return only
}

// needOf is what a change needs.
func (s *Server) needOf(req *v1.ChangeRequest) need {
	m := req.ProtoReflect()
	op := m.WhichOneof(m.Descriptor().Oneofs().ByName("op"))
	if op == nil {
		return need{right: toAdmin} // says nothing to do, which is refused later
	}
	of := s.changes[op.Name()]
	if of == nil {
		const why = "this change has no entry in the table of rights"
		return need{right: toAll, why: why, whole: why}
	}
	return of(req)
}

// changed are the namespaces that a change is about.
func changed(ns string, req *v1.ChangeRequest) []string {
	names := []string{ns}
	switch op := req.Op.(type) { // these name the namespace that they are about themselves
	case *v1.ChangeRequest_NetnsAdd:
		names[0] = op.NetnsAdd.GetName()
	case *v1.ChangeRequest_NetnsDelete:
		names[0] = op.NetnsDelete.GetName()
	case *v1.ChangeRequest_NetnsSet:
		names[0] = op.NetnsSet.GetName()
	}
	return appendNamespaces(names, req.ProtoReflect())
}

// judgeChange refuses a change for which the caller lacks a right.
func (s *Server) judgeChange(ctx context.Context, ns string, req *v1.ChangeRequest) error {
	n := s.needOf(req)
	if c := callerOf(ctx); s.unbound(c) {
		return s.inInit(c, n.whole)
	}
	if err := s.permit(ctx, n, changed(ns, req)...); err != nil {
		return err
	}
	if op, ok := req.Op.(*v1.ChangeRequest_LinkDelete); ok {
		return s.mayRemove(ctx, ns, op.LinkDelete.GetName())
	}
	return nil
}

// outside says where a caller asks who is in another namespace than init; empty: in init.
func (s *Server) outside(c *caller) string {
	if c.scope != nil && c.scope.namespace != initNamespace {
		return fmt.Sprintf("by the socket of namespace %q", c.scope.namespace)
	}
	if ns, ok := s.inside(c); ok && ns != initNamespace {
		return fmt.Sprintf("inside namespace %q", ns)
	}
	return ""
}

// inInit refuses outside init what is about the whole daemon; whole says why it is, and is empty for what is not.
func (s *Server) inInit(c *caller, whole string) error {
	if whole == "" {
		return nil
	}
	if where := s.outside(c); where != "" {
		return denied("%s, and this was asked %s: run it in init, with -n NS if it is for one namespace", whole, where)
	}
	return nil
}

// mayRemove refuses the deletion of a device by who may not delete all that goes with it: a host interface that would be given
// back, the other end of a veth or a VLAN device in a namespace of somebody else.
func (s *Server) mayRemove(ctx context.Context, ns, name string) error {
	removed, err := s.table.RemovedWith(ns, name)
	if err != nil {
		return nil // the deletion itself says why
	}
	for i := range removed {
		d := &removed[i]
		if d.Kind == nstable.XDP {
			err := s.permit(ctx, need{right: toAll, why: name + " is an interface of the host, and to detach one" +
				" is not for the owners of a namespace"}, d.Namespace)
			if err != nil {
				return err
			}
		}
		if s.permit(ctx, need{right: toAdmin}, d.Namespace) != nil {
			return denied("with %s a device of another namespace would go, where %s lacks the right admin", name, callerOf(ctx))
		}
	}
	return nil
}

// admin tells whether the caller has all rights: the user whom the daemon runs as, root as a rule, and the members of the
// administrators' group.
func (s *Server) admin(c *caller) bool {
	return c != nil && (c.uid == s.uid ||
		s.options.AdminGroup != 0 && c.has(nstable.Principal{Group: true, ID: s.options.AdminGroup}))
}

// unbound tells of a caller for whom nothing is to be judged.
func (s *Server) unbound(c *caller) bool { return s.admin(c) && c.scope == nil }

// held is the right that a caller has in a namespace.
func (s *Server) held(c *caller, ns string) right {
	if c == nil {
		return noRight
	}
	if s.admin(c) {
		return toAll
	}
	r := [...]right{nstable.NoRole: noRight, nstable.Read: toRead, nstable.Operate: toOperate, nstable.Admin: toAdmin}[s.table.
		Role(ns, c.has)]
	if own, ok := s.inside(c); ok && own == ns {
		r = max(r, toRead)
	}
	return r
}

// may tells whether the caller has a right in a namespace.
func (s *Server) may(ctx context.Context, r right, ns string) bool {
	return s.permit(ctx, need{right: r}, ns) == nil
}

// permit refuses a request for which the caller lacks a right in one of the namespaces that it is about. A request that is
// about none is about all. The refusal is the same whether a namespace exists or not.
func (s *Server) permit(ctx context.Context, n need, namespaces ...string) error {
	c := callerOf(ctx)
	switch {
	case c == nil:
		return denied("it is not known who asks: use the unix socket")
	case n.open || n.each:
		return nil
	case n.right == noRight:
		return denied("this call has no entry in the table of rights")
	case c.scope != nil && c.scope.gone.Load():
		return denied("namespace %q of this socket is gone", c.scope.namespace)
	case len(namespaces) == 0 && c.scope != nil:
		return denied("this socket serves namespace %q alone", c.scope.namespace)
	case n.right == toAll && !s.admin(c):
		return denied("%s: it is for root and the members of group %s, and %s is neither", n.why, AdminGroupName, c)
	case len(namespaces) == 0 && !s.admin(c):
		return denied("what is about all namespaces is for root and the members of group %s, and %s is neither",
			AdminGroupName, c)
	}
	if len(namespaces) == 0 && n.whole == "" {
		n.whole = "this is about all namespaces"
	}
	if err := s.inInit(c, n.whole); err != nil {
		return err
	}
	for _, ns := range namespaces {
		if c.scope != nil && c.scope.namespace != ns {
			return denied("this socket serves namespace %q alone, not %q", c.scope.namespace, ns)
		}
		if s.held(c, ns) < n.right {
			return denied("%s lacks the right %s in namespace %q (for root: netns set %s owner user:%d role %s)",
				c, n.right, ns, ns, c.uid, n.right)
		}
	}
	return nil
}

// String names a caller in a refusal.
func (c *caller) String() string { return fmt.Sprintf("user %d", c.uid) }

func denied(format string, v ...any) error {
	return connect.NewError(connect.CodePermissionDenied, fmt.Errorf("Operation not permitted: "+format, v...))
}

// discreet is an error as the caller may read it: without what it tells of a namespace that the caller does not see.
func (s *Server) discreet(ctx context.Context, err error) error {
	var e *nstable.Error
	if err == nil || s.unbound(callerOf(ctx)) || !errors.As(err, &e) || e.Discreet == "" {
		return err
	}
	return &nstable.Error{Kind: e.Kind, Msg: e.Discreet}
}

// words are what an error says to the caller, for an answer that tells of several.
func (s *Server) words(ctx context.Context, err error) string {
	err = s.discreet(ctx, err)
	var coded *connect.Error
	if errors.As(err, &coded) {
		return coded.Message()
	}
	return err.Error()
}
