package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"nullius.dev/kit/config"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

// sandboxConfig is the executor's, as the environment leaves it: NULLIUS_EXECUTOR_SANDBOX_ISOLATION_MIN and the like.
func sandboxConfig() (sandbox.Config, error) {
	c := struct {
		Sandbox sandbox.Config `yaml:"sandbox"`
	}{sandbox.DefaultConfig()}
	c.Sandbox.RequireHardMemory = false // on a person's own machine a watchdog does, and results say so
	err := config.Load("executor", &c, "", os.Environ())
	return c.Sandbox, err
}

// openSandbox attacks and opens the level that the environment allows.
func openSandbox(ctx context.Context, log *slog.Logger) (*sandbox.Sandbox, error) {
	cfg, err := sandboxConfig()
	if err != nil {
		return nil, err
	}
	return sandbox.New(ctx, cfg, log)
}

// levelText says in a few words what holds experiments here.
func levelText(p sandbox.Probe) string {
	text := p.Level
	if p.MemoryWall == sandbox.WallWatchdog {
		text += ", memory by a watchdog"
	}
	return text
}

// isolationChecks are doctor's lines on a sandbox that was opened, or on why none was.
func isolationChecks(ctx context.Context, box *sandbox.Sandbox, err error) []check {
	if err == nil {
		k := check{Name: "sandbox", State: "ok", Text: levelText(box.Probe()) + ": every attack of the probe was held"}
		if box.Probe().MemoryWall == sandbox.WallWatchdog {
			k.State, k.Remedy = "warning", "systemd-run --user --scope -p Delegate=yes nullius serve (run, demo and serve do it themselves where it works)"
		}
		out := []check{k}
		for _, w := range box.Probe().Warnings {
			out = append(out, check{Name: "sandbox", State: "warning", Text: w})
		}
		return out
	}
	out := []check{{Name: "sandbox", State: "error", Text: err.Error(), Remedy: fault.NextOf(err)}}
	if sandbox.AppArmorForbids() {
		out = append(out, check{Name: "apparmor", State: "warning",
			Text:   "this host lets only programs with a profile make user namespaces; ideas, literature, reviews and the pages work without, experiments and LaTeX do not",
			Remedy: "sudo tee " + sandbox.AppArmorFile + " <<'EOF' && sudo apparmor_parser -r " + sandbox.AppArmorFile + "\n" + sandbox.AppArmorProfile() + "EOF"})
	}
	cfg, e := sandboxConfig()
	cfg.Isolation = sandbox.Isolation{Level: sandbox.LevelLandlock, Min: sandbox.LevelLandlock}
	if e != nil {
		return out
	}
	weaker, e := sandbox.New(ctx, cfg, newLogger("error"))
	if e != nil {
		return append(out, check{Name: "landlock", State: "warning", Text: e.Error(), Remedy: fault.NextOf(e)})
	}
	_ = weaker.Close()
	return append(out, check{Name: "landlock", State: "warning",
		Text:   "the weaker level " + levelText(weaker.Probe()) + " holds its attacks here; docs/sandbox.md tells what it leaves open",
		Remedy: "NULLIUS_EXECUTOR_SANDBOX_ISOLATION_MIN=landlock nullius serve"})
}

// delegatedVar is set for a process that was started once more with a cgroup of its own, or that need not try.
const delegatedVar = "NULLIUS_DELEGATED"

// delegate starts an ordinary user's run, demo or serve once more in a scope of systemd, whose cgroup is then his: only there is a memory limit the
// kernel's. Where there is no systemd of the user it returns, and a watchdog limits memory, which every result says.
func delegate(ctx context.Context, args []string) {
	if os.Geteuid() == 0 || os.Getenv(delegatedVar) != "" || !slices.ContainsFunc(args[1:], hosts) {
		return
	}
	if hard, _ := sandbox.HardMemory(); hard {
		return
	}
	run, err := exec.LookPath("systemd-run")
	if err != nil {
		return
	}
	scope := []string{run, "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if exec.CommandContext(ctx, run, append(slices.Clone(scope[1:]), "true")...).Run() != nil {
		return
	}
	self, err := os.Executable()
	if err != nil {
		return
	}
	_ = syscall.Exec(run, append(append(scope, self), args[1:]...), append(os.Environ(), delegatedVar+"=1")) // on failure: as it was
}

// hosts tells whether a word is a command that may run experiments in this process. A flag's value of that name costs one more start, and nothing else.
func hosts(word string) bool {
	return !strings.HasPrefix(word, "-") && slices.Contains([]string{"run", "demo", "serve"}, word)
}
