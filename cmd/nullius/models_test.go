package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/kit/kittest/llmfault"
)

const canary = "sk-canary-of-the-command-line-0123456789"

// ownModels makes a provider lab of a server, with a key in a file.
func ownModels(t *testing.T, s *llmfault.Server) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"key": canary + "\n",
		"models.yaml": `version: 1
providers: {lab: {api: openai, title: Lab, base_url: "` + s.URL + `", key: LAB_API_KEY}}
models:
  - {match: lab/m-1, context: 9000, max_output: 900, supports: {images: true}, price: [{as_of: 2020-01-02, source: test, input: "2.50", output: "10"}]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("NULLIUS_MODELS_FILE", filepath.Join(dir, "models.yaml"))
	t.Setenv("LAB_API_KEY_FILE", filepath.Join(dir, "key"))
}

func TestModels_lists_providers_keys_abilities_and_prices(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ready"))
	ownModels(t, s)
	code, out, errOut := nullius(t, "models", "lab")
	if code != exitDone || !strings.Contains(out, "LAB_API_KEY_FILE") || !strings.Contains(out, "2.50") || !strings.Contains(out, "2020-01-02") || !strings.Contains(out, "images") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	code, all, errOut := nullius(t, "models", "-o", "json")
	var got struct {
		Providers []providerView
		Models    []modelView
	}
	if err := json.Unmarshal([]byte(all), &got); code != exitDone || err != nil {
		t.Fatalf("exit code %d, %v\n%s", code, err, errOut)
	}
	priced := map[string]bool{}
	for _, m := range got.Models {
		if m.Input != "" && m.Output != "" && m.AsOf != "" && m.Source != "" {
			priced[m.Name] = true
		}
	}
	for _, name := range []string{
		"openai/gpt-4o", "openai/gpt-4o-mini", "openai/gpt-4.1", "openai/gpt-5", "openai/o1", "openai/o3-mini", "anthropic/claude-3-5-sonnet-20241022", "anthropic/claude-opus-4-5",
		"anthropic/claude-opus-5", "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0", "vertex/claude-3-5-sonnet-v2@20241022", "deepseek/deepseek-chat", "gemini/gemini-2.5-pro",
		"openrouter/meta-llama/llama-3.1-405b-instruct", "azure/gpt-4o",
	} {
		if !priced[name] {
			t.Errorf("%s has no price with its day and source", name)
		}
	}
	if strings.Contains(all+out+errOut, canary) {
		t.Error("a key shows")
	}
	if s.Count() != 0 {
		t.Error("listing asked a provider")
	}
}

// TestModels_finds_names_in_any_case, names of providers and of others, and shows the address that is not set yet by its variable.
func TestModels_finds_names_in_any_case(t *testing.T) {
	t.Setenv("AZURE_OPENAI_ENDPOINT", "")
	for word, wants := range map[string][]string{
		"Azure":                            {"$AZURE_OPENAI_ENDPOINT/openai/v1", "azure/gpt-4o "},
		"DeepSeek":                         {"deepseek/deepseek-chat", "DEEPSEEK_API_KEY"},
		"LLAMA3.1":                         {"OTHER NAME", "llama3.1-405b", "openrouter/meta-llama/llama-3.1-405b-instruct"},
		"llama3.1-405b":                    {"openrouter/meta-llama/llama-3.1-405b-instruct  32768"},
		"vertex_ai/claude-3-opus@20240229": {"vertex/claude-3-opus@20240229"},
	} {
		code, out, errOut := nullius(t, "models", word)
		for _, want := range wants {
			if code != exitDone || !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s%s", word, want, out, errOut)
			}
		}
	}
}

func TestModels_test_makes_one_call_and_says_what_it_cost(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ready"), llmfault.Error(401, "invalid_api_key", "no such key "+canary), llmfault.Error(402, "", "Insufficient Balance"))
	ownModels(t, s)
	code, out, errOut := nullius(t, "models", "test", "lab/m-1")
	if code != exitDone || !strings.Contains(out, `answered "ready"`) || !strings.Contains(out, "100 in, 0 from a cache, 10 out") || !strings.Contains(out, "$0.00035 (price of 2020-01-02)") || s.Count() != 1 {
		t.Errorf("exit code %d after %d calls\n%s%s", code, s.Count(), out, errOut)
	}
	code, out, errOut = nullius(t, "models", "test", "lab/m-1")
	if code != exitAuth || !strings.Contains(errOut, "Lab refused the key from LAB_API_KEY (401)") || !strings.Contains(errOut, "next: nullius doctor") || strings.Contains(out+errOut, canary) {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	code, out, errOut = nullius(t, "models", "test", "lab/m-1")
	if code == exitDone || !strings.Contains(errOut, "Lab says this account has no credit left") || strings.Contains(errOut, "idea") || !strings.Contains(errOut, "next: nullius doctor") {
		t.Errorf("no idea goes on after a test: exit code %d\n%s%s", code, out, errOut)
	}
	code, _, errOut = nullius(t, "models", "test", "lba/m-1")
	if code != exitError || !strings.Contains(errOut, "the nearest name is lab/") || !strings.Contains(errOut, "next: nullius models") {
		t.Errorf("exit code %d\n%s", code, errOut)
	}
}

// TestDryRun_estimates_before_there_is_a_key: what a study may cost is told, then that it cannot start yet.
func TestDryRun_estimates_before_there_is_a_key(t *testing.T) {
	t.Setenv("OPENAI_API_KEY", "")
	t.Setenv("OPENAI_API_KEY_FILE", "")
	code, out, errOut := nullius(t, "run", "bandit_lite", "--dry-run", "--model", "gpt-4o", "--data-dir", t.TempDir(), "--address", "127.0.0.1:1")
	if code != exitAuth || !strings.Contains(out, "writing") || !strings.Contains(out, "$") || !strings.Contains(errOut, "KEY_MISSING: openai/gpt-4o needs OPENAI_API_KEY") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
}

func TestDoctor_checks_keys_without_paying(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ready"))
	s.Models("m-1")
	ownModels(t, s)
	for _, k := range doctorOf(t) {
		switch k.Name {
		case "key of lab":
			if k.State != "ok" || k.Text != "LAB_API_KEY_FILE, taken by Lab" {
				t.Errorf("got %+v", k)
			}
		case "prices":
			if !strings.Contains(k.Text, "lab/m-1 of 2020-01-02") || k.State != "warning" {
				t.Errorf("got %+v", k)
			}
		}
		if strings.Contains(k.Text+k.Remedy, canary) {
			t.Error("a key shows")
		}
	}
	if s.Count() != 0 {
		t.Errorf("%d paid calls", s.Count())
	}
}

// TestDoctor_says_what_to_do_about_a_refused_key: a provider's name is no model that could be tested, and no idea goes on.
func TestDoctor_says_what_to_do_about_a_refused_key(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ready"))
	ownModels(t, s)
	for _, tt := range []struct {
		list                llmfault.Play
		state, text, remedy string
	}{
		{llmfault.Error(401, "invalid_api_key", "no such key "+canary), "error", "Lab refused the key from LAB_API_KEY (401)", "put a valid key where this one was found: LAB_API_KEY_FILE"},
		{llmfault.Error(503, "", "busy"), "warning", "Lab is overloaded (503, 1 try)", "nullius models test lab/MODEL"},
		{llmfault.Error(402, "", "Insufficient Balance"), "warning", "Lab says this account has no credit left", "nullius models test lab/MODEL"},
	} {
		s.List(tt.list)
		for _, k := range doctorOf(t) {
			if k.Name == "key of lab" && (k.State != tt.state || k.Text != tt.text || k.Remedy != tt.remedy) {
				t.Errorf("got %+v, want %+v", k, tt)
			}
		}
	}
}

// doctorOf gives the checks of keys; those of tools are not looked at here.
func doctorOf(t *testing.T) []check {
	t.Helper()
	c := &cli{out: &strings.Builder{}, err: &strings.Builder{}, logLevel: "error"}
	checks := c.keyChecks(t.Context())
	seen := map[string]bool{}
	for _, k := range checks {
		seen[k.Name] = true
	}
	if !seen["key of lab"] || !seen["prices"] {
		t.Fatalf("got %+v", checks)
	}
	return checks
}
