package gateway

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// lifeVar holds the folder in which the test binary, started again, is to die.
const lifeVar = "NULLIUS_TEST_LIFE"

// TestLife_child is the process that dies in TestLife_tellsACrashFromAKill; it does nothing by itself.
func TestLife_child(t *testing.T) {
	dir := os.Getenv(lifeVar)
	if dir == "" {
		return
	}
	if _, err := openLife(dir, "the child"); err != nil {
		t.Fatal(err)
	}
	if os.Getenv(lifeVar+"_KILLED") != "" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	done := make(chan bool)
	go func() { panic("a step that kills its process") }() // as a goroutine that no handler guards
	<-done
}

func TestLife_tellsACrashFromAKill(t *testing.T) {
	for name, killed := range map[string]string{"crash": "", "kill": "yes"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := exec.Command(os.Args[0], "-test.run=^TestLife_child$")
			cmd.Env = append(os.Environ(), lifeVar+"="+dir, lifeVar+"_KILLED="+killed)
			if out, err := cmd.CombinedOutput(); err == nil {
				t.Fatalf("the child lives on\n%s", out)
			}
			l, err := openLife(dir, "the next")
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			if l.before.owner != "the child" || l.before.crashed != (killed == "") || time.Since(l.before.seen) > time.Minute {
				t.Errorf("got %+v", l.before)
			}
			if _, err := os.Stat(filepath.Join(dir, "gateway.crash")); (err == nil) != l.before.crashed {
				t.Errorf("the report: %v", err)
			}
			again, err := openLife(dir, "a third beside it")
			if err != nil || again.file != nil || again.before.owner != "" {
				t.Errorf("two live in one folder: %+v, %v", again, err)
			}
		})
	}
}

func TestLife_tellsOfItsOwnOwnerOnly(t *testing.T) {
	start := time.Unix(1000, 0)
	f := former{owner: "a", seen: start.Add(40 * time.Second), crashed: true}
	for owner, want := range map[string]time.Duration{"a": 40 * time.Second, "b": 0, "": 0} {
		c := &gatewayv1.Claimed{}
		f.tell(c, owner, start)
		if c.GetLived().AsDuration() != want || c.GetCrashed() != (want > 0) {
			t.Errorf("of %q: %v", owner, c)
		}
	}
	c := &gatewayv1.Claimed{}
	f.tell(c, "a", start.Add(time.Hour)) // its file is older than the step
	if c.GetLived().AsDuration() != 0 {
		t.Errorf("got %v", c)
	}
}
