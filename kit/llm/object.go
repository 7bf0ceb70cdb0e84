package llm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nullius.dev/kit/fault"
)

// Unusable says that a model gave no usable object within the allowed re-asks. It is a result of the model, not a fault.
type Unusable struct {
	Rule   string // what the last reply broke, such as "/Score: got string, want integer"
	Text   string // the last reply
	Finish Finish
	Origin Origin
	Model  string
	Reasks int
	Notes  []string // of the last reply
}

func (u *Unusable) Error() string {
	_, sentence, _ := u.Outcome()
	return sentence
}

// Outcome is the reason, the sentence and the next command of an unusable answer.
func (u *Unusable) Outcome() (reason, sentence, next string) {
	if u.Finish == Refused || u.Finish == Filtered || u.Finish == TooLong {
		return Reply{Text: u.Text, Finish: u.Finish, Model: u.Model, Notes: u.Notes}.Outcome(u.Origin)
	}
	after := ""
	if u.Reasks > 0 {
		after = fmt.Sprintf(", after %d re-ask%s", u.Reasks, plural(u.Reasks))
	}
	return "LLM_OUTPUT_INVALID", fmt.Sprintf("%s broke %s%s.", u.Origin.Call, u.Rule, after),
		fmt.Sprintf("nullius logs %s --stage %s", ideaName(u.Origin), stageOf(u.Origin))
}

// Object asks for one JSON object that fits r.Schema (any object if that is nil). What a model gets wrong is asked for again,
// at most reasks times, with the reply and what is wrong with it, under the call's name + /retry-1 and so on. An answer that
// stays unusable is an *Unusable; every other error is a broken part.
func Object(ctx context.Context, c Chatter, r Request, reasks int) (json.RawMessage, Reply, error) {
	schema, err := compile(r.Schema)
	if err != nil {
		return nil, Reply{}, err
	}
	call, messages := r.Origin.Call, r.Messages
	var total Reply
	for n := 0; ; n++ {
		if n > 0 {
			r.Origin.Call = fmt.Sprintf("%s/retry-%d", call, n)
		}
		rep, err := c.Chat(ctx, r)
		if err != nil {
			return nil, total, err
		}
		total = total.after(rep)
		if rep.Finish == Refused || rep.Finish == Filtered || rep.Finish == TooLong {
			return nil, total, &Unusable{Rule: string(rep.Finish), Text: rep.Text, Finish: rep.Finish, Origin: r.Origin, Model: rep.Model, Reasks: n, Notes: rep.Notes}
		}
		raw, rule := judge(rep, schema)
		if rule == "" {
			return raw, total, nil
		}
		cutTwice := rep.Finish == Length && n > 0
		if n >= reasks || cutTwice {
			r.Origin.Call = call
			return nil, total, &Unusable{Rule: rule, Text: rep.Text, Finish: rep.Finish, Origin: r.Origin, Model: rep.Model, Reasks: n}
		}
		if rep.Finish == Length && strings.TrimSpace(rep.Text) == "" {
			r.MaxTokens *= 2 // reasoning ate it all
		}
		r.Messages = again(messages, rep, rule)
	}
}

// after is a reply that also counts what the ones before it cost.
func (t Reply) after(r Reply) Reply {
	r.Usage = t.Usage.Add(r.Usage)
	r.Cost += t.Cost
	r.WouldCost += t.WouldCost
	r.Unpriced = r.Unpriced || t.Unpriced
	r.PossiblyPaid = r.PossiblyPaid || t.PossiblyPaid
	r.Notes = append(t.Notes[:len(t.Notes):len(t.Notes)], r.Notes...)
	return r
}

// judge returns the object of a reply, or the rule it broke.
func judge(rep Reply, schema *jsonschema.Schema) (json.RawMessage, string) {
	if rep.Finish == Length {
		return nil, "the length limit: the reply was cut"
	}
	found := candidates(rep.Text)
	if len(found) == 0 {
		return nil, "the format: there is no JSON object in the reply"
	}
	first := ""
	for i := len(found) - 1; i >= 0 && i >= len(found)-8; i-- {
		raw, v, err := parseObject(found[i])
		rule := ""
		if err != nil {
			rule = "JSON: " + clip(err.Error(), 200)
		} else if schema != nil {
			rule = violations(schema.Validate(v))
		}
		if rule == "" {
			return raw, ""
		}
		if first == "" || i == len(found)-1 {
			first = rule
		}
	}
	return nil, first
}

// again appends the reply and what is wrong with it. The reply is model text; it is quoted as the assistant's own turn.
func again(messages []Message, rep Reply, rule string) []Message {
	out := append([]Message(nil), messages...)
	text := rep.Text
	if strings.TrimSpace(text) == "" {
		text = "(empty)"
	}
	ask := "That reply cannot be used. It broke " + rule + "\nAnswer again with one complete JSON object and nothing after it."
	if rep.Finish == Length {
		ask = "That reply was cut at the length limit. Answer again, much shorter, with one complete JSON object and nothing after it."
		text = clip(text, 2000)
	}
	if last := len(out) - 1; last >= 0 && out[last].Role == Assistant {
		out[last].Parts = append(out[last].Parts[:len(out[last].Parts):len(out[last].Parts)], Text(text))
	} else {
		out = append(out, Say(Assistant, text))
	}
	return append(out, Say(User, ask))
}

// noLoader reads nothing: by default a schema could name files.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("schemas may not refer to %s", clip(url, 80))
}

func compile(raw json.RawMessage) (*jsonschema.Schema, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	bad := func(err error) error {
		return fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "the schema of a request is not valid").WithField("schema", clip(err.Error(), 200))
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, bad(err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, bad(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		return nil, bad(err)
	}
	return s, nil
}

// violations writes what a validator found, a place and a sentence each.
func violations(err error) string {
	if err == nil {
		return ""
	}
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return clip(err.Error(), 300)
	}
	var lines []string
	var walk func(*jsonschema.OutputUnit)
	walk = func(u *jsonschema.OutputUnit) {
		if u.Error != nil && len(u.Errors) == 0 {
			lines = append(lines, u.InstanceLocation+": "+clip(u.Error.String(), 200))
		}
		for i := range u.Errors {
			walk(&u.Errors[i])
		}
	}
	walk(ve.DetailedOutput())
	if len(lines) == 0 {
		return "the schema"
	}
	if len(lines) > 10 {
		lines = append(lines[:10], "…")
	}
	for i, l := range lines {
		if strings.HasPrefix(l, ":") {
			lines[i] = "/" + l
		}
	}
	return strings.Join(lines, "; ")
}
