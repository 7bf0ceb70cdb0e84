package fault_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"nullius.dev/kit/fault"
)

var kindCodes = map[fault.Kind]codes.Code{
	fault.Internal: codes.Internal, fault.Invalid: codes.InvalidArgument, fault.NotFound: codes.NotFound, fault.Exists: codes.AlreadyExists,
	fault.Precondition: codes.FailedPrecondition, fault.Conflict: codes.Aborted, fault.Expired: codes.OutOfRange, fault.Exhausted: codes.ResourceExhausted,
	fault.Unavailable: codes.Unavailable, fault.Denied: codes.PermissionDenied, fault.Unauthenticated: codes.Unauthenticated,
}

func TestEachKindHasItsCodeAndComesBack(t *testing.T) {
	for kind, code := range kindCodes {
		t.Run(kind.Error(), func(t *testing.T) {
			wire := fault.ToStatus(fmt.Errorf("while planning: %w", fault.New(kind, "REASON", "told")))
			if status.Code(wire) != code {
				t.Errorf("code %v, want %v", status.Code(wire), code)
			}
			back := fault.FromStatus(wire)
			for other := range kindCodes {
				if errors.Is(back, other) != (other == kind) {
					t.Errorf("errors.Is(%v, %v) is wrong", back, other)
				}
			}
			if fault.ReasonOf(back) != "REASON" || back.Error() != "told" {
				t.Errorf("got %v with reason %q", back, fault.ReasonOf(back))
			}
		})
	}
}

func TestWhatIsSaidComesBackAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringN(1, 30, 100)
		e := fault.New(rapid.SampledFrom([]fault.Kind{fault.Internal, fault.Invalid, fault.Exhausted}).Draw(t, "kind"), "REASON", "%s", word.Draw(t, "message"))
		e.Next = rapid.OneOf(rapid.Just(""), word).Draw(t, "next")
		e.RetryAfter = time.Duration(rapid.Int64Range(0, 1e12).Draw(t, "retry"))
		for range rapid.IntRange(0, 3).Draw(t, "metas") {
			e = e.WithMeta("key_"+rapid.StringMatching(`[a-z]{1,5}`).Draw(t, "key"), word.Draw(t, "value"))
		}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			e = e.WithField(word.Draw(t, "field"), word.Draw(t, "description"))
		}
		got, ok := fault.As(fault.FromStatus(fault.ToStatus(e)))
		if diff := cmp.Diff(e, got, cmpopts.IgnoreUnexported(fault.Error{}), cmpopts.EquateEmpty()); !ok || diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestTheCauseStaysHome(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.7: refused, key sk-123")
	err := fault.Wrap(cause, fault.Unavailable, "PROVIDER_UNAVAILABLE", "the provider does not answer")
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), "sk-123") {
		t.Errorf("the log loses the cause: %v", err)
	}
	if wire := fault.ToStatus(err).Error(); strings.Contains(wire, "sk-123") {
		t.Errorf("the wire has the cause: %v", wire)
	}
}

func TestContextErrorsKeepTheirMeaning(t *testing.T) {
	for _, ctxErr := range []error{context.Canceled, context.DeadlineExceeded} {
		got := fault.FromStatus(fault.ToStatus(fmt.Errorf("run: %w", ctxErr)))
		if !errors.Is(got, ctxErr) {
			t.Errorf("%v became %v", ctxErr, got)
		}
		if again := fault.FromStatus(fault.ToStatus(fmt.Errorf("next hop: %w", got))); !errors.Is(again, ctxErr) {
			t.Errorf("at the second hop %v became %v", ctxErr, again)
		}
	}
}

func TestOddInputIsSurvived(t *testing.T) {
	tests := []struct {
		name string
		err  error
	}{
		{"bytes that are not UTF-8", fault.New(fault.Invalid, "R\xff", "m\xff").WithNext("n\xff").WithMeta("k\xff", "v\xff").WithField("f\xff", "d\xff")},
		{"a message of a megabyte", fault.New(fault.Invalid, "R", "%s", strings.Repeat("ü", 1<<19))},
		{"an unknown kind", &fault.Error{Kind: 200, Message: "m"}},
		{"a kind alone", fault.NotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wire := fault.ToStatus(tt.err)
			if n := len(wire.Error()); n > 8<<10 {
				t.Errorf("%d bytes travel", n)
			}
			if fault.FromStatus(wire) == nil {
				t.Error("the error is lost")
			}
		})
	}
}

func TestAKindAloneTravels(t *testing.T) {
	if got := fault.FromStatus(fault.ToStatus(fmt.Errorf("deep: %w", fault.NotFound))); !errors.Is(got, fault.NotFound) {
		t.Errorf("got %v", got)
	}
}

func TestNoErrorStaysNone(t *testing.T) {
	if fault.ToStatus(nil) != nil || fault.FromStatus(nil) != nil {
		t.Error("nil became an error")
	}
}

func TestAForeignStatusHasAKindAndNoReason(t *testing.T) {
	got := fault.FromStatus(status.Error(codes.Unavailable, "connection refused"))
	if !errors.Is(got, fault.Unavailable) || fault.ReasonOf(got) != "" {
		t.Errorf("got %v", got)
	}
}
