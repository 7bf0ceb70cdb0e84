package pipeline

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// Action is what a machine does next: one of Run, Sleep, Append, Stop.
type Action interface{ action() }

// Run executes a step: append StepStarted, call the worker or submit the job, append StepEnded or StepFailed.
type Run struct {
	Step    string
	Attempt int32
	Request any // a worker's request message, or *executorv1.Job
}

// Sleep waits until a time, then does Then; a new event on the way ends it, and Decide is asked again. A zero Until waits for an event alone.
type Sleep struct {
	Until time.Time
	Then  Action
}

// Append appends an event.
type Append struct{ Event *gatewayv1.JournalEvent }

// Stop gives the machine up: it has ended, or waits for a person.
type Stop struct{}

func (Run) action()    {}
func (Sleep) action()  {}
func (Append) action() {}
func (Stop) action()   {}

func waiting(reason gatewayv1.WaitReason_Value, stage, message string, retry *timestamppb.Timestamp) Action {
	return Append{&gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Waiting{Waiting: &gatewayv1.Waiting{
		Reason: reason, Stage: stage, Message: message, RetryAt: retry,
	}}}}
}

func ended(state gatewayv1.IdeaState_Value, reason, message, next string) Action {
	return Append{&gatewayv1.JournalEvent{Event: &gatewayv1.JournalEvent_Ended{Ended: &gatewayv1.Ended{
		State: state, Reason: reason, Message: message, Next: next,
	}}}}
}

// blocked answers what stands before any step: an end, a wait, quarantine. Nil means that nothing does.
func (c *Core) blocked() Action {
	switch {
	case c.Ended != nil:
		return Stop{}
	case c.Cancel != nil:
		return nil // the machine's own Decide ends it
	case c.Wait == nil && (c.Crashes >= maxCrashes || c.Deaths >= maxDeaths):
		return waiting(gatewayv1.WaitReason_QUARANTINE, "", fmt.Sprintf(
			"the process died %d times in step %s without getting further; a person should look, then approve", c.Deaths, c.Open), nil)
	case c.Wait == nil:
		return nil
	}
	switch c.Wait.GetReason() {
	case gatewayv1.WaitReason_PROVIDER, gatewayv1.WaitReason_SERVICE, gatewayv1.WaitReason_STORAGE:
		return Sleep{Until: c.Wait.GetRetryAt().AsTime(), Then: Append{&gatewayv1.JournalEvent{
			Event: &gatewayv1.JournalEvent_Resumed{Resumed: &gatewayv1.Resumed{Cause: "probe"}}}}}
	}
	return Stop{}
}

// afterFailure decides what a step's failure leads to (pipeline.md section 4); again is the step's next attempt.
func (c *Core) afterFailure(s *Step, again Run) Action {
	f := s.Failed
	n := len(s.Failures)
	switch f.GetReason() {
	case ReasonStopped:
		return again
	case "BUDGET_EXCEEDED":
		return waiting(gatewayv1.WaitReason_BUDGET, "", f.GetMessage(), nil)
	case "STORAGE_FULL":
		return waiting(gatewayv1.WaitReason_STORAGE, "", f.GetMessage(), f.GetRetryAt())
	case "PROVIDER_UNAVAILABLE": // the model door has tried long enough
		return waiting(gatewayv1.WaitReason_PROVIDER, "", f.GetMessage(), f.GetRetryAt())
	}
	switch f.GetCode() {
	case "UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELED", "ABORTED":
		if n > len(RetryDelays) {
			return waiting(gatewayv1.WaitReason_SERVICE, "", f.GetMessage(), f.GetRetryAt())
		}
	case "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "FAILED_PRECONDITION":
		return ended(gatewayv1.IdeaState_FAILED, f.GetReason(), f.GetMessage(), f.GetNext())
	default:
		if n >= 2 {
			return ended(gatewayv1.IdeaState_FAILED, f.GetReason(), f.GetMessage(), f.GetNext())
		}
	}
	return Sleep{Until: f.GetRetryAt().AsTime(), Then: again}
}

// RetryDelays are the waits before attempts 2 to 6 of a step whose worker is away; after that it waits for a probe, each ProbeEvery.
var RetryDelays = []time.Duration{200 * time.Millisecond, time.Second, 5 * time.Second, 15 * time.Second, time.Minute}

// ProbeEvery is how often a wait for a service, provider or store is tried.
const ProbeEvery = time.Minute

// RetryAt gives the time before which a step that failed for the n-th time (from 1) in a row is not tried again.
// Waits that only a probe can lift are tried each minute.
func RetryAt(now time.Time, code, reason string, n int, jitter float64) time.Time {
	if reason == "PROVIDER_UNAVAILABLE" || reason == "STORAGE_FULL" || n > len(RetryDelays) {
		return now.Add(ProbeEvery)
	}
	d := RetryDelays[max(0, n-1)]
	return now.Add(d + time.Duration(jitter*0.25*float64(d)))
}
