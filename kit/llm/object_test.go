package llm_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/llm/llmtest"
)

const scoreSchema = `{"type":"object","required":["Score","Text"],"properties":{"Score":{"type":"integer","minimum":1},"Text":{"type":"string"}}}`

func object(t *testing.T, reasks int, replies ...string) (json.RawMessage, llm.Reply, *llmtest.Script, error) {
	t.Helper()
	s := map[string][]string{}
	for i, r := range replies {
		call := "plan"
		if i > 0 {
			call = "plan/retry-" + string(rune('0'+i))
		}
		s[call] = []string{r}
	}
	script := llmtest.New(t, s)
	r := ask("Score it.")
	r.Schema = json.RawMessage(scoreSchema)
	raw, rep, err := llm.Object(t.Context(), script, r, reasks)
	script.Unused()
	return raw, rep, script, err
}

func TestObject_finds_the_object(t *testing.T) {
	const want = `{"Score":3,"Text":"ok"}`
	for name, reply := range map[string]string{
		"bare":                          want,
		"in prose":                      "Here it is: " + want + " I hope {that} helps.",
		"in a fence":                    "First {\"Score\":9}.\n```json\n" + want + "\n```\nDone.",
		"the last fence that fits":      "```json\n{\"Score\":1,\"Text\":\"draft\"}\n```\n```\n" + want + "\n```",
		"an example in a fence first":   "```json\n{\"Score\":\"<int>\"}\n```\n```json\n" + want + "\n```",
		"a fence that never ends":       "```json\n" + want,
		"after thinking":                "<think>maybe {\"Score\":1,\"Text\":\"no\"}</think>\n" + want,
		"after thinking in other tags":  "\n<thinking>maybe {\"Score\":1,\"Text\":\"no\"}</thinking>\n" + want,
		"of several the last that fits": `{"Score":1,"Text":"a"} then ` + want + ` and {"x":1}`,
		"with a comma too many":         `{"Score":3,"Text":"ok",}`,
		"with single quotes":            `{'Score':3,'Text':'ok'}`,
		"spread over lines":             "{\n \"Score\": 3,\n \"Text\": \"ok\"\n}",
		"braces in a string before":     `{"Score":3,"Text":"ok"}`,
	} {
		t.Run(name, func(t *testing.T) {
			raw, _, _, err := object(t, 0, reply)
			if err != nil || string(raw) != want {
				t.Errorf("got %s, %v", raw, err)
			}
		})
	}
}

func TestObject_keeps_LaTeX(t *testing.T) {
	for in, want := range map[string]string{
		`\frac{a}{b}`: `\frac{a}{b}`, `\beta`: `\beta`, `\textbf{x}`: `\textbf{x}`, `\theta`: `\theta`, `\nabla`: `\nabla`, `\ref{a}`: `\ref{a}`,
		`\rho \alpha \%`: `\rho \alpha \%`, `\\frac`: `\frac`, `a\nb`: "a\nb", `a\tb`: "a\tb", `\u00e9`: "é", `\nthen`: "\nthen", `q\"q`: `q"q`,
		`\underline{x}`: `\underline{x}`, `\\\\`: `\\`,
	} {
		raw, _, _, err := object(t, 0, `{"Score":3,"Text":"`+in+`"}`)
		var v struct{ Text string }
		if err != nil || json.Unmarshal(raw, &v) != nil || v.Text != want {
			t.Errorf("%s: got %q, %v; want %q", in, v.Text, err, want)
		}
	}
}

func TestObject_asks_again_with_what_is_wrong(t *testing.T) {
	for name, tc := range map[string]struct{ bad, rule string }{
		"a wrong type":         {`{"Score":"three","Text":"x"}`, "/Score: got string, want integer"},
		"a bound":              {`{"Score":0,"Text":"x"}`, "/Score: minimum: got 0, want 1"},
		"a missing key":        {`{"Score":1}`, "missing property 'Text'"},
		"no object":            {`I would say three.`, "there is no JSON object"},
		"nothing":              {``, "there is no JSON object"},
		"a doubled key":        {`{"Score":1,"Score":2,"Text":"x"}`, "a key stands twice"},
		"not a number":         {`{"Score":NaN,"Text":"x"}`, "/Score: got string, want integer"},
		"cut":                  {`!length {"Score":1,"Te`, "length limit"},
		"only another thought": {`<thinking>hm {"Score":1,"Text":"x"}`, "there is no JSON object"},
		"only a thought":       {`<think>hm {"Score":1,"Text":"x"}`, "there is no JSON object"},
		"nested too deep":      {`{"Score":1,"Text":"x","a":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`, "nested too deeply"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, rep, script, err := object(t, 2, tc.bad, `{"Score":2,"Text":"y"}`)
			if err != nil || string(raw) != `{"Score":2,"Text":"y"}` || rep.Cost != 2e9 {
				t.Fatalf("got %s, %+v, %v", raw, rep, err)
			}
			again := script.Requests()[1]
			if text := llmtest.PromptText(again); !strings.Contains(text, tc.rule) || again.Origin.Call != "plan/retry-1" {
				t.Errorf("asked again as %s with %s", again.Origin.Call, text)
			}
		})
	}
}

func TestObject_gives_up(t *testing.T) {
	for name, tc := range map[string]struct {
		replies  []string
		reasks   int
		reason   string
		sentence string
	}{
		"after the allowed re-asks": {[]string{"no", "no", `{"Score":"x","Text":"y"}`}, 2, "LLM_OUTPUT_INVALID",
			"plan broke /Score: got string, want integer, after 2 re-asks."},
		"without re-asks": {[]string{"no"}, 0, "LLM_OUTPUT_INVALID",
			"plan broke the format: there is no JSON object in the reply."},
		"cut twice": {[]string{"!length {", "!length {"}, 5, "LLM_OUTPUT_INVALID",
			"plan broke the length limit: the reply was cut, after 1 re-ask."},
		"on a refusal": {[]string{"!refused I cannot."}, 5, "LLM_REFUSED", `lab/m-1 refused plan of experiments/run-1/implement: "I cannot.".`},
		"on a filter":  {[]string{"!filtered x"}, 5, "LLM_REFUSED", `lab/m-1 refused plan of experiments/run-1/implement: "the provider's filter stopped it".`},
		"too long":     {[]string{"!too_long"}, 5, "CONTEXT_TOO_LONG", "The prompt of experiments/run-1/implement is too long for lab/m-1."},
	} {
		t.Run(name, func(t *testing.T) {
			_, rep, _, err := object(t, tc.reasks, tc.replies...)
			var u *llm.Unusable
			if !errors.As(err, &u) || rep.Cost != int64(len(tc.replies))*1e9 {
				t.Fatalf("got %+v, %v", rep, err)
			}
			if reason, sentence, next := u.Outcome(); reason != tc.reason || sentence != tc.sentence || next == "" {
				t.Errorf("got %s, %q, %q", reason, sentence, next)
			}
		})
	}
}

func TestObject_refuses_a_schema_that_names_a_file(t *testing.T) {
	r := ask("Score it.")
	r.Schema = json.RawMessage(`{"$ref":"file:///etc/passwd"}`)
	if _, _, err := llm.Object(t.Context(), llmtest.New(t, nil), r, 0); fault.ReasonOf(err) != "FIELD_INVALID" {
		t.Errorf("got %v", err)
	}
}
