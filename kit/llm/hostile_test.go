package llm

import (
	"strings"
	"testing"
)

// Texts that take a recursive or backtracking reader down: they must end, whatever they end as. (The repairer alone takes
// minutes for some of them.)
func TestJudge_ends_for_hostile_texts(t *testing.T) {
	for name, tc := range map[string]struct{ begin, again string }{
		"braces": {"", "{"}, "brackets": {`{"a":`, "["}, "keys": {"", `{"a":`}, "quotes": {"{", `"`}, "strings": {`{"a":`, `"x" `},
		"single quotes": {"{", "'"}, "backslashes": {`{"a":"`, `\`}, "commas": {"{", ","}, "words": {"{", "a "}, "objects": {"", "{a}"},
		"comments": {"{", "/*"}, "newlines": {`{"a":"`, "\n"}, "sums": {`{"a":`, `"x"+`}, "fences": {"", "```\n{a}\n"}, "numbers": {`{"a":`, "1 "},
		"pairs": {"{", `"a":"b" "c" `}, "quotes in text": {`{"a":"`, `it's "quoted" text, `}, "thoughts": {"", "<think>"}, "closing": {"{", "}{"},
		"single strings": {`{"a":`, "'x' "}, "few quotes in a long text": {`{"a":"`, strings.Repeat("long text ", 260) + `"word" `},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{maxRepair - 100, 1 << 20} {
				s := tc.begin + strings.Repeat(tc.again, size/len(tc.again))
				raw, rule := judge(Reply{Text: s, Finish: Stop}, nil)
				if (raw == nil) == (rule == "") {
					t.Errorf("neither an object nor a rule: %.40q, %q", raw, rule)
				}
			}
		})
	}
}
