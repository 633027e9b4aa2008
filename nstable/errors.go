package nstable

import (
	"errors"
	"fmt"
)

// ErrorKind sorts refusals, so that the API can answer with a fitting code.
type ErrorKind uint8

// Kinds of errors.
const (
	Invalid  ErrorKind = iota + 1 // the request makes no sense, whatever the state
	NotFound                      // what it names is not there
	Exists                        // what it would make is there already
	Busy                          // somebody else has it at the moment
	Refused                       // the present state forbids it
	Storage                       // it could not be made durable
)

// Error is what every mutation and query of this package fails with. Nothing was changed.
type Error struct {
	Kind ErrorKind
	// Msg is one line for the operator: the reason in the words of iproute2 or the kernel where they have some, the
	// offending word, and the mend.
	Msg string
	// Discreet is what to say in its place to who may not see the other namespace that Msg tells of; empty where it tells of
	// none but that of the request.
	Discreet string
	Err      error // the cause, or nil
}

// Error is the one line.
func (e *Error) Error() string {
	if e.Err != nil {
		return e.Msg + ": " + e.Err.Error()
	}
	return e.Msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error of this package, or zero for any other.
func KindOf(err error) ErrorKind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

func fail(kind ErrorKind, format string, args ...any) error {
	return &Error{Kind: kind, Msg: fmt.Sprintf(format, args...)}
}
