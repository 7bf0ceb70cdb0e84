// Package fault is the suite's one kind of error: a kind that says what the caller should do, a reason that says what happened, a sentence for people
// and the next command. It survives the wire: interceptors call ToStatus on one side and FromStatus on the other, and errors.Is(err, fault.NotFound)
// holds on both.
package fault

import (
	"errors"
	"fmt"
	"maps"
	"time"
)

// Kind says what a caller should do about an error. It is itself an error, so that errors.Is takes it.
type Kind uint8

// The kinds, with the gRPC code that each travels as.
const (
	Internal        Kind = iota // Internal: a bug; report it
	Invalid                     // InvalidArgument: the request breaks the contract
	NotFound                    // NotFound: stop
	Exists                      // AlreadyExists: same id, other content
	Precondition                // FailedPrecondition: right request, wrong state
	Conflict                    // Aborted: lost a compare-and-set; re-read
	Expired                     // OutOfRange: begin again
	Exhausted                   // ResourceExhausted: wait as told
	Unavailable                 // Unavailable: back off
	Denied                      // PermissionDenied: stop
	Unauthenticated             // Unauthenticated: stop
)

var kindNames = [...]string{"internal", "invalid", "not found", "exists", "precondition", "conflict", "expired", "exhausted", "unavailable", "denied", "unauthenticated"}

// Error makes a kind usable as a target of errors.Is.
func (k Kind) Error() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[Internal]
}

// Violation is one field of a request that breaks the contract.
type Violation struct{ Field, Description string }

// Error is an error with a meaning. Message is for people and travels; the cause is for logs and does not.
type Error struct {
	Kind       Kind
	Reason     string // UPPER_SNAKE, owned by the service that gives it
	Message    string
	Next       string // command to type next; empty: none
	Meta       map[string]string
	Violations []Violation
	RetryAfter time.Duration // 0: not told
	cause      error
}

// New makes an error.
func New(k Kind, reason, format string, a ...any) *Error {
	return &Error{Kind: k, Reason: reason, Message: fmt.Sprintf(format, a...)}
}

// Wrap makes an error with a cause, which Error shows and the wire does not.
func Wrap(err error, k Kind, reason, format string, a ...any) *Error {
	e := New(k, reason, format, a...)
	e.cause = err
	return e
}

// Error gives the message, and the cause if there is one.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Message + ": " + e.cause.Error()
	}
	return e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is holds for the error's kind.
func (e *Error) Is(target error) bool {
	k, ok := target.(Kind)
	return ok && k == e.Kind
}

// WithNext sets the next command.
func (e *Error) WithNext(command string) *Error {
	e.Next = command
	return e
}

// WithMeta adds a detail that travels.
func (e *Error) WithMeta(key, value string) *Error {
	m := maps.Clone(e.Meta)
	if m == nil {
		m = map[string]string{}
	}
	m[key] = value
	e.Meta = m
	return e
}

// WithRetry says how long to wait.
func (e *Error) WithRetry(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// WithField adds a violation.
func (e *Error) WithField(field, description string) *Error {
	e.Violations = append(e.Violations, Violation{field, description})
	return e
}

// As finds the fault in an error's chain. A kind that stands alone becomes a fault without a reason.
func As(err error) (*Error, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e, e != nil
	}
	var k Kind
	if errors.As(err, &k) {
		return &Error{Kind: k, Message: k.Error()}, true
	}
	return nil, false
}

// KindOf gives an error's kind; Internal for a foreign one.
func KindOf(err error) Kind {
	if e, ok := As(err); ok {
		return e.Kind
	}
	return Internal
}

// ReasonOf gives an error's reason; empty for a foreign one.
func ReasonOf(err error) string {
	if e, ok := As(err); ok {
		return e.Reason
	}
	return ""
}

// NextOf gives the next command; empty: none.
func NextOf(err error) string {
	if e, ok := As(err); ok {
		return e.Next
	}
	return ""
}

// RetryAfterOf gives the wait that an error asks for; 0: none.
func RetryAfterOf(err error) time.Duration {
	if e, ok := As(err); ok {
		return e.RetryAfter
	}
	return 0
}
