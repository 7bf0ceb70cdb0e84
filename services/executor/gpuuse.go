package executor

import (
	"context"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/services/executor/internal/gpu"
)

// sampleEvery is how often a GPU is read while a job uses it.
const sampleEvery = time.Second

// gpuMeter records what a job does with one GPU.
type gpuMeter struct {
	device gpu.Device
	began  time.Time

	mu      sync.Mutex // guards what follows
	samples []gpu.Reading
	at      []time.Time
}

func (m *gpuMeter) take(b gpu.Backend) {
	if r, err := b.Read(m.device.UUID); err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.samples, m.at = append(m.samples, r), append(m.at, time.Now())
	}
}

// latest is the last reading; nil: there was none.
func (m *gpuMeter) latest() *executorv1.GpuSample {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.samples) == 0 {
		return nil
	}
	r := m.samples[len(m.samples)-1]
	return &executorv1.GpuSample{
		Uuid: m.device.UUID, Utilization: r.Utilization, MemoryUsedBytes: r.MemoryUsed,
		PowerWatts: float64(r.PowerMilliwatts) / 1000, TemperatureCelsius: r.Celsius,
	}
}

// measureGPUs samples the attempt's GPUs until ctx ends, and once more.
func (a *attempt) measureGPUs(ctx context.Context) {
	t := time.NewTicker(sampleEvery)
	defer t.Stop()
	for ctx.Err() == nil {
		for _, m := range a.meters {
			m.take(a.n.s.d.GPUs)
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	for _, m := range a.meters {
		m.take(a.n.s.d.GPUs)
	}
}

// use sums the samples up. Means are over samples, since they come at a steady
// pace; sums over time use the time between them.
func (m *gpuMeter) use(xids []uint32) *executorv1.GpuUse {
	u := &executorv1.GpuUse{
		Uuid: m.device.UUID, Model: m.device.Model, Driver: m.device.Driver, Held: durationpb.New(time.Since(m.began)), Xids: xids,
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.samples)
	if n == 0 {
		return u
	}
	first, last := m.samples[0], m.samples[n-1]
	var busy []float64
	joules := 0.0
	for i, s := range m.samples {
		busy = append(busy, float64(s.Utilization))
		u.UtilizationMean += float64(s.Utilization) / float64(n)
		u.MemoryUtilizationMean += float64(s.MemoryUtilization) / float64(n)
		u.ClockMeanMhz += float64(s.ClockMHz) / float64(n)
		u.PeakMemoryBytes = max(u.PeakMemoryBytes, s.MemoryUsed)
		u.TemperatureMaxCelsius = max(u.TemperatureMaxCelsius, s.Celsius)
		if i == 0 {
			continue
		}
		seconds := m.at[i].Sub(m.at[i-1]).Seconds()
		joules += float64(s.PowerMilliwatts) / 1000 * seconds
		for _, why := range s.Throttled {
			if u.ThrottledSeconds == nil {
				u.ThrottledSeconds = map[string]float64{}
			}
			u.ThrottledSeconds[why] += seconds
		}
	}
	slices.Sort(busy)
	u.UtilizationP95 = busy[(n*95+99)/100-1]
	switch {
	case first.EnergyMillijoules != nil && last.EnergyMillijoules != nil && *last.EnergyMillijoules >= *first.EnergyMillijoules:
		joules = float64(*last.EnergyMillijoules-*first.EnergyMillijoules) / 1000
		u.EnergyJoules = &joules
	case joules > 0:
		u.EnergyJoules, u.EnergyEstimated = &joules, true
	}
	u.EccCorrected = since(last.ECCCorrected, first.ECCCorrected)
	u.EccUncorrected = since(last.ECCUncorrected, first.ECCUncorrected)
	return u
}

// since is the growth of a counter; one that fell was reset.
func since(now, then uint64) uint64 {
	if now < then {
		return now
	}
	return now - then
}

// noteXID keeps a driver's error of one of the attempt's GPUs.
func (a *attempt) noteXID(e gpu.Event) {
	a.xidMu.Lock()
	defer a.xidMu.Unlock()
	if a.xids == nil {
		a.xids = map[string][]uint32{}
	}
	if len(a.xids[e.UUID]) < 16 {
		a.xids[e.UUID] = append(a.xids[e.UUID], e.XID)
	}
	if a.firstXID == 0 {
		a.firstXID = e.XID
	}
}

// gpuRecord puts what the GPUs did into a result.
func (a *attempt) gpuRecord(res *executorv1.JobResult) {
	a.xidMu.Lock()
	defer a.xidMu.Unlock()
	res.GpuXid = a.firstXID
	for _, m := range a.meters {
		res.Gpus = append(res.Gpus, m.use(a.xids[m.device.UUID]))
	}
}

// openMeters begins the records, and notes the memory in use before the job.
func (a *attempt) openMeters() {
	for _, s := range a.slots {
		if s.kind != "gpu" {
			continue
		}
		a.meters = append(a.meters, &gpuMeter{device: s.device, began: time.Now()})
		if r, err := a.n.s.d.GPUs.Read(s.id); err == nil {
			a.n.slots.mu.Lock()
			s.idle = r.MemoryUsed
			a.n.slots.mu.Unlock()
		}
	}
}
