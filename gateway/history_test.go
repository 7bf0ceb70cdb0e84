package gateway_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// An idea's history is a git repository with a commit a step, the same each time, whose last tree is the result folder.
func TestAHistoryIsACommitAStep(t *testing.T) {
	w := newWorld(t)
	w.w.fail = func(job string) bool { return strings.HasSuffix(job, "run-2/execute-1") }
	idea := w.study(&gatewayv1.StudySettings{Ideas: 1}) + "/ideas/idea-1"
	i := w.ideaUntil(idea, gatewayv1.IdeaState_SUCCEEDED)
	stream := w.file(idea + "/history/git-fast-import")
	dir := t.TempDir()
	git := func(in string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
		cmd.Stdin = strings.NewReader(in)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v (apt-get install git): %v\n%s", args, err, out)
		}
		return string(out)
	}
	git("", "init", "-q", "--initial-branch=main")
	git(stream, "fast-import", "--quiet", "--done")
	git("", "reset", "-q", "--hard", "main")
	git("", "fsck", "--strict")
	log := strings.Split(strings.TrimSpace(git("", "log", "--reverse", "--date=unix", "--format=%ad %an %s")), "\n")
	var want []string
	for _, s := range i.GetSteps() {
		if s.GetState() == "ended" {
			want = append(want, fmt.Sprintf("%s: %s", s.GetStep(), s.GetOutcome()))
		}
	}
	if len(log) != len(want)+2 || !strings.Contains(log[0], "baseline: ") || !strings.Contains(log[len(log)-1], "results: ") {
		t.Fatalf("%d commits of %d steps:\n%s", len(log), len(want), strings.Join(log, "\n"))
	}
	for n, s := range want {
		if !strings.HasSuffix(log[n+1], " "+s) {
			t.Errorf("commit %d is %q, want %q", n+1, log[n+1], s)
		}
	}
	if out := git("", "log", "--format=%s", "--diff-filter=A", "--", "experiment.py"); !strings.HasPrefix(out, "baseline") {
		t.Errorf("experiment.py came with:\n%s", out)
	}
	if out := git("", "log", "--format=%s"); strings.Count(out, "run-2/execute-") != 2 {
		t.Errorf("the failed try of run 2 has no commit:\n%s", out)
	}
	files, err := w.api.ListFiles(t.Context(), &gatewayv1.ListFilesRequest{Parent: idea})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files.GetFiles() {
		if st, err := os.Stat(filepath.Join(dir, f.GetPath())); err != nil || st.Size() != f.GetSizeBytes() {
			t.Errorf("%s: %v", f.GetPath(), err)
		}
	}
	for _, c := range []struct {
		name   string
		status int
	}{{"git-fast-import", http.StatusOK}, {"bundle", http.StatusNotFound}} {
		body, resp := get(t, w.site()+"/v1/"+idea+"/history/"+c.name)
		if resp.StatusCode != c.status {
			t.Fatalf("%s: %s", c.name, resp.Status)
		}
		if c.status == http.StatusOK && (!strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") || !strings.HasPrefix(body, stream[:strings.Index(stream, "results: ")])) {
			t.Errorf("REST gives another history than ReadFile, or shows it: %v", resp.Header)
		}
	}
	head := git("", "rev-parse", "HEAD~1") // the results hold spans and calls, which may come late
	dir = t.TempDir()
	git("", "init", "-q", "--initial-branch=main")
	git(w.file(idea+"/history/git-fast-import"), "fast-import", "--quiet", "--done")
	if again := git("", "rev-parse", "main~1"); again != head {
		t.Errorf("the history differs the second time: %s and %s", head, again)
	}
}
