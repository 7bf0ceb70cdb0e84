package sandbox_test

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestOrdinaryUser runs a choice of these tests once more as a user without any right, for whom no cgroup is delegated: one user for all, and memory by
// the watchdog. NULLIUS_SOAK runs all.
func TestOrdinaryUser(t *testing.T) {
	if shared {
		t.Log("all tests run as an ordinary user")
		return
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	home, err := os.MkdirTemp("", "nullius-home-")
	if err != nil {
		t.Fatal(err)
	}
	const id = 1_800_000_001
	t.Cleanup(func() { os.RemoveAll(home) })
	if err := os.Chown(home, id, id); err != nil {
		t.Fatal(err)
	}
	// Patterns are split at slashes before alternatives, so the choice is by test.
	which := []string{"^TestAttackBeyond_(processes|memory)$/./B(01|02|03|08|20|21|32)", "^(TestAttack_(memory|kernel|secrets|network)|TestSilent_nothing.*|TestFolders.*|TestUsers.*|TestShm.*|TestImage.*|TestRemoveTree.*|TestAttackFurther.*|TestRun_isCancelled.*)$"}
	if soaking {
		which = []string{"TestAttack|TestSilent|TestWorks|TestSandbox_TellsHow|TestFolders|TestUsers|TestShm|TestImage"}
	}
	for _, tests := range which {
		ordinary(t, self, home, id, tests)
	}
}

func ordinary(t *testing.T, self *os.File, home string, id uint32, which string) {
	t.Helper()
	cmd := exec.Command("/proc/self/fd/3", "-test.run="+which)
	cmd.ExtraFiles = []*os.File{self}
	cmd.Dir, cmd.Env = home, []string{"HOME=" + home, "TMPDIR=" + home, "PATH=/usr/bin:/bin", "NULLIUS_SOAK=" + os.Getenv("NULLIUS_SOAK")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, tail(string(out)))
	}
}

// TestContainer runs attacks at landlock once more as root without the right to mount, which is what default containers give.
func TestContainer(t *testing.T) {
	if shared {
		t.Log("not run: needs root")
		return
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Fatalf("%v (install: sudo apt-get install -y util-linux)", err)
	}
	cmd := exec.Command(setpriv, "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin", os.Args[0],
		"-test.run=^(TestAttack_(kernel|secrets|network|leftovers))$/^landlock$")
	cmd.Env = append(os.Environ(), "TMPDIR=/tmp")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, tail(string(out)))
	}
}
