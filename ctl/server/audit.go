package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "nsrouter/ctl/api/nsrouter/v1"
)

// audit writes a line about a change: who asked for it, in which namespace, what it is, and what came of it.
func (s *Server) audit(ctx context.Context, ns string, req *v1.ChangeRequest, err error) {
	if s.options.Audit != nil {
		s.auditOf(ctx, ns, zap.Object("what", loggedMessage{req.ProtoReflect()}), err)
	}
}

// audit writes one line about the whole load: its routes are as many as a table has.
func (l *load) audit(ctx context.Context, err error) {
	if l.server.options.Audit == nil {
		return
	}
	if n := len(l.answer.Failures); err == nil && n > 0 {
		err = invalid("%d refused, the first: %s", n, l.answer.Failures[0].Message)
	}
	l.server.auditOf(ctx, l.ns, zap.Dict("what", zap.Dict("load_routes", zap.String("verb", l.verb.String()),
		zap.Bool("whole", l.whole), zap.Uint64("applied", l.answer.Applied))), err)
	l.server.auditDone()
}

// auditDone has the lines written that are about what is to be answered now.
func (s *Server) auditDone() {
	if s.options.Audit != nil {
		_ = s.options.Audit.Sync() // there is no other place to tell it
	}
}

func (s *Server) auditOf(ctx context.Context, ns string, what zap.Field, err error) {
	outcome := "done"
	if err != nil {
		outcome = err.Error()
		var coded *connect.Error
		if errors.As(err, &coded) {
			outcome = coded.Message()
		}
	}
	fields := make([]zap.Field, 0, 7)
	if c := callerOf(ctx); c != nil {
		fields = append(fields, zap.Uint32("uid", c.uid), zap.Uint32("gid", c.gid), zap.Int32("pid", c.pid),
			zap.String("comm", c.comm))
	}
	s.options.Audit.Info("change",
		append(fields, zap.String("netns", brief(ns)), what, zap.String("outcome", brief(outcome)))...)
}

// What somebody asks for is not to fill the log: longer words are cut, and longer lists.
const (
	maxLoggedBytes = 512
	maxLoggedItems = 64
)

// brief cuts a text that is longer than any that means something.
func brief(text string) string {
	if len(text) <= maxLoggedBytes {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", strings.ToValidUTF8(text[:maxLoggedBytes], ""), len(text))
}

// loggedMessage writes what is set in a message, by the names of its fields.
type loggedMessage struct{ m protoreflect.Message }

// MarshalLogObject implements [zapcore.ObjectMarshaler].
func (l loggedMessage) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	fields := l.m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !l.m.Has(f) || f.Name() == "netns" && f.ContainingOneof() == nil {
			continue
		}
		name, v := string(f.Name()), l.m.Get(f)
		var err error
		switch kind := f.Kind(); {
		case f.IsList():
			err = enc.AddArray(name, loggedList{f, v.List()})
		case kind == protoreflect.MessageKind:
			err = enc.AddObject(name, loggedMessage{v.Message()})
		case kind == protoreflect.StringKind:
			enc.AddString(name, brief(v.String()))
		case kind == protoreflect.Uint32Kind:
			enc.AddUint64(name, v.Uint())
		default:
			err = enc.AddReflected(name, loggedValue(f, v))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type loggedList struct {
	f    protoreflect.FieldDescriptor
	list protoreflect.List
}

// MarshalLogArray implements [zapcore.ArrayMarshaler].
func (l loggedList) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for i := range l.list.Len() {
		if i == maxLoggedItems {
			enc.AppendString(fmt.Sprintf("... (%d)", l.list.Len()))
			break
		}
		v := l.list.Get(i)
		var err error
		if l.f.Kind() == protoreflect.MessageKind {
			err = enc.AppendObject(loggedMessage{v.Message()})
		} else {
			err = enc.AppendReflected(loggedValue(l.f, v))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// loggedValue is a value that is no message.
func loggedValue(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	if f.Kind() == protoreflect.EnumKind {
		if d := f.Enum().Values().ByNumber(v.Enum()); d != nil {
			return string(d.Name())
		}
	}
	switch v := v.Interface().(type) {
	case string:
		return brief(v)
	case []byte:
		return brief(string(v))
	default:
		return v
	}
}
