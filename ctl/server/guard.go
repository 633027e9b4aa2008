package server

import (
	"context"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// guard asks of every message whether its sender may send it, by the tables of rights.go, and takes out of every answer what
// its receiver may not see. An owner who is one no more is refused with the next message of a stream, be it only sent to
// them.
type guard struct{ s *Server }

func (g guard) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		call := g.s.newCall(ctx, req.Spec())
		if err := call.judge(req.Any()); err != nil {
			return nil, err
		}
		answer, err := next(ctx, req)
		if err != nil {
			return nil, call.discreet(err)
		}
		if m, ok := answer.Any().(proto.Message); ok && call.redacts {
			g.s.redact(ctx, m.ProtoReflect()) // it was made for this caller alone
		}
		return answer, nil
	}
}

func (g guard) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		call := g.s.newCall(ctx, conn.Spec())
		return call.discreet(next(ctx, &guardedConn{conn, call}))
	}
}

func (guard) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// guardedConn is a stream with a guard.
type guardedConn struct {
	connect.StreamingHandlerConn
	call *call
}

func (c *guardedConn) Receive(msg any) error {
	if err := c.StreamingHandlerConn.Receive(msg); err != nil {
		return err
	}
	return c.call.judge(msg)
}

func (c *guardedConn) Send(msg any) error {
	if err := c.call.again(); err != nil {
		return err
	}
	if m, ok := msg.(proto.Message); ok && c.call.redacts && c.call.s.hides(c.call.ctx, m.ProtoReflect()) {
		m = proto.Clone(m) // others may be sent it too
		c.call.s.redact(c.call.ctx, m.ProtoReflect())
		msg = m
	}
	return c.StreamingHandlerConn.Send(msg)
}

// call is a call being made: for its own goroutine.
type call struct {
	s    *Server
	ctx  context.Context
	need need
	// unbound: nothing is asked. redacts: the answers are looked through.
	unbound, redacts bool
	// namespaces are those of the first message, and named those of the last besides.
	begun      bool
	namespaces []string
	named      []string
}

func (s *Server) newCall(ctx context.Context, spec connect.Spec) *call {
	c := callerOf(ctx)
	n := s.procedures[spec.Procedure]
	return &call{
		s: s, ctx: ctx, need: n, redacts: !s.unbound(c) && !n.open,
		unbound: s.unbound(c) && n != (need{}) && (n.each || n.open || s.outside(c) == ""),
	}
}

// judge refuses a message of the caller's.
func (c *call) judge(msg any) error {
	if c.unbound {
		return nil
	}
	m, ok := msg.(proto.Message)
	if !ok {
		return denied("this call has a message that cannot be judged")
	}
	if !c.begun { // the namespace of a stream is that of its first message
		c.begun = true
		c.namespaces = c.s.namespacesOf(c.ctx, m.ProtoReflect())
	}
	c.named = c.named[:0]
	if !c.need.each && !c.need.open {
		c.named = appendNamespaces(c.named, m.ProtoReflect())
	}
	return c.again()
}

// again refuses what was judged before if it is not to be any more.
func (c *call) again() error {
	if c.unbound {
		return nil
	}
	if err := c.s.permit(c.ctx, c.need, c.namespaces...); err != nil || len(c.named) == 0 {
		return err
	}
	return c.s.permit(c.ctx, c.need, c.named...)
}

func (c *call) discreet(err error) error {
	if said := c.s.discreet(c.ctx, err); said != err { //nolint:errorlint // whether it is another one
		return apiError(said)
	}
	return err
}

// namespacesOf are those that a request is about by its fields netns and all_netns: none is all.
func (s *Server) namespacesOf(ctx context.Context, m protoreflect.Message) []string {
	fields := m.Descriptor().Fields()
	if all := fields.ByName("all_netns"); all != nil && m.Get(all).Bool() {
		return nil
	}
	if ns := fields.ByName("netns"); ns != nil {
		return []string{s.namespace(ctx, m.Get(ns).String())}
	}
	return nil
}

// namesNamespace tells whether a field has the name of a namespace.
func namesNamespace(f protoreflect.FieldDescriptor) bool {
	name := string(f.Name())
	return f.Kind() == protoreflect.StringKind && !f.IsMap() &&
		(strings.HasSuffix(name, "netns") || strings.HasSuffix(name, "netns_name"))
}

// appendNamespaces adds the namespaces that a message names anywhere in it.
func appendNamespaces(names []string, m protoreflect.Message) []string {
	eachNamespace(m, func(_ protoreflect.Message, _ protoreflect.FieldDescriptor, name string) bool {
		names = append(names, name)
		return true
	})
	return names
}

// eachNamespace calls f with every field of a message that names a namespace until it returns false, and tells whether it
// went through.
func eachNamespace(
	m protoreflect.Message, f func(m protoreflect.Message, field protoreflect.FieldDescriptor, name string) bool,
) bool {
	whole := true
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case namesNamespace(field) && !field.IsList():
			whole = f(m, field, v.String())
		case namesNamespace(field):
			for i := 0; whole && i < v.List().Len(); i++ {
				whole = f(m, field, v.List().Get(i).String())
			}
		case field.Kind() != protoreflect.MessageKind || field.IsMap():
		case field.IsList():
			for i := 0; whole && i < v.List().Len(); i++ {
				whole = eachNamespace(v.List().Get(i).Message(), f)
			}
		default:
			whole = eachNamespace(v.Message(), f)
		}
		return whole
	})
	return whole
}

// hides tells whether an answer names a namespace that the caller may not see.
func (s *Server) hides(ctx context.Context, m protoreflect.Message) bool {
	return !eachNamespace(m, func(_ protoreflect.Message, _ protoreflect.FieldDescriptor, name string) bool {
		return s.may(ctx, toRead, name)
	})
}

// redact empties the names of namespaces that the caller may not see, and of a link's peer there its name, as Linux does.
func (s *Server) redact(ctx context.Context, m protoreflect.Message) {
	type field struct {
		m protoreflect.Message
		f protoreflect.FieldDescriptor
	}
	var hidden []field // a message is not to be changed while it is gone through
	eachNamespace(m, func(m protoreflect.Message, f protoreflect.FieldDescriptor, name string) bool {
		if !s.may(ctx, toRead, name) {
			hidden = append(hidden, field{m, f})
		}
		return true
	})
	for _, h := range hidden {
		h.m.Clear(h.f)
		if name := h.m.Descriptor().Fields().ByName("name"); name != nil {
			h.m.Clear(name)
		}
	}
}

// knows refuses a caller who has no right in any namespace.
func (s *Server) knows(c *caller) error {
	if c == nil {
		return denied("it is not known who asks: use the unix socket")
	}
	if _, inside := s.inside(c); inside || s.admin(c) || s.table.OwnsAny(c.has) {
		return nil
	}
	return denied("%s has no right in any namespace, and is not a member of group %s"+
		" (for root: netns set NS owner user:%d role read|operate|admin)", c, AdminGroupName, c.uid)
}
