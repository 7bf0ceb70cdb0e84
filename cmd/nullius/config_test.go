package main

import (
	"os"
	"strings"
	"testing"

	"nullius.dev/kit/telemetry"
)

// TestServe_readsTheVariablesOfEveryService: a value that cannot be stops the all-in-one and names its variable, so none is passed over.
func TestServe_readsTheVariablesOfEveryService(t *testing.T) {
	for _, name := range []string{"NULLIUS_GATEWAY_MAX_IDEAS", "NULLIUS_IDEATION_OFFLINE", "NULLIUS_CODER_CHECKS", "NULLIUS_EXECUTOR_HEARTBEAT", "NULLIUS_WRITER_TEX_TIME", "NULLIUS_REVIEWER_PAPER_BYTES"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "much")
			s, err := startSuite(t.Context(), suiteConfig{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Log: telemetry.NewLogger(os.Stderr, "error")})
			if err == nil {
				_ = s.host.Stop()
				t.Fatal("it was passed over")
			}
			if !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestConfigView shows where a value comes from, for each service.
func TestConfigView(t *testing.T) {
	t.Setenv("NULLIUS_WRITER_TEX_TIME", "7s")
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitDone, "listen: 127.0.0.1:7700"},
		{[]string{"writer"}, exitDone, "tex_time: 7s"},
		{[]string{"writer", "--show-origin"}, exitDone, "NULLIUS_WRITER_TEX_TIME"},
		{[]string{"coder", "--show-origin"}, exitDone, "checks"},
		{[]string{"executor"}, exitDone, "heartbeat"},
		{[]string{"ideation"}, exitDone, "listen"},
		{[]string{"reviewer"}, exitDone, "paper_bytes"},
		{[]string{"baker"}, exitUsage, `invalid argument "baker"`},
	} {
		code, out, errOut := nullius(t, append([]string{"config", "view"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out+errOut, tt.says) {
			t.Errorf("%v: exit code %d\n%s%s", tt.args, code, out, errOut)
		}
	}
}
