package llm

import (
	"encoding/json"
	"strings"
	"testing"
)

func FuzzObject(f *testing.F) {
	for _, s := range []string{
		"", "{}", `{"a":1}`, "```json\n{\"a\":1}\n```", `<think>{</think>{"a":"\frac"}`, `{"a":"\u12"}`, `{"a":{"a":[{}]}}`, "{{{{", `{"a":"`,
		`{'a':NaN,}`, "{\"a\":\"\x00\xff\"}", `{"a":1}{"b":2}`, "```\n```\n```", `{"a":"\`, `{a:/x/}`, strings.Repeat(`{"a":`, 50), `{"a":"\\"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		raw, rule := judge(Reply{Text: s, Finish: Stop}, nil)
		if (raw == nil) == (rule == "") {
			t.Fatalf("neither an object nor a rule: %q, %q", raw, rule)
		}
		if raw != nil {
			var m map[string]any
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatalf("%q is no object: %v", raw, err)
			}
		}
	})
}

func FuzzReadError(f *testing.F) {
	for _, s := range []string{"", "null", `{"error":null}`, `[{"error":{"code":429,"details":[{"retryDelay":"3s"}]}}]`, `{"error":"x"}`, "<html>", `"x"`, "[]", "[1]"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { readError([]byte(s)) })
}
