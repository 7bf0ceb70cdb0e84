package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLook reads a study that has ended, and one that waits, with every command that looks.
func TestLook(t *testing.T) {
	t.Parallel()
	address := serving(t)
	f := newModel(t)
	dir := t.TempDir()
	ask := func(args ...string) (int, string, string) {
		t.Helper()
		began := time.Now()
		code, out, errOut := nullius(t, append(args, "--address", address)...)
		if took := time.Since(began); took > 20*time.Second { // what hangs does so for minutes
			t.Errorf("%v took %s", args, took)
		}
		return code, out, errOut
	}
	if code, out, errOut := ask("list"); code != exitDone || !strings.HasPrefix(out, "STUDY") || !strings.Contains(errOut, "no studies: nullius run") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	for _, args := range [][]string{{"--until", "experiments", "--max-runs", "2"}, {"--gate", "experiments"}} {
		args = append([]string{"run", "bandit_lite", "--address", address, "--model", f.name, "--engine", "local", "--size", "smoke", "--results", filepath.Join(dir, "results")}, args...)
		if code, out, errOut := nullius(t, args...); code != exitDone && code != exitWaiting {
			t.Fatalf("exit code %d\n%s%s", code, out, errOut)
		}
	}
	for name, tt := range map[string]struct {
		args []string
		code int
		out  []string // in this order
		err  []string
	}{
		"the studies":              {[]string{"list"}, exitDone, []string{"STUDY", "bandit_lite-2", "RUNNING", "1 idea WAITING (APPROVAL)", "bandit_lite-1", "SUCCEEDED"}, nil},
		"times in full":            {[]string{"list", "--time", "iso"}, exitDone, []string{"BEGAN", time.Now().Format("2006-")}, nil},
		"the ideas":                {[]string{"list", "ideas"}, exitDone, []string{"bandit_lite-1/idea-1", "SUCCEEDED"}, nil},
		"what waits":               {[]string{"list", "approvals"}, exitDone, []string{"bandit_lite-2/idea-1", "WAITING(APPROVAL)"}, nil},
		"a template":               {[]string{"show", "templates/bandit_lite"}, exitDone, []string{"Regret of four bandit policies", "next", "nullius run templates/bandit_lite"}, nil},
		"no such template":         {[]string{"show", "templates/other"}, exitError, nil, []string{"TEMPLATE_UNKNOWN", "next: "}},
		"a template to watch":      {[]string{"watch", "templates/bandit_lite"}, exitError, nil, []string{"is a template; a study or an idea is wanted", "next: nullius list"}},
		"a study's log":            {[]string{"logs", "bandit_lite-1"}, exitDone, []string{"==== baseline/run SUCCEEDED", "regret"}, nil},
		"an idea's log":            {[]string{"logs", "bandit_lite-1/idea-1"}, exitDone, []string{"==== experiments/run-1/execute-1 SUCCEEDED", "regret", "==== experiments/run-2/execute-1 FAILED", "NameError"}, nil},
		"a run's log":              {[]string{"logs", "bandit_lite-1/idea-1", "--run", "2", "--tail", "1"}, exitDone, []string{"==== experiments/run-2/implement CHANGED", "==== experiments/run-2/execute-1 FAILED", "\nNameError"}, nil},
		"a stage without programs": {[]string{"logs", "bandit_lite-1/idea-1", "--stage", "novelty"}, exitDone, []string{"==== novelty/assess", "asked for: "}, nil},
		"an ended log to follow":   {[]string{"logs", "-f", "bandit_lite-1/idea-1"}, exitDone, []string{"execute-2 SUCCEEDED"}, nil},
		"a waiting log to follow":  {[]string{"logs", "-f", "bandit_lite-2/idea-1"}, exitDone, nil, nil},
		"all events":               {[]string{"events", "bandit_lite-1"}, exitDone, []string{"baseline/run", "novelty/assess", "ended SUCCEEDED", "idea-ended", "bandit_lite-1", "ended SUCCEEDED"}, nil},
		"an idea's events":         {[]string{"events", "bandit_lite-2/idea-1"}, exitDone, []string{"novelty/assess", "WAITING APPROVAL"}, nil},
		"events of a while":        {[]string{"events", "bandit_lite-1", "--since", "24h"}, exitDone, []string{"baseline/run"}, nil},
		"the files of a folder":    {[]string{"files", "bandit_lite-1/idea-1", "run_1"}, exitDone, []string{"run_1/curves.json", "run_1/final_info.json"}, nil},
		"a file":                   {[]string{"files", "bandit_lite-1/idea-1", "report.md"}, exitDone, []string{"# "}, nil},
		"no file":                  {[]string{"files", "bandit_lite-1/idea-1", "none.txt"}, exitError, nil, []string{"FILE_UNKNOWN", "next: nullius files bandit_lite-1/idea-1"}},
		"all files":                {[]string{"files", "bandit_lite-1/idea-1", "--get", filepath.Join(dir, "all")}, exitDone, []string{"all"}, nil},
		"a state that is past":     {[]string{"wait", "bandit_lite-1", "--for", "RUNNING"}, exitUnwanted, nil, []string{"bandit_lite-1 has ended: it is SUCCEEDED, not RUNNING", "next: nullius show bandit_lite-1"}},
		"a state that may come":    {[]string{"wait", "bandit_lite-2", "--for", "WAITING", "--timeout", "300ms"}, exitTimeout, nil, []string{"bandit_lite-2 is not WAITING after 300ms", "next: "}},
		"a person's turn":          {[]string{"wait", "bandit_lite-2"}, exitWaiting, nil, []string{"bandit_lite-2 is WAITING for a person"}},
		"an action that is none":   {[]string{"cancel", "bandit_lite-1", "--yes"}, exitError, nil, []string{"study bandit_lite-1 cannot be cancelled: it is SUCCEEDED", "next: "}},
		"a read's call":            {[]string{"show", "bandit_lite-1", "--print-grpcurl"}, exitDone, []string{`grpcurl -plaintext -d '{"name":"studies/bandit_lite-1"}' ` + address + " nullius.gateway.v1.StudyService/GetStudy\n"}, nil},
		"a wait's call":            {[]string{"wait", "bandit_lite-2", "--for", "SUCCEEDED", "--print-grpcurl"}, exitDone, []string{"StudyService/GetStudy\n"}, nil},
		"a watch's call":           {[]string{"watch", "bandit_lite-2", "--print-grpcurl"}, exitDone, []string{`'{"name":"studies/bandit_lite-2"}' ` + address + " nullius.gateway.v1.StudyService/WatchStudy\n"}, nil},
		"an action's call":         {[]string{"cancel", "bandit_lite-2", "--print-grpcurl"}, exitDone, []string{"StudyService/CancelStudy\n"}, nil},
		"a run's call":             {[]string{"run", "bandit_lite", "--model", f.name, "--print-grpcurl"}, exitDone, []string{`"template":"templates/bandit_lite"`, "StudyService/StartStudy\n"}, nil},
		"no call":                  {[]string{"version", "--print-grpcurl"}, exitDone, nil, []string{"nullius version makes no call"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := ask(tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, out, errOut)
			}
			rest := out
			for _, want := range tt.out {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Errorf("%q is not where it should be in\n%s", want, out)
				}
				rest = after
			}
			for _, want := range tt.err {
				if !strings.Contains(errOut, want) {
					t.Errorf("%q is not in\n%s", want, errOut)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "all", "report.md")); err != nil {
		t.Error(err)
	}
	if code, out, _ := ask("show", "bandit_lite-2"); code != exitDone || !strings.HasPrefix(out, "bandit_lite-2  RUNNING") {
		t.Errorf("printing a call made it:\n%s", out)
	}
	for _, args := range [][]string{{"list"}, {"list", "ideas"}, {"files", "bandit_lite-1/idea-1"}, {"nodes"}, {"logs", "bandit_lite-1/idea-1"}, {"logs", "bandit_lite-1"}, {"events", "bandit_lite-1"}} {
		_, out, _ := ask(append(args, "-o", "jsonl")...)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) < 2 && args[0] != "nodes" {
			t.Errorf("%v is %d lines", args, len(lines))
		}
		for _, l := range lines {
			if !json.Valid([]byte(l)) {
				t.Errorf("%v: no JSON: %s", args, l)
			}
		}
	}
}

// TestLook_theCallThatIsPrintedWorks in a shell, quotes and all.
func TestLook_theCallThatIsPrintedWorks(t *testing.T) {
	code, out, errOut := nullius(t, "api", "GetStudy", "-d", `{"name": "it's"}`, "--print-grpcurl", "--address", "127.0.0.1:1")
	if code != exitDone {
		t.Fatalf("exit code %d\n%s", code, errOut)
	}
	shell, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s\\n' "+strings.TrimPrefix(out, "grpcurl ")).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := "-plaintext\n-d\n{\"name\": \"it's\"}\n127.0.0.1:1\nnullius.gateway.v1.StudyService/GetStudy\n"; string(shell) != want {
		t.Errorf("the shell reads\n%s", shell)
	}
}
