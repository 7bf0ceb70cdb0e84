package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

// six is the services and the gateway as processes of their own over TCP, beside a broker process.
type six struct {
	t      *testing.T
	w      *world
	h      home
	broker string
	at     map[string]string // address by service
	env    map[string][]string
	procs  map[string]*child
}

// startSix starts all; settings are further variables by service.
func (w *world) startSix(t *testing.T, settings map[string][]string) *six {
	t.Helper()
	s := &six{t: t, w: w, h: newHome(t), broker: freePort(t), at: map[string]string{}, env: map[string][]string{}, procs: map[string]*child{}}
	s.startBroker()
	names := []string{"ideation", "coder", "executor", "writer", "reviewer"}
	var peers []string
	for _, name := range names {
		s.at[name] = freePort(t)
		peers = append(peers, "NULLIUS_GATEWAY_PEERS_"+strings.ToUpper(name)+"=dns:///"+s.at[name])
	}
	s.at["gateway"] = freePort(t)
	for _, name := range append(names, "gateway") {
		s.env[name] = settings[name]
	}
	s.env["writer"] = append(s.env["writer"], "NULLIUS_WRITER_PEERS_LITERATURE=dns:///"+s.at["ideation"])
	s.env["gateway"] = append(s.env["gateway"], peers...)
	for _, name := range append(names, "gateway") {
		s.start(name, name)
	}
	return s
}

func (s *six) startBroker() {
	s.t.Helper()
	s.procs["broker"] = spawn(s.t, "broker", s.h.env(), filepath.Join(s.w.bin, "nullius"), "serve", "nats", "--data-dir", s.h.data, "--listen", s.broker)
	s.procs["broker"].listens(s.broker)
}

// start starts a service, or starts it again; as names the process when there are several of a service.
func (s *six) start(name, as string, more ...string) {
	s.t.Helper()
	if s.at[as] == "" {
		s.at[as] = freePort(s.t)
	}
	prefix := "NULLIUS_" + strings.ToUpper(name) + "_"
	env := append(s.h.env(), prefix+"NATS=nats://"+s.broker, prefix+"DATA_DIR="+s.h.data, prefix+"LISTEN="+s.at[as])
	env = append(append(env, s.env[name]...), more...)
	s.procs[as] = spawn(s.t, as, env, filepath.Join(s.w.bin, name))
	s.procs[as].listens(s.at[as])
}

// stop stops all in order, the broker last.
func (s *six) stop() {
	for _, name := range []string{"gateway", "ideation", "coder", "executor", "first", "second", "writer", "reviewer", "broker"} {
		if c := s.procs[name]; c != nil {
			c.stop()
		}
	}
}

// until waits until a study's idea is in a step whose name begins with a text.
func (s *six) until(study, step string) {
	s.t.Helper()
	idea := strings.TrimSuffix(study, "/") + "/ideas/idea-1"
	eventually(s.t, 2*time.Minute, func() error { return stepAt(s.t, s.at["gateway"], idea, step, 1) })
}

// sixProcesses runs a study in processes that nobody disturbs.
func (w *world) sixProcesses(t *testing.T) {
	w.f.Reset()
	s := w.startSix(t, nil)
	name := begin(t, s.at["gateway"], w.template, w.f)
	finish(t, s.at["gateway"], name, 3*time.Minute)
	outcomeOf(t, s.at["gateway"], name).same(t, w.want)
	w.notTwice(t, nil)
	s.stop()
	s.h.audit(t)
}

// sixKilled kills processes of the six one by one while they work, and starts them again at once.
func (w *world) sixKilled(t *testing.T) {
	w.f.Reset()
	settings := map[string][]string{"gateway": {"NULLIUS_GATEWAY_SOLE_OWNER=true"}}
	if soaking() {
		settings = nil // the next gateway waits up to 30 s for what the dead one held
	}
	s := w.startSix(t, settings)
	name := begin(t, s.at["gateway"], w.template, w.f)
	allowed := map[string]int{}
	for _, k := range []struct {
		victim, step string
		soak         bool // its call is taken over only when the record has stood still for 20 s
	}{
		{"ideation", "novelty/assess", true},
		{"coder", "experiments/run-1/implement", true},
		{"executor", "experiments/run-2/execute-", false},
		{"gateway", "experiments/run-3/", false},
		{"broker", "figures/", true},
		{"writer", "writing/draft", true},
		{"reviewer", "review/review", true},
	} {
		if k.soak && !soaking() {
			continue
		}
		waited := time.Now()
		s.until(name, k.step)
		switch k.victim {
		case "ideation", "coder", "reviewer", "broker":
			eventually(t, time.Minute, func() error {
				if len(w.f.Flying(0)) == 0 {
					return fmt.Errorf("no call of %s is in flight", k.victim)
				}
				return nil
			})
		case "executor":
			eventually(t, time.Minute, func() error { _, _, err := busy(t, s.at["executor"]); return err })
		}
		began := time.Now()
		s.procs[k.victim].kill()
		if k.victim != "gateway" && k.victim != "executor" { // which call no models: nothing is repeated for them
			for id, n := range w.f.Flying(250*time.Millisecond + time.Since(began)) {
				allowed[id] += n
			}
		}
		again := time.Now()
		if k.victim == "broker" {
			s.startBroker()
		} else {
			s.start(k.victim, k.victim)
		}
		t.Logf("%s after %s: %s killed, serving again after %s", k.step, began.Sub(waited).Round(time.Millisecond), k.victim, time.Since(again).Round(time.Millisecond))
	}
	waited := time.Now()
	finish(t, s.at["gateway"], name, 3*time.Minute)
	t.Logf("ended after %s", time.Since(waited).Round(time.Millisecond))
	outcomeOf(t, s.at["gateway"], name).same(t, w.want)
	w.notTwice(t, allowed)
	s.stop()
	s.h.audit(t)
}

// secondExecutor kills an executor in a job; another one, started while the study ran, takes what it left. A third has no slots and only answers.
func (w *world) secondExecutor(t *testing.T) {
	quick := []string{"NULLIUS_EXECUTOR_HEARTBEAT=300ms", "NULLIUS_EXECUTOR_NODE_TTL=1s", "NULLIUS_EXECUTOR_ACK_WAIT=1s", "NULLIUS_EXECUTOR_BUSY_DELAY=300ms"}
	if soaking() {
		quick = nil // 45 s until it is noticed
	}
	w.f.Reset()
	s := w.startSix(t, map[string][]string{"executor": quick})
	state := func(as string) string { return "NULLIUS_EXECUTOR_STATE=" + filepath.Join(s.h.data, "executor-"+as) }
	s.procs["executor"].stop()
	s.start("executor", "executor", "NULLIUS_EXECUTOR_POOLS=none", state("answers"))
	s.start("executor", "first", state("first"), "NULLIUS_EXECUTOR_NODE=first")
	name := begin(t, s.at["gateway"], w.template, w.f)
	s.until(name, "experiments/run-1/execute-")
	s.start("executor", "second", state("second"), "NULLIUS_EXECUTOR_NODE=second")
	var victim, job string
	eventually(t, time.Minute, func() (err error) { victim, job, err = busy(t, s.at["executor"]); return err })
	s.procs[victim].kill()
	lost := time.Now()
	finish(t, s.at["gateway"], name, 4*time.Minute)
	t.Logf("killed the %s executor in %s; the study ended %s later", victim, job, time.Since(lost).Round(time.Millisecond))
	outcomeOf(t, s.at["gateway"], name).same(t, w.want)
	w.notTwice(t, nil)
	s.start("executor", victim, state(victim), "NULLIUS_EXECUTOR_NODE="+victim) // it clears what it left
	s.stop()
	s.h.audit(t)
}

// busy finds a node that has a job of an experiment.
func busy(t *testing.T, address string) (node, job string, err error) {
	cl, err := dial(address)
	if err != nil {
		return "", "", err
	}
	defer cl.conn.Close()
	nodes, err := executorv1.NewExecutorServiceClient(cl.conn).ListNodes(t.Context(), &executorv1.ListNodesRequest{})
	if err != nil {
		return "", "", err
	}
	for _, n := range nodes.GetNodes() {
		for _, slot := range n.GetSlots() {
			if strings.Contains(slot.GetJobId(), "/execute-") {
				return n.GetName(), slot.GetJobId(), nil
			}
		}
	}
	return "", "", fmt.Errorf("no experiment runs on any of %d nodes", len(nodes.GetNodes()))
}
