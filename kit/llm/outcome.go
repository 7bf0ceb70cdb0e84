package llm

import (
	"fmt"
	"strings"

	"nullius.dev/kit/llm/ledger"
)

// Outcome is the reason, the sentence and the next command of a reply that is no answer; all empty for one that is. It is
// data for the journal, no fault.
func (r Reply) Outcome(o Origin) (reason, sentence, next string) {
	retry := "nullius retry " + ideaName(o)
	switch r.Finish {
	case TooLong:
		detail := ""
		if len(r.Notes) > 0 {
			detail = " (" + r.Notes[len(r.Notes)-1] + ")"
		}
		return "CONTEXT_TOO_LONG", fmt.Sprintf("The prompt of %s is too long for %s%s.", o.Step, r.Model, detail), retry
	case Refused:
		return "LLM_REFUSED", fmt.Sprintf("%s refused %s of %s: %q.", r.Model, o.Call, o.Step, clip(oneLine(r.Text), 200)), retry
	case Filtered:
		return "LLM_REFUSED", fmt.Sprintf("The filter of %s stopped %s of %s.", r.Model, o.Call, o.Step), retry
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
