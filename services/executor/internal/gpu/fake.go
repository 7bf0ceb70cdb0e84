package gpu

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// Fake is a fixed list of devices that do nothing.
type Fake struct {
	List []Device
	Note string
}

// Devices implements Backend.
func (f Fake) Devices(context.Context) ([]Device, string) { return f.List, f.Note }

// Read implements Backend.
func (f Fake) Read(uuid string) (Reading, error) {
	for _, d := range f.List {
		if d.UUID == uuid {
			return Reading{}, nil
		}
	}
	return Reading{}, ErrLost
}

// Processes implements Backend.
func (Fake) Processes(string) ([]Process, error) { return nil, nil }

// Recovery implements Backend.
func (Fake) Recovery(string) (Recovery, error) { return RecoveryNone, nil }

// Wait implements Backend.
func (Fake) Wait(ctx context.Context, atMost time.Duration) ([]Event, error) {
	sleep(ctx, atMost)
	return nil, ctx.Err()
}

// Scenario is a file of JSON that says what the GPUs of a node do. It is read
// again at each look, so whoever rewrites it (by rename) changes the weather.
type Scenario struct {
	path string
	mu   sync.Mutex
	seen int // events delivered
}

// OpenScenario reads a scenario, to find its faults at once.
func OpenScenario(path string) (*Scenario, error) {
	s := &Scenario{path: path}
	_, err := s.read()
	return s, err
}

// State is what a scenario's file holds.
type State struct {
	Devices []StateDevice `json:"devices"`
	Events  []Event       `json:"events"` // in order; more are appended
}

// StateDevice is a device with what it does.
type StateDevice struct {
	Device
	Reading   Reading   `json:"reading"`
	Processes []Process `json:"processes"`
	Lost      bool      `json:"lost"`
	Recovery  string    `json:"recovery"` // "", "none", "needed"
}

func (s *Scenario) read() (State, error) {
	var st State
	b, err := os.ReadFile(s.path)
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err != nil {
		return State{}, fmt.Errorf("GPU scenario %s: %w", s.path, err)
	}
	return st, nil
}

func (s *Scenario) device(uuid string) (StateDevice, error) {
	st, err := s.read()
	if err != nil {
		return StateDevice{}, err
	}
	for _, d := range st.Devices {
		if d.UUID == uuid && !d.Lost {
			return d, nil
		}
	}
	return StateDevice{}, ErrLost
}

// Devices implements Backend.
func (s *Scenario) Devices(context.Context) ([]Device, string) {
	st, err := s.read()
	if err != nil {
		return nil, "no GPU: " + err.Error()
	}
	var all []Device
	for _, d := range st.Devices {
		if !d.Lost {
			all = append(all, d.Device)
		}
	}
	return all, ""
}

// Read implements Backend.
func (s *Scenario) Read(uuid string) (Reading, error) {
	d, err := s.device(uuid)
	return d.Reading, err
}

// Processes implements Backend.
func (s *Scenario) Processes(uuid string) ([]Process, error) {
	d, err := s.device(uuid)
	return d.Processes, err
}

// Recovery implements Backend.
func (s *Scenario) Recovery(uuid string) (Recovery, error) {
	d, err := s.device(uuid)
	switch d.Recovery {
	case "none":
		return RecoveryNone, err
	case "needed":
		return RecoveryNeeded, err
	}
	return RecoveryUnknown, err
}

// Wait implements Backend.
func (s *Scenario) Wait(ctx context.Context, atMost time.Duration) ([]Event, error) {
	for until := time.Now().Add(atMost); ctx.Err() == nil; sleep(ctx, 20*time.Millisecond) {
		st, err := s.read()
		if err != nil {
			sleep(ctx, atMost)
			return nil, err
		}
		s.mu.Lock()
		fresh := st.Events[min(s.seen, len(st.Events)):]
		s.seen = len(st.Events)
		s.mu.Unlock()
		if len(fresh) > 0 || time.Now().After(until) {
			return fresh, nil
		}
	}
	return nil, ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
