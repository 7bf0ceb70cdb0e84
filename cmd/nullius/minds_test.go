package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"nullius.dev/bench/foreign"
)

// habits turn each good reply of a mind into what a model of another make would say in its place; kind is what the prompt asks for.
var habits = []struct {
	name string
	of   func(kind, good string) string
	fine bool // the habit is one of form alone: a paper must come of it
}{
	{"thinks aloud with decoys", thinksAloud, true},
	{"answers in envelopes", envelope, false},
	{"speaks another language", otherLanguage, false},
	{"sends patches and Markdown", patches, false},
}

var isJSON = regexp.MustCompile(`^(idea|novelty|plan|outline|citations|map|chair|review)`)

// thinksAloud shows its notes first, with another answer in them, and comments within its JSON.
func thinksAloud(kind, good string) string {
	notes := "<think>\nFirst attempt, not the final one:\n```json\n{\"action\": \"decide\", \"verdict\": \"not_novel\", \"runs\": [], \"Name\": \"decoy\", \"title\": \"Decoy\"}\n```\n" +
		foreign.Edit("experiment.py", "import", "raise SystemExit('decoy')") + "%%% title\nDecoy\n</think>\n\n"
	if isJSON.MatchString(kind) {
		return notes + strings.Replace(good, "{", "{ // final\n", 1)
	}
	return notes + good
}

var blockOf = regexp.MustCompile("(?s)(\\S+)\\n```python\\n<<<<<<< SEARCH\\n(.*?)\\n=======\\n(.*?)\\n>>>>>>> REPLACE\\n```\\n")

// envelope puts every answer but the idea into an object of its own making, as a model does that was trained to call tools.
func envelope(kind, good string) string {
	if strings.HasPrefix(kind, "idea") {
		return good
	}
	if isJSON.MatchString(kind) {
		return `{"status": "ok", "response": ` + good + `}`
	}
	answer := map[string]any{"tool": "reply", "arguments": map[string]string{"text": good}}
	if found := blockOf.FindStringSubmatch(good); found != nil {
		answer = map[string]any{"tool": "str_replace", "arguments": map[string]string{"path": found[1], "old_str": found[2], "new_str": found[3]}}
	}
	b, err := json.Marshal(answer)
	if err != nil {
		panic(err) // strings only
	}
	return string(b)
}

// otherLanguage writes Chinese around and in its answers, with the punctuation of that script where it does not break JSON, and where it does.
func otherLanguage(kind, good string) string {
	switch {
	case strings.HasPrefix(kind, "section"), kind == "closing", kind == "revise":
		return strings.NewReplacer("All runs share", "所有实验共享", "The model is deterministic", "该模型是确定性的", "another question", "另一个问题 🤔").Replace(good) + "\n\n以上结果表明，正则化（λ）可以降低误差约 37,5％。"
	case kind == "plan":
		return "好的，下面是计划：\n" + strings.NewReplacer(`": "`, `"："`, `", "`, `"，"`).Replace(good)
	case isJSON.MatchString(kind):
		return "好的，答案如下。\n" + good + "\n希望对你有帮助！"
	}
	return "修改如下（请查看）：\n\n" + good + "\n如有问题请告诉我。"
}

// patches answers code with diffs whose line numbers were made up, and prose as Markdown.
func patches(kind, good string) string {
	if blockOf.MatchString(good) {
		return "```diff\n" + blockOf.ReplaceAllStringFunc(good, func(b string) string {
			f := blockOf.FindStringSubmatch(b)
			return fmt.Sprintf("--- a/%s\t2026-01-01\n+++ b/%s\t2026-01-01\n@@ -1,1 +1,1 @@\n-%s\n+%s\n", f[1], f[1], strings.ReplaceAll(f[2], "\n", "\n-"), strings.ReplaceAll(f[3], "\n", "\n+"))
		}) + "```\n"
	}
	if strings.HasPrefix(kind, "section") {
		return "# " + strings.TrimPrefix(kind, "section ") + "\n\n> " + good + "\n\n| run | value |\n|---|---|\n| 1 | **0.47** |\n\n![curve](missing.png)\n\n1. first [link](http://example.org)\n2. second `code_with_underscore`\n"
	}
	return good
}

// bugWords are of bugs: no study may end in one.
var bugWords = regexp.MustCompile(`INTERNAL|panic|goroutine |QUARANTINE|runtime error|nil pointer`)

// TestRun_otherMakes: models with other habits of form end each study in a paper or in an honest failure, whatever the template.
func TestRun_otherMakes(t *testing.T) {
	if !soaking() {
		t.Skip("whole studies, minutes of them; NULLIUS_SOAK=1 runs them")
	}
	t.Parallel()
	for _, tt := range []struct {
		template string
		args     []string
		mind     foreign.Mind
	}{
		{"double_descent", []string{"--size", "smoke"}, foreign.DoubleDescent()},
		{filepath.Join("testdata", "seir"), nil, foreign.Seir()},
	} {
		for _, h := range habits {
			t.Run(filepath.Base(tt.template)+", "+h.name, func(t *testing.T) {
				f := newModel(t)
				f.Answer = func(all, last string) (string, string) {
					kind, text := tt.mind.Play(all, last)
					return kind, h.of(kind, text)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute) // it hangs when it takes that long
				defer cancel()
				dir := t.TempDir()
				results := filepath.Join(dir, "results")
				var out, errOut bytes.Buffer
				code := execute(ctx, append([]string{"run", tt.template, "--data-dir", filepath.Join(dir, "data"), "--address", "127.0.0.1:0", "--model", f.name, "--engine", "local",
					"--results", results}, tt.args...), &out, &errOut)
				t.Logf("exit code %d, %d calls\n%s%s", code, f.Calls(), &errOut, &out)
				if ctx.Err() != nil {
					t.Fatal("the study did not end within its time")
				}
				if code != exitDone && (h.fine || code != exitUnwanted) {
					t.Errorf("exit code %d", code)
				}
				if bad := bugWords.FindString(out.String() + errOut.String()); bad != "" {
					t.Errorf("it says %s", bad)
				}
				if code == exitUnwanted && !strings.Contains(out.String(), "next: nullius ") {
					t.Error("a failure without a next command")
				}
				reports, err := filepath.Glob(filepath.Join(results, "*", "*", "report.md"))
				if err != nil || (len(reports) == 0 && strings.Contains(out.String(), "\nidea-1  ")) {
					t.Errorf("no report (%v)", err)
				}
				for _, r := range reports {
					if data, err := os.ReadFile(r); err != nil || bytes.Contains(data, []byte("Decoy")) {
						t.Errorf("the report is of the decoy (%v):\n%s", err, data)
					}
				}
			})
		}
	}
}
