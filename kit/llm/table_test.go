package llm_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
)

// TestNew_says_what_is_wrong_with_the_operators_file: where it stands and what was expected, without our types, and without what it should not hold.
func TestNew_says_what_is_wrong_with_the_operators_file(t *testing.T) {
	const head = "version: 1\n"
	for text, want := range map[string]string{
		"":             "it is empty; it begins with version: 1",
		"version: 2\n": "version is 2, this program reads 1",
		head + "models: [{match: \"openai/gpt-4o\", suports: {seed: true}}]":                                                                                  "line 2: suports is unknown",
		head + "models: [{match: x, supports: {colour: true}}]":                                                                                               "models[0] (x): supports.colour is unknown",
		head + "models: [{supports: {seed: true}}]":                                                                                                           "models[0] (): match is missing",
		head + "models: [{match: x, price: [{as_of: 2026-01-01, source: y, input: \"1,5\", output: \"2\"}]}]":                                                 "models[0] (x): price \"1,5\" is not a decimal number of dollars",
		head + "models: [{match: x, price: [{as_of: yesterday, source: y, input: \"1\", output: \"2\"}]}]":                                                    "models[0] (x): a price needs as_of (year-month-day) and source",
		head + "providers: {lab: {api: grpc, base_url: \"http://x.test\"}}":                                                                                   "providers.lab: api \"grpc\" is unknown, want openai, anthropic, bedrock or vertex",
		head + "providers: {Lab: {api: openai, base_url: \"http://x.test\"}}":                                                                                 "providers.Lab: not a name for a provider",
		head + "providers: {lab: {api: openai}}":                                                                                                              "providers.lab: base_url is missing",
		head + "providers: {lab: {api: openai, base_url: \"gpu7:8000/v1\"}}":                                                                                  "providers.lab: base_url is no http or https URL",
		head + "providers: {lab: {base_url: \"http://me:secret-password@x.test/v1\"}}":                                                                        "providers.lab: base_url has a user in it; key names the variable with the key",
		head + "aliases: {house: nowhere/x}":                                                                                                                  "aliases.house: there is no model \"nowhere/x\": no provider is called nowhere; nullius models lists them, and NULLIUS_MODELS_FILE can add one",
		head + "providers: {lab: {base_url: \"http://x.test/v1\"}}\naliases: {house: lab/m, other: gpt-4o, third: recording/" + strings.Repeat("a", 64) + "}": "",
		head + "providers: {openai: {max_parallel: 2}}":                                                                                                       "",
	} {
		file := filepath.Join(t.TempDir(), "models.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := llm.New(llm.Config{ModelsFile: file}, llm.Deps{})
		if want == "" {
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		if fault.ReasonOf(err) != "FIELD_INVALID" || err.Error() != file+": "+want || fault.NextOf(err) == "" {
			t.Errorf("%q gave\n%v, want\n%s", text, err, want)
		}
	}
	if _, err := llm.New(llm.Config{ModelsFile: "/no/such.yaml"}, llm.Deps{}); err == nil || err.Error() != "/no/such.yaml: cannot be read: no such file or directory" {
		t.Errorf("got %v", err)
	}
}

// TestDoor_Chat_says_what_is_wrong_with_a_keys_file.
func TestDoor_Chat_says_what_is_wrong_with_a_keys_file(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, say := range map[string]bool{"sk-one two": true, "sk-one\nsk-two": true, "“sk-one”": true, "sk-one\n": false} {
		s := llmfault.New(t, llmfault.Answer("ok"))
		d := familyDoor(t, "openai", s, map[string]string{"OPENAI_API_KEY": key})
		r := ask("Say.")
		r.Model = "gpt-4o"
		_, err := d.Chat(t.Context(), r)
		const want = "openai/gpt-4o: what OPENAI_API_KEY holds is no key: it has a space, a line break or a character beyond ASCII in it"
		if say != (err != nil) || err != nil && (err.Error() != want || fault.ReasonOf(err) != "KEY_REFUSED") {
			t.Errorf("%q: %v", key, err)
		}
	}
	for path, want := range map[string]string{
		empty:       "openai/gpt-4o: the file that OPENAI_API_KEY_FILE names is empty",
		"/no/such":  "openai/gpt-4o: the file that OPENAI_API_KEY_FILE names cannot be read: no such file or directory",
		t.TempDir(): "openai/gpt-4o: the file that OPENAI_API_KEY_FILE names cannot be read: is a directory",
	} {
		d, err := llm.New(llm.Config{}, llm.Deps{Env: func(k string) string { return map[string]string{"OPENAI_API_KEY_FILE": path}[k] }})
		if err != nil {
			t.Fatal(err)
		}
		r := ask("Say.")
		r.Model = "gpt-4o"
		if _, err := d.Chat(t.Context(), r); fault.ReasonOf(err) != "KEY_MISSING" || err.Error() != want || fault.NextOf(err) != "nullius doctor" {
			t.Errorf("got %v, want %s", err, want)
		}
		m, err := d.Model("gpt-4o")
		if k := d.KeyOf(m); err != nil || !k.Broken || k.From != "" || k.Missing != "the file that OPENAI_API_KEY_FILE names" {
			t.Errorf("got %+v, %v", k, err)
		}
		broken := 0
		for _, c := range d.CheckKeys(t.Context()) {
			if c.Name == "openai" && fault.ReasonOf(c.Err) == "KEY_MISSING" {
				broken++
			}
		}
		if broken != 1 {
			t.Error("a check of keys does not tell of it")
		}
	}
}
