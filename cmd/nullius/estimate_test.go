package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun_dryRun_tells_steps_cost_and_cap(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", canary)
	t.Setenv("ANTHROPIC_API_KEY", canary)
	data := filepath.Join(t.TempDir(), "data")
	run := func(args ...string) (int, string, string) {
		return nullius(t, append([]string{"run", "bandit_lite", "--dry-run", "--data-dir", data, "--address", "127.0.0.1:1"}, args...)...)
	}
	code, out, errOut := run("--model", "gpt-4o", "--writer-model", "claude-opus-5", "--ideas", "2", "--budget", "5", "--gate", "experiments")
	for _, want := range []string{"ideation", "experiments", "waits for approval", "writing", "anthropic/claude-opus-5", "cap: $5", "all"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != exitDone || strings.Contains(out, "improvement") || strings.Contains(out+errOut, canary) {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("something was written")
	}
	total := func(args ...string) estimateRow {
		t.Helper()
		code, out, errOut := run(append(args, "-o", "json")...)
		var got struct{ Total estimateRow }
		if err := json.Unmarshal([]byte(out), &got); code != exitDone || err != nil || got.Total.CostLow > got.Total.CostHigh || got.Total.TokensLow <= 0 {
			t.Fatalf("exit code %d, %v\n%s%s", code, err, out, errOut)
		}
		return got.Total
	}
	one, two, more := total("--model", "gpt-4o"), total("--model", "gpt-4o", "--ideas", "2"), total("--model", "gpt-4o", "--improvement")
	if two.CostHigh != 2*one.CostHigh || more.CostLow <= one.CostLow {
		t.Errorf("one idea %+v, two %+v, with an improvement %+v", one, two, more)
	}
	if less := total("--model", "gpt-4o", "--until", "figures"); less.CostHigh >= one.CostHigh {
		t.Errorf("until figures %+v, all %+v", less, one)
	}
	if free := total("--model", "ollama/qwen3"); free.CostHigh != 0 {
		t.Errorf("a free model costs %+v", free)
	}
	if odd := total("--model", "openai-compatible/m@http://127.0.0.1:1/v1"); odd.CostHigh >= 0 {
		t.Errorf("an unpriced model costs %+v", odd)
	}
	if code, _, errOut := run("--model", "openai-compatible/m@http://127.0.0.1:1/v1", "--budget", "5"); code != exitPreflight || !strings.Contains(errOut, "MODEL_UNPRICED") {
		t.Errorf("exit code %d\n%s", code, errOut)
	}
	if code, _, errOut := run("--model", "gpt-4o", "--reviewer", "dns:///"+freePort(t)); code != exitPreflight || !strings.Contains(errOut, "settings.reviewer: does not answer") {
		t.Errorf("exit code %d\n%s", code, errOut)
	}
	if code, _, errOut := run("--model", "gpt-4o", "--figures-model", "deepseek-chat"); code != exitAuth || !strings.Contains(errOut, "DEEPSEEK_API_KEY") {
		t.Errorf("exit code %d\n%s", code, errOut)
	}
}
