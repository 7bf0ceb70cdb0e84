package executor

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

const scope = "nullius.dev/services/executor"

// metrics are the executor's. Names of jobs and nodes are no labels.
type metrics struct {
	meter       metric.Meter
	queueWait   metric.Float64Histogram // seconds from submit to the program's start
	runTime     metric.Float64Histogram // seconds the program ran
	ends        metric.Int64Counter     // of jobs, by reason
	attempts    metric.Int64Counter     // that gave no result, by how they ended
	droppedLog  metric.Int64Counter     // bytes
	leaked      metric.Int64Counter     // slots that stayed in use after a job
	lostLeases  metric.Int64Counter
	redelivered metric.Int64Counter
}

func newMetrics(p metric.MeterProvider) (*metrics, error) {
	if p == nil {
		p = noop.NewMeterProvider()
	}
	m := &metrics{meter: p.Meter(scope)}
	var errs [8]error
	seconds := metric.WithUnit("s")
	m.queueWait, errs[0] = m.meter.Float64Histogram("nullius_executor_queue_wait_seconds", seconds)
	m.runTime, errs[1] = m.meter.Float64Histogram("nullius_executor_run_seconds", seconds)
	m.ends, errs[2] = m.meter.Int64Counter("nullius_executor_jobs_ended_total")
	m.attempts, errs[3] = m.meter.Int64Counter("nullius_executor_attempts_without_result_total")
	m.droppedLog, errs[4] = m.meter.Int64Counter("nullius_executor_log_dropped_bytes_total", metric.WithUnit("By"))
	m.leaked, errs[5] = m.meter.Int64Counter("nullius_executor_slots_leaked_total")
	m.lostLeases, errs[6] = m.meter.Int64Counter("nullius_executor_leases_lost_total")
	m.redelivered, errs[7] = m.meter.Int64Counter("nullius_executor_redeliveries_total")
	return m, errors.Join(errs[:]...)
}

// observe reports the slots by kind and state for as long as the node runs.
func (m *metrics) observe(s *slots) (stop func(), err error) {
	g, err := m.meter.Int64ObservableGauge("nullius_executor_slots")
	if err != nil {
		return nil, err
	}
	type label struct{ kind, state string }
	r, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		count := map[label]int64{}
		for _, x := range s.describe() {
			count[label{x.GetKind(), x.GetState()}]++
		}
		for l, n := range count {
			o.ObserveInt64(g, n, metric.WithAttributes(attribute.String("kind", l.kind), attribute.String("state", l.state)))
		}
		return nil
	}, g)
	if err != nil {
		return nil, err
	}
	return func() { _ = r.Unregister() }, nil
}

func (m *metrics) ended(ctx context.Context, pool string, res *executorv1.JobResult) {
	by := metric.WithAttributes(attribute.String("pool", pool), attribute.String("reason", res.GetEndReason().String()))
	m.ends.Add(ctx, 1, by)
	m.runTime.Record(ctx, res.GetWall().AsDuration().Seconds(), by)
	m.queueWait.Record(ctx, res.GetQueueWait().AsDuration().Seconds(), metric.WithAttributes(attribute.String("pool", pool)))
	if n := res.GetStdout().GetDroppedBytes() + res.GetStderr().GetDroppedBytes(); n > 0 {
		m.droppedLog.Add(ctx, int64(n))
	}
}

func (m *metrics) lost(ctx context.Context, end string) {
	m.attempts.Add(ctx, 1, metric.WithAttributes(attribute.String("end", end)))
	if end == endLeaseLost || end == endSuperseded {
		m.lostLeases.Add(ctx, 1)
	}
}
