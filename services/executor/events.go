package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/kit/bus"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

// tellFor bounds one try to publish an event; the message of the job brings
// the next one.
const tellFor = 5 * time.Second

// told is the public event of a job's end; nil for a job of no study.
func told(r *executorv1.JobRecord) *gatewayv1.StudyEvent {
	name := strings.SplitN(r.GetJob().GetJobId(), "/", 3) // <study>/<idea>/<step>
	res := r.GetResult()
	if len(name) < 3 || res == nil {
		return nil
	}
	text := res.GetMessage()
	if res.GetNode() != "" {
		text = strings.TrimSuffix(fmt.Sprintf("on %s in %s: %s", res.GetNode(), res.GetWall().AsDuration().Round(10*time.Millisecond), text), ": ")
	}
	return &gatewayv1.StudyEvent{
		Study: name[0], Idea: name[1], Step: name[2], Kind: subject.KindJob, Time: res.GetEnded(), Attempt: res.GetAttempt(),
		Outcome: res.GetEndReason().String(), Text: text, Actor: "executor",
	}
}

// tell publishes a job's end among the events of its study, once for each
// attempt however often it is called. Without a gateway there is no stream,
// and nobody to tell.
func (j *jobs) tell(ctx context.Context, r *executorv1.JobRecord) error {
	e := told(r)
	if e == nil {
		return nil
	}
	data, err := protojson.Marshal(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, tellFor)
	defer cancel()
	msg := &nats.Msg{Subject: subject.Event(e.GetStudy(), e.GetIdea(), subject.KindJob), Data: data, Header: nats.Header{}}
	bus.Inject(ctx, msg.Header)
	id := subject.JobEventID(r.GetJob().GetJobId(), e.GetAttempt())
	_, err = j.bus.JS.PublishMsg(ctx, msg, jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		if _, e := j.bus.JS.Stream(ctx, subject.StreamEvents); errors.Is(e, jetstream.ErrStreamNotFound) {
			return nil
		}
	}
	return busFault(err, "tell of a job's end")
}
