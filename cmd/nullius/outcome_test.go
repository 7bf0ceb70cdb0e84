package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// TestOutcomeOfStudy holds run, watch and wait --exit-status against the table of exit codes.
func TestOutcomeOfStudy(t *testing.T) {
	const (
		succeeded = gatewayv1.IdeaState_SUCCEEDED
		rejected  = gatewayv1.IdeaState_REJECTED
		failed    = gatewayv1.IdeaState_FAILED
		cancelled = gatewayv1.IdeaState_CANCELLED
		waiting   = gatewayv1.IdeaState_WAITING
		running   = gatewayv1.IdeaState_RUNNING
	)
	for name, tc := range map[string]struct {
		study gatewayv1.IdeaState_Value
		ideas []gatewayv1.IdeaState_Value
		want  int
	}{
		"all succeeded":             {succeeded, []gatewayv1.IdeaState_Value{succeeded, succeeded}, exitDone},
		"one succeeded":             {succeeded, []gatewayv1.IdeaState_Value{failed, succeeded, rejected}, exitDone},
		"none succeeded":            {succeeded, []gatewayv1.IdeaState_Value{failed, rejected, cancelled}, exitUnwanted},
		"no baseline":               {failed, nil, exitUnwanted},
		"cancelled":                 {cancelled, []gatewayv1.IdeaState_Value{cancelled}, exitUnwanted},
		"an idea waits":             {running, []gatewayv1.IdeaState_Value{succeeded, waiting}, exitWaiting},
		"the study waits":           {waiting, nil, exitWaiting},
		"cancelled after a success": {cancelled, []gatewayv1.IdeaState_Value{succeeded, cancelled}, exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			st := &gatewayv1.Study{State: tc.study}
			for _, s := range tc.ideas {
				st.Ideas = append(st.Ideas, &gatewayv1.IdeaSummary{State: s})
			}
			c := &cli{err: &strings.Builder{}}
			if got := c.report(nil, outcomeOfStudy(st)); got != tc.want {
				t.Errorf("exit code %d, want %d", got, tc.want)
			}
		})
	}
}

func TestHostedLog(t *testing.T) {
	for name, tc := range map[string]struct {
		args      []string
		shown     string // what stands beside the output
		hidden    string
		debugFile bool
	}{
		"by default":        {nil, "an error", "a warning", false},
		"--log-level warn":  {[]string{"--log-level", "warn"}, "a warning", "information", false},
		"--log-level debug": {[]string{"--log-level", "debug"}, "detail", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("NULLIUS_LOG_LEVEL", "")
			var out, errOut strings.Builder
			c := &cli{out: &out, err: &errOut}
			root := c.root()
			root.SetArgs(append([]string{"version"}, tc.args...))
			root.SetOut(&out)
			if err := root.Execute(); err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "data")
			log, file, err := c.hostedLog(dir)
			if err != nil {
				t.Fatal(err)
			}
			log.Debug("detail")
			log.Info("information")
			log.Warn("a warning")
			log.Error("an error")
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			kept, err := os.ReadFile(filepath.Join(dir, logName))
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{"information", "a warning", "an error"} {
				if !strings.Contains(string(kept), line) {
					t.Errorf("the file lacks %q: %s", line, kept)
				}
			}
			if strings.Contains(string(kept), "detail") != tc.debugFile {
				t.Errorf("the file: %s", kept)
			}
			if said := errOut.String(); !strings.Contains(said, tc.shown) || !strings.Contains(said, "an error") || (tc.hidden != "" && strings.Contains(said, tc.hidden)) {
				t.Errorf("people see: %s", said)
			}
		})
	}
	if code, _, errOut := nullius(t, "version", "--log-level", "loud"); code != exitUsage || !strings.Contains(errOut, "--log-level loud") {
		t.Errorf("an unknown level: exit code %d, %s", code, errOut)
	}
}

// TestHostedLog_grows: a long log is put aside at the next start.
func TestHostedLog_grows(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, logName)
	if err := os.WriteFile(path, make([]byte, logLimit), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if i, err := f.Stat(); err != nil || i.Size() != 0 {
		t.Errorf("size %d, %v", i.Size(), err)
	}
	if i, err := os.Stat(path + ".old"); err != nil || i.Size() != logLimit {
		t.Errorf("the old one: %v", err)
	}
}
