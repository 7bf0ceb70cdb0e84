package llm

import (
	"fmt"
	"strings"

	"nullius.dev/kit/llm/ledger"
)

// Outcome is the reason, the sentence and the next command of a reply that is no answer; all empty for one that is. It is
// data for the journal, no fault.
func (r Reply) Outcome(o Origin) (reason, sentence, next string) {
	again := "nullius retry " + ideaName(o)
	switch r.Finish {
	case TooLong:
		if n := len(r.Notes); n > 0 {
			if prompt, window, ok := strings.Cut(r.Notes[n-1], windowNote); ok {
				return "CONTEXT_TOO_LONG", fmt.Sprintf("The prompt of %s has %s; %s takes %s.", o.Step, prompt, r.Model, window), again
			}
		}
		return "CONTEXT_TOO_LONG", fmt.Sprintf("The prompt of %s is too long for %s.", o.Step, r.Model), again
	case Refused:
		why := ""
		if text := oneLine(r.Text); text != "" { // Claude gives none, mostly
			why = fmt.Sprintf(": %q", clip(text, 200))
		}
		return "LLM_REFUSED", fmt.Sprintf("%s refused %s of %s%s.", r.Model, o.Call, o.Step, why), again
	case Filtered:
		return "LLM_REFUSED", fmt.Sprintf("%s refused %s of %s: %q.", r.Model, o.Call, o.Step, "the provider's filter stopped it"), again
	}
	return "", "", ""
}

// ideaName is an origin's idea as commands take it; the study for its own steps.
func ideaName(o Origin) string {
	if o.Idea() == "" || o.Idea() == "_" {
		return o.Study()
	}
	return o.Study() + "/" + o.Idea()
}

func stageOf(o Origin) string { return ledger.Stage(o.Step) }

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
