package reviewer

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
	"nullius.dev/services/reviewer/forms"
	"nullius.dev/services/reviewer/internal/quote"
)

// Bounds of what is kept of a model's answer.
const (
	maxPoints = 40
	maxPoint  = 4000 // bytes
	maxQuotes = 5
)

const commentsKey = "Comments"

type object = map[string]any

// Models write "7" and "7/10" for 7, one string for a list of one, "no" for false. What they mean is plain, so that none of it is asked again.
var (
	scoreTypes = object{"type": []string{"integer", "number", "string"}}
	listTypes  = object{"type": []string{"array", "string"}, "items": object{"type": "string"}}
	flagTypes  = object{"type": []string{"boolean", "string"}}
)

// commentSchema describes one comment. Only the claim is demanded: models that give
// a plain form without evidence are still heard.
func commentSchema() object {
	text := object{"type": []string{"string", "null"}}
	return object{"type": []string{"object", "string"}, "required": []string{"claim"}, "properties": object{
		"claim": object{"type": "string"}, "severity": text, "item": text, "strength": object{"type": []string{"boolean", "string", "null"}},
		"quotes": object{"type": []string{"array", "string", "null"}, "items": object{"type": "string"}}, "absent": text,
	}}
}

func itemSchema(it forms.Item) object {
	switch it.Type {
	case forms.List:
		return listTypes
	case forms.Boolean:
		return flagTypes
	case forms.Score:
		// No bounds: a value out of range is dropped and counted, the rest is heard.
		return scoreTypes
	default:
		return object{"type": "string"}
	}
}

// schemaOf is the schema of an answer that fills the given items.
func schemaOf(items []forms.Item) json.RawMessage {
	properties := object{commentsKey: object{"type": "array", "items": commentSchema()}}
	var required []string
	for _, it := range items {
		properties[it.Name] = itemSchema(it)
		if it.Type != forms.Choice {
			required = append(required, it.Name)
		}
	}
	return encode(object{"type": "object", "properties": properties, "required": required})
}

func reflectionSchema() json.RawMessage {
	text := object{"type": "string"}
	return encode(object{"type": "object", "required": []string{"Changed"}, "properties": object{
		"Changed": flagTypes, "Reason": text,
		"Items": object{"type": "array", "items": object{"type": "object", "required": []string{"Item", "Value"}, "properties": object{
			"Item": text, "Value": listTypes}}},
		"Scores": object{"type": "array", "items": object{"type": "object", "required": []string{"Item", "Value"}, "properties": object{
			"Item": text, "Value": scoreTypes}}},
		commentsKey: object{"type": "array", "items": commentSchema()},
	}})
}

// encode writes what json can always write: maps, strings and numbers.
func encode(v any) json.RawMessage {
	b, _ := json.Marshal(v)
	return b
}

// answer is an object that fits its schema.
type answer map[string]json.RawMessage

func parse(raw json.RawMessage) answer {
	a := answer{}
	_ = json.Unmarshal(raw, &a) // it fits the schema: an object
	return a
}

func (a answer) into(name string, v any) bool {
	raw, ok := a[name]
	return ok && json.Unmarshal(raw, v) == nil
}

func (a answer) text(name string) string {
	var s string
	a.into(name, &s)
	return clip(s, 2*maxPoint)
}

func (a answer) list(name string) []string {
	var in texts
	a.into(name, &in)
	return points(in)
}

// texts is a list of strings, or a string that holds one a line.
type texts []string

var bullet = regexp.MustCompile(`^\s*(?:[-*+•–]|\(?\d{1,2}[.)])\s+`)

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) != nil {
		return json.Unmarshal(b, (*[]string)(t))
	}
	for line := range strings.Lines(one) {
		if m := bullet.FindString(line); m != "" || len(*t) == 0 {
			*t = append(*t, strings.TrimSpace(line[len(m):]))
		} else if line = strings.TrimSpace(line); line != "" {
			(*t)[len(*t)-1] += " " + line
		}
	}
	return nil
}

// flag is true or false, or a word for it.
type flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(b []byte) error {
	var word string
	if json.Unmarshal(b, &word) != nil {
		return json.Unmarshal(b, (*bool)(f))
	}
	word, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(word)), " ")
	word = strings.Trim(word, ".,:;!")
	*f = word == "yes" || word == "true"
	return nil
}

// number is a number, or a string that begins with one: "7", "7/10", "7: a good paper".
type number float64

var leadingNumber = regexp.MustCompile(`^\s*\*{0,2}(-?\d{1,6}(?:\.\d{1,6})?)(?:\s*(?:/|out of|of)\s*\d{1,3})?\*{0,2}\s*(?:$|[:;,.()–—-])`)

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(b []byte) error {
	var said string
	if json.Unmarshal(b, &said) != nil {
		return json.Unmarshal(b, (*float64)(n))
	}
	m := leadingNumber.FindStringSubmatch(said)
	if m == nil {
		return fmt.Errorf("%.40q is no score", said)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	*n = number(v)
	return err
}

func points(in []string) []string {
	var out []string
	for _, s := range in {
		if s = clip(s, maxPoint); s != "" && len(out) < maxPoints {
			out = append(out, s)
		}
	}
	return out
}

// clip trims and bounds a text that came from a model.
func clip(s string, limit int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "…"
	}
	return s
}

type comment struct {
	Claim    string `json:"claim"`
	Severity string `json:"severity"`
	Item     string `json:"item"`
	Strength flag   `json:"strength"`
	Quotes   quotes `json:"quotes"`
	Absent   string `json:"absent"`
}

// UnmarshalJSON implements json.Unmarshaler: a comment may be its claim alone.
func (c *comment) UnmarshalJSON(b []byte) error {
	type plain comment
	if json.Unmarshal(b, &c.Claim) == nil {
		return nil
	}
	return json.Unmarshal(b, (*plain)(c))
}

// quotes is a list of quotes, or one.
type quotes []string

// UnmarshalJSON implements json.Unmarshaler.
func (q *quotes) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) != nil {
		return json.Unmarshal(b, (*[]string)(q))
	}
	if strings.TrimSpace(one) != "" {
		*q = quotes{one}
	}
	return nil
}

func (a answer) comments() []comment {
	var out []comment
	a.into(commentsKey, &out)
	return out[:min(len(out), maxPoints)]
}

// verify locates the quotes of comments. What is not in the paper is dropped and
// returned; a weighty fault without evidence becomes a minor one.
func (p *paper) verify(text *quote.Text, in []comment) (out []*reviewerv1.ReviewComment, lost []string) {
	for _, c := range in {
		rc := &reviewerv1.ReviewComment{Claim: clip(c.Claim, maxPoint), Severity: severity(c.Severity), Item: clip(c.Item, 80), Strength: bool(c.Strength)}
		if rc.Claim == "" {
			continue
		}
		for i, q := range c.Quotes {
			span, ok := text.Find(q)
			if i >= maxQuotes || !ok {
				lost = append(lost, clip(q, 300))
				continue
			}
			section, page := p.doc.Place(span.Start)
			rc.Quotes = append(rc.Quotes, &reviewerv1.Quote{Text: p.doc.Text[span.Start:span.End], Place: section, Offset: int64(span.Start), Page: int32(page)})
		}
		gone := strings.TrimSuffix(strings.TrimPrefix(clip(c.Absent, 200), "searched for "), ", not found") // some models write the whole form
		if gone != "" && !text.Mentions(gone) {
			rc.Absent = "searched for " + gone + ", not found"
		}
		if len(rc.Quotes) == 0 && rc.Absent == "" && !rc.Strength {
			rc.Severity = "minor"
		}
		out = append(out, rc)
	}
	return out, lost
}

func severity(s string) string {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "major", "fatal":
		return s
	}
	return "minor"
}
