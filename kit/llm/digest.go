package llm

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"strconv"
	"unicode/utf8"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
)

// Digest names what a request asks: neither the model nor cache marks are in it. Two requests with one digest want the same
// answer, so nothing random or timed may stand in a request.
func Digest(r Request) (store.Digest, error) {
	f := framer{sha256.New()}
	f.frame("v", []byte("1"))
	if len(r.Schema) > 0 {
		s, err := compact(r.Schema)
		if err != nil {
			return "", fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "the schema of a request is not JSON").WithField("schema", "not JSON")
		}
		f.frame("schema", s)
	}
	if r.MaxTokens > 0 {
		f.frame("max_tokens", strconv.AppendInt(nil, int64(r.MaxTokens), 10))
	}
	if r.Temperature != nil {
		f.frame("temperature", strconv.AppendFloat(nil, *r.Temperature, 'g', -1, 64))
	}
	if r.Seed != nil {
		f.frame("seed", strconv.AppendInt(nil, *r.Seed, 10))
	}
	if r.Effort != "" {
		f.frame("effort", []byte(r.Effort))
	}
	for _, s := range r.Stop {
		f.frame("stop", []byte(s))
	}
	f.parts("system", r.System)
	for _, m := range r.Messages {
		tag := "user"
		if m.Role == Assistant {
			tag = "assistant"
		}
		f.parts(tag, m.Parts)
	}
	return store.Digest("sha256:" + hex.EncodeToString(f.h.Sum(nil))), nil
}

type framer struct{ h hash.Hash }

func (f framer) frame(tag string, b []byte) {
	fmt.Fprintf(f.h, "%s %d\n", tag, len(b)) // a hash does not fail
	f.h.Write(b)
	f.h.Write([]byte("\n"))
}

func (f framer) parts(tag string, parts []Part) {
	for _, p := range parts {
		if len(p.Image) > 0 {
			sum := sha256.Sum256(p.Image)
			f.frame("image", append([]byte(p.MIME+" "), hex.EncodeToString(sum[:])...))
			continue
		}
		f.frame(tag, []byte(p.Text))
	}
}

// compact sorts the keys of a JSON text and drops its spaces.
func compact(raw json.RawMessage) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v) // maps are written with sorted keys
}

// StoredRequest is how the ledger keeps what was asked. Images are named, not kept: they lie in the step's snapshot.
type StoredRequest struct {
	Model       string          `json:"model"`
	System      []StoredPart    `json:"system,omitempty"`
	Messages    []StoredMessage `json:"messages"`
	Schema      json.RawMessage `json:"schema,omitempty"`
	MaxTokens   int             `json:"max_tokens,omitempty"`
	Temperature *float64        `json:"temperature,omitempty"`
	Seed        *int64          `json:"seed,omitempty"`
	Stop        []string        `json:"stop,omitempty"`
	Effort      string          `json:"effort,omitempty"`
	Prompt      string          `json:"prompt,omitempty"`
}

// StoredMessage is one turn.
type StoredMessage struct {
	Role  string       `json:"role"`
	Parts []StoredPart `json:"parts"`
}

// StoredPart is text or the digest of an image.
type StoredPart struct {
	Text  string `json:"text,omitempty"`
	Image string `json:"image,omitempty"`
	MIME  string `json:"mime,omitempty"`
}

func stored(r Request, model string) ([]byte, error) {
	parts := func(in []Part) []StoredPart {
		var out []StoredPart
		for _, p := range in {
			if len(p.Image) > 0 {
				out = append(out, StoredPart{Image: string(store.DigestOf(p.Image)), MIME: p.MIME})
				continue
			}
			out = append(out, StoredPart{Text: p.Text})
		}
		return out
	}
	s := StoredRequest{
		Model: model, System: parts(r.System), Schema: r.Schema, MaxTokens: r.MaxTokens, Temperature: r.Temperature, Seed: r.Seed,
		Stop: r.Stop, Effort: r.Effort, Prompt: r.Prompt,
	}
	for _, m := range r.Messages {
		role := "user"
		if m.Role == Assistant {
			role = "assistant"
		}
		s.Messages = append(s.Messages, StoredMessage{Role: role, Parts: parts(m.Parts)})
	}
	return json.Marshal(s)
}

const maxRequest = 64 << 20

// check refuses what no provider could be asked.
func (r Request) check() error {
	bad := func(field, format string, a ...any) error {
		return fault.New(fault.Invalid, "FIELD_INVALID", "the request of %s: %s: %s", r.Origin.Call, field, fmt.Sprintf(format, a...)).
			WithField(field, fmt.Sprintf(format, a...))
	}
	if err := r.Origin.Validate(); err != nil {
		return err
	}
	if r.Model == "" {
		return bad("model", "no model is named")
	}
	if len(r.Messages) == 0 {
		return bad("messages", "there is none")
	}
	total := 0
	for i, m := range r.Messages {
		if m.Role != User && m.Role != Assistant {
			return bad(fmt.Sprintf("messages[%d].role", i), "unknown")
		}
		if i > 0 && m.Role == r.Messages[i-1].Role {
			return bad(fmt.Sprintf("messages[%d].role", i), "roles do not alternate")
		}
		n, err := checkParts(fmt.Sprintf("messages[%d]", i), m.Parts, bad)
		if err != nil {
			return err
		}
		if n == 0 {
			return bad(fmt.Sprintf("messages[%d]", i), "empty")
		}
		total += n
	}
	if r.Messages[0].Role != User {
		return bad("messages[0].role", "a conversation begins with the user")
	}
	n, err := checkParts("system", r.System, bad)
	if err != nil {
		return err
	}
	if total+n > maxRequest {
		return bad("messages", "%d bytes, the limit is %d", total+n, maxRequest)
	}
	if len(r.Schema) > 0 && !json.Valid(r.Schema) {
		return bad("schema", "not JSON")
	}
	if r.MaxTokens < 0 {
		return bad("max_tokens", "negative")
	}
	if r.Temperature != nil && !(*r.Temperature >= 0 && *r.Temperature <= 2) {
		return bad("temperature", "want 0 to 2")
	}
	switch r.Effort {
	case "", "low", "medium", "high":
	default:
		return bad("effort", "want low, medium or high")
	}
	return nil
}

func checkParts(where string, parts []Part, bad func(field, format string, a ...any) error) (int, error) {
	total := 0
	for i, p := range parts {
		field := fmt.Sprintf("%s.parts[%d]", where, i)
		if !utf8.ValidString(p.Text) {
			return 0, bad(field, "text is not UTF-8")
		}
		if len(p.Image) > 0 && p.MIME != "image/png" && p.MIME != "image/jpeg" {
			return 0, bad(field, "an image is image/png or image/jpeg, not %q", clip(p.MIME, 40))
		}
		if len(p.Image) > 0 && p.Text != "" {
			return 0, bad(field, "has text and an image")
		}
		total += len(p.Text) + len(p.Image)
	}
	return total, nil
}
