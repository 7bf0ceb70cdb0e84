package fault

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Domain is the domain of the suite's ErrorInfo.
const Domain = "nullius.dev"

var kindCodes = map[Kind]codes.Code{
	Internal: codes.Internal, Invalid: codes.InvalidArgument, NotFound: codes.NotFound, Exists: codes.AlreadyExists, Precondition: codes.FailedPrecondition,
	Conflict: codes.Aborted, Expired: codes.OutOfRange, Exhausted: codes.ResourceExhausted, Unavailable: codes.Unavailable, Denied: codes.PermissionDenied,
	Unauthenticated: codes.Unauthenticated,
}

// nextKey carries the next command in ErrorInfo's metadata.
const nextKey = "next"

// maxMessage bounds what travels in a trailer: some peers refuse header blocks over 8 KiB.
const maxMessage = 2 << 10

// ToStatus turns an error into what travels. A context's error keeps its code; a status stays as it is; a foreign error becomes Internal without its text,
// which is the log's.
func ToStatus(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := As(err); ok {
		return e.status().Err()
	}
	var end *ended
	if errors.As(err, &end) {
		return end.s.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return status.Error(codes.DeadlineExceeded, "the deadline passed")
	}
	if errors.Is(err, context.Canceled) {
		return status.Error(codes.Canceled, "cancelled by the caller")
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, "internal error; the server's log has the rest")
}

func (e *Error) status() *status.Status {
	info := &errdetails.ErrorInfo{Reason: clean(e.Reason), Domain: Domain, Metadata: map[string]string{}}
	for k, v := range e.Meta {
		info.Metadata[clean(k)] = clean(v)
	}
	details := []protoadapt.MessageV1{info}
	if e.Next != "" {
		info.Metadata[nextKey] = clean(e.Next)
		// For people with a plain gRPC client, which prints Help; ours reads the metadata.
		details = append(details, &errdetails.Help{Links: []*errdetails.Help_Link{{Description: clean(e.Next)}}})
	}
	if len(e.Violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range e.Violations {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: clean(v.Field), Description: clean(v.Description)})
		}
		details = append(details, bad)
	}
	if e.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(e.RetryAfter)})
	}
	s := status.New(codeOf(e.Kind), clean(e.Message))
	if with, err := s.WithDetails(details...); err == nil {
		return with
	}
	return s
}

func codeOf(k Kind) codes.Code {
	if c, ok := kindCodes[k]; ok {
		return c
	}
	return codes.Internal
}

// clean makes text fit for a status: a protobuf string must be UTF-8, and a trailer must stay small.
func clean(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage-len("…")] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// FromStatus turns what came over the wire into a fault. A context's codes become the context's errors; a status without ErrorInfo of ours becomes a fault
// without a reason.
func FromStatus(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	switch s.Code() {
	case codes.Canceled:
		return &ended{s, context.Canceled}
	case codes.DeadlineExceeded:
		return &ended{s, context.DeadlineExceeded}
	}
	e := &Error{Kind: Internal, Message: s.Message()}
	for k, c := range kindCodes {
		if c == s.Code() {
			e.Kind = k
		}
	}
	for _, d := range s.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() != Domain {
				continue
			}
			e.Reason = d.GetReason()
			for k, v := range d.GetMetadata() {
				if k == nextKey {
					e.Next = v
				} else {
					e = e.WithMeta(k, v)
				}
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				e.Violations = append(e.Violations, Violation{v.GetField(), v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = max(0, d.GetRetryDelay().AsDuration())
		}
	}
	return e
}

// ended is a call that a context ended; it is both the context's error and its status.
type ended struct {
	s     *status.Status
	cause error
}

func (e *ended) Error() string              { return e.s.Message() }
func (e *ended) Unwrap() error              { return e.cause }
func (e *ended) GRPCStatus() *status.Status { return e.s }
