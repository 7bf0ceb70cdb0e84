package gateway

import (
	"cmp"
	"slices"
	"time"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// waitingMachine is a machine that only a person can set going again.
type waitingMachine struct {
	key   journal.Key
	since time.Time
}

// waitForPerson lists the studies and ideas that only a person can set going again, the longest wait first.
func (s *Service) waitForPerson() (out []waitingMachine) {
	s.journal.Each(func(m *journal.Machine) {
		c := m.Core()
		switch {
		case m.Damaged != nil:
		case c.Ended != nil || c.Wait == nil:
			return
		case !slices.Contains([]gatewayv1.WaitReason_Value{gatewayv1.WaitReason_APPROVAL, gatewayv1.WaitReason_BUDGET, gatewayv1.WaitReason_QUARANTINE}, c.Wait.GetReason()):
			return
		}
		out = append(out, waitingMachine{m.Key, c.WaitSince})
	})
	slices.SortStableFunc(out, func(a, b waitingMachine) int { return a.since.Compare(b.since) })
	return out
}

// day is what happened since midnight here.
type day struct {
	usage  recordv1.Usage
	gpu    float64       // hours
	ended  int           // ideas
	failed []journal.Key // ideas, and studies that came to none
}

// today sums the day up from the journals.
func (s *Service) today(now time.Time) *day {
	y, mo, d := now.Date()
	midnight := time.Date(y, mo, d, 0, 0, 0, 0, now.Location())
	out := &day{}
	s.journal.Each(func(m *journal.Machine) {
		for _, e := range slices.Backward(m.Events) {
			if e.GetTime().AsTime().Before(midnight) {
				break
			}
			if step := e.GetStepEnded(); step != nil {
				pipeline.AddUsage(&out.usage, pipeline.UsageOf(step))
				out.gpu += gpuHoursOf(step)
			}
		}
		c := m.Core()
		if c.Ended == nil || c.EndedAt.Before(midnight) {
			return
		}
		if !m.Key.IsStudy() {
			out.ended++
		}
		if c.State() == gatewayv1.IdeaState_FAILED {
			out.failed = append(out.failed, m.Key)
		}
	})
	slices.SortStableFunc(out.failed, func(a, b journal.Key) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// gpuHours sums what jobs of the chosen machines held of GPUs.
func (s *Service) gpuHours(of func(journal.Key) bool) (sum float64) {
	s.journal.Each(func(m *journal.Machine) {
		if !of(m.Key) {
			return
		}
		for _, step := range m.Core().Steps {
			sum += gpuHoursOf(step.Ended)
		}
	})
	return sum
}

func gpuHoursOf(e *gatewayv1.StepEnded) float64 {
	j := e.GetJob()
	return float64(len(j.GetGpuUuids())) * j.GetWall().AsDuration().Hours()
}
