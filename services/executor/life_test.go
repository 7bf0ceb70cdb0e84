package executor

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/kittest"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// put makes a record in a state; what ends it, ended at.
func (j *jobs) plant(t *testing.T, id string, s executorv1.State_Value, at time.Time) {
	t.Helper()
	r := &record{JobRecord: &executorv1.JobRecord{Job: &executorv1.Job{JobId: id, Pool: "cpu"}, State: s, Submitted: timestamppb.New(at)}}
	if s == executorv1.State_ENDED {
		r.Result = &executorv1.JobResult{Ended: timestamppb.New(at), EndReason: executorv1.EndReason_SUCCEEDED}
	}
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.state.Create(t.Context(), id, data); err != nil {
		t.Fatal(err)
	}
}

func TestJobs_PruneKeepsWhatHasNotEnded(t *testing.T) {
	j, err := openJobs(t.Context(), kittest.NATS(t), DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	old := now.Add(-100 * time.Hour)
	j.plant(t, "a/old/ended", executorv1.State_ENDED, old)
	j.plant(t, "a/new/ended", executorv1.State_ENDED, now)
	j.plant(t, "a/old/queued", executorv1.State_QUEUED, old)
	j.plant(t, "a/old/running", executorv1.State_RUNNING, old)
	for want := range 2 {
		gone, err := j.prune(t.Context(), 50*time.Hour, now)
		if err != nil || gone != 1-want {
			t.Fatalf("round %d: %d are gone, %v", want, gone, err)
		}
	}
	keys, err := j.state.Keys(t.Context(), jetstream.MetaOnly())
	if err != nil || len(keys) != 3 {
		t.Errorf("%v, %v", keys, err)
	}
	st, err := j.state.Status(t.Context())
	if err != nil || st.Values() != 3 {
		t.Errorf("a marker stayed: %v, %v", st, err)
	}
	j.plant(t, "a/old/ended", executorv1.State_QUEUED, now) // the id is free again
}

func TestRecord_LossesCountByWhatTheRecordSays(t *testing.T) {
	for _, c := range []struct {
		name           string
		r              record
		end            string
		poison, losses int
		infra          int
	}{
		{"while it was staged", record{}, endLost, 0, 1, 0},
		{"soon after the program began", record{Began: time.Now()}, endLost, 1, 1, 0},
		{"noticed a day later", record{Began: time.Now().Add(-24 * time.Hour)}, endLost, 1, 1, 0},
		{"by a clock that is ahead", record{Began: time.Now().Add(10 * time.Minute)}, endLost, 1, 1, 0},
		{"after the node had outlived the program's start", record{Began: time.Now(), Outlived: true}, endLost, 0, 1, 0},
		{"by a drain", record{Began: time.Now()}, endInterrupted, 0, 0, 0},
		{"by a full store", record{Began: time.Now()}, endFull, 0, 0, 0},
		{"by the node's trouble", record{Began: time.Now()}, endInfra, 0, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.JobRecord = &executorv1.JobRecord{State: executorv1.State_RUNNING, Attempt: 1}
			c.r.lose(c.end)
			if c.r.Poison != c.poison || c.r.Losses != c.losses || c.r.Infra != c.infra || c.r.Outlived || !c.r.Began.IsZero() {
				t.Errorf("%+v", c.r)
			}
		})
	}
}

// TestJobs_TheBrokersClockTellsOfNodes has nodes whose clocks are an hour off:
// all that counts is when the broker heard of them.
func TestJobs_TheBrokersClockTellsOfNodes(t *testing.T) {
	j, err := openJobs(t.Context(), kittest.NATS(t), DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for name, off := range map[string]time.Duration{"behind": -time.Hour, "ahead": time.Hour} {
		b, err := protojson.Marshal(&executorv1.Node{Name: name, Instance: name, Heartbeat: timestamppb.New(time.Now().Add(off)), Finishing: []string{"a/b/c"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := j.nodes.Put(t.Context(), name, b); err != nil {
			t.Fatal(err)
		}
	}
	nodes, err := j.listNodes(t.Context())
	if err != nil || len(nodes) != 2 {
		t.Fatalf("%v, %v", nodes, err)
	}
	for _, n := range nodes {
		if age := time.Since(n.GetHeartbeat().AsTime()); age < -10*time.Second || age > 10*time.Second {
			t.Errorf("node %s was heard of %v ago", n.GetName(), age)
		}
		if held, err := j.holds(t.Context(), n.GetInstance(), "a/b/c"); err != nil || !held {
			t.Errorf("node %s still stores the results of a/b/c: %v, %v", n.GetName(), held, err)
		}
	}
}
