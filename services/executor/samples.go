package executor

import (
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/kit/sandbox"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
)

// sampled tells watchers what the program uses. Who is not listening misses nothing: the next one comes in a second.
func (a *attempt) sampled(u sandbox.Usage) {
	s := &executorv1.Sample{
		Attempt: a.number, At: timestamppb.Now(), Cpu: durationpb.New(u.CPU), MemoryBytes: u.MemoryBytes, PeakMemoryBytes: u.PeakMemoryBytes,
		Io: ioOf(u.IO), Stalled: stallsOf(u.Stalled),
	}
	for _, m := range a.meters {
		if g := m.latest(); g != nil {
			s.Gpus = append(s.Gpus, g)
		}
	}
	if b, err := proto.Marshal(s); err == nil {
		_ = a.n.s.d.Bus.NC.Publish(subject.JobSample(logKey(a.id)), b)
	}
}

func ioOf(u *sandbox.IO) *executorv1.Io {
	if u == nil {
		return nil
	}
	return &executorv1.Io{ReadBytes: u.ReadBytes, WrittenBytes: u.WrittenBytes}
}

func stallsOf(s *sandbox.Stalls) *executorv1.Stalls {
	if s == nil {
		return nil
	}
	return &executorv1.Stalls{Cpu: durationpb.New(s.CPU), Memory: durationpb.New(s.Memory), Io: durationpb.New(s.IO)}
}

// samples listens to what a job uses. A watcher that is slow misses some.
func (j *jobs) samples(id string) (told <-chan *nats.Msg, stop func(), err error) {
	got := make(chan *nats.Msg, 4)
	sub, err := j.bus.NC.ChanSubscribe(subject.JobSample(logKey(id)), got)
	if err != nil {
		return nil, nil, busFault(err, "listen to a job")
	}
	return got, func() { _ = sub.Unsubscribe() }, nil
}

// sample passes on what the attempt that is watched uses.
func (f *follower) sample(m *nats.Msg) error {
	s := &executorv1.Sample{}
	if proto.Unmarshal(m.Data, s) != nil || s.GetAttempt() < f.attempt {
		return nil
	}
	return f.send(&executorv1.WatchResponse{Event: &executorv1.WatchResponse_Sample{Sample: s}})
}
