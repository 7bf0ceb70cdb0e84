package executor_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/kittest"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	"nullius.dev/proto/subject"
)

// killPoint is a moment in the life of a job: before or after the broker gets
// one of the executor's writes. The program of a job that was collecting, or
// further, must not run again.
type killPoint struct {
	write string
	after bool
	state string // in which the job is for everybody else
	once  bool   // the first attempt's result is the one that counts
	short string // which short forms it is part of: of the executor's kills, the broker's
}

var killPoints = []killPoint{
	{"fetch", true, "reserved, asking for a message", true, ""},
	{"announce", false, "fetched", true, ""},
	{"announce", true, "said to be held", true, ""},
	{"record 1", false, "about to be claimed", true, ""},
	{"record 1", true, "claimed", false, "executor"},
	{"record 2", true, "staging", false, ""},
	{"record 3", false, "staged", false, ""},
	{"record 3", true, "running", false, "executor"},
	{"record 4", false, "over, and nobody knows", false, ""},
	{"record 4", true, "collecting", false, ""},
	{"record 5", false, "about to be committed", true, "executor"},
	{"record 5", true, "committed", true, "executor broker"},
	{"event", false, "committed, not told", true, ""},
	{"event", true, "told", true, ""},
	{"ack", false, "told, not acknowledged", true, "executor"},
	{"ack", true, "acknowledged", true, ""},
}

func (p killPoint) String() string {
	return fmt.Sprintf("%s (%s, after %t)", p.state, p.write, p.after)
}

// chosen are the kill points of this form of a test.
func chosen(whose string) (out []killPoint) {
	for _, p := range killPoints {
		if size(0, 1) == 1 || strings.Contains(p.short, whose) {
			out = append(out, p)
		}
	}
	return out
}

// publicEvents makes the stream that the gateway would.
func (c *cluster) publicEvents(t *testing.T) jetstream.Stream {
	t.Helper()
	s, err := c.bus.Stream(t.Context(), jetstream.StreamConfig{
		Name: subject.StreamEvents, Subjects: []string{subject.EventsAll}, Duplicates: 10 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settled checks what must hold after each kill: the job ended once, with its
// own result and one event, and nothing of it is left.
func (c *cluster) settled(t *testing.T, p killPoint, j *executorv1.Job, events jetstream.Stream, folder string) {
	t.Helper()
	r := c.until(t, j.GetJobId(), 30*time.Second, ended).GetResult()
	if r.GetEndReason() != executorv1.EndReason_SUCCEEDED || len(r.GetMeasurements()) != 2 || p.once && r.GetAttempt() != 1 || r.GetAttempt() > 2 {
		t.Errorf("%s: %v", p, r)
	}
	kittest.Eventually(t, 20*time.Second, func() error {
		told := 0
		for _, e := range c.told(events) {
			if strings.HasSuffix(j.GetJobId(), "/"+e.GetStep()) {
				told++
			}
		}
		if told != 1 {
			return fmt.Errorf("%s: %d events tell of its end", p, told)
		}
		left, err := filepath.Glob(filepath.Join(folder, "[jw]*", "*"))
		if err != nil || len(left) > 0 {
			return fmt.Errorf("%s: left: %v, %v", p, left, err)
		}
		if n := marked(c.mark(j)); n > 0 {
			return fmt.Errorf("%s: %d processes are left", p, n)
		}
		return nil
	})
	queueIsEmpty(t, c.world)
	if again := c.until(t, j.GetJobId(), time.Second, ended).GetResult(); again.GetAttempt() != r.GetAttempt() || again.GetSnapshot() != r.GetSnapshot() {
		t.Errorf("%s: the outcome changed: %v, %v", p, r, again)
	}
}

// brief is a job that is over soon, whose process can be found.
func (c *cluster) brief(id string) *executorv1.Job {
	mark := c.label(id)
	j := c.job(id, "import time\ntime.sleep(0.2)\n"+good)
	j.Argv = append(j.Argv, mark)
	j.Env = map[string]string{"NULLIUS_SIZE": "lite"}
	return j
}

func TestRestart_KilledInEachState(t *testing.T) {
	c := newCluster(t)
	events := c.publicEvents(t)
	w := newWire(t, strings.TrimPrefix(c.url, "nats://"))
	start := func() *exec.Cmd { return c.child(t, childOrders{State: "a", Node: "a", NATS: "nats://" + w.address}) }
	victim := start()
	for i, p := range chosen("executor") {
		j := c.brief(fmt.Sprintf("killed-%d", i))
		killed := w.arm(j.GetJobId(), p.write, p.after, func() { _ = victim.Process.Signal(syscall.SIGKILL) })
		c.submit(c.client, j)
		select {
		case <-killed:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: the executor never came there", p)
		}
		_ = victim.Wait()
		w.close()
		w.arm("", "", false, nil)
		victim = start()
		c.settled(t, p, j, events, filepath.Join(c.dir, "a"))
	}
}

func TestRestart_TheBrokerKilledInEachState(t *testing.T) {
	c, broker := newKillable(t)
	b := broker()
	c.connect(t)
	events := c.publicEvents(t)
	w := newWire(t, strings.TrimPrefix(c.url, "nats://"))
	c.child(t, childOrders{State: "a", Node: "a", NATS: "nats://" + w.address, Poison: 1000})
	for i, p := range chosen("broker") {
		j := c.brief(fmt.Sprintf("broken-%d", i))
		killed := w.arm(j.GetJobId(), p.write, p.after, func() { _ = b.Process.Kill() })
		persist(t, func() error {
			_, err := c.client.Submit(t.Context(), &executorv1.SubmitRequest{Job: j})
			return err
		})
		select {
		case <-killed:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: the executor never came there", p)
		}
		_ = b.Wait()
		w.close()
		w.arm("", "", false, nil)
		b = broker()
		p.once = true // the executor lives
		c.settled(t, p, j, events, filepath.Join(c.dir, "a"))
	}
}
