package llm_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
)

func TestDigest_frames_what_is_asked(t *testing.T) {
	r := llm.Request{
		Model: "openai/gpt-4o", Origin: llm.Origin{Scope: []string{"s", "i"}, Step: "x", Call: "y"},
		System:    []llm.Part{{Text: "Be brief.", Cache: true}},
		Messages:  []llm.Message{{Role: llm.User, Parts: []llm.Part{llm.Text("Grüß"), {Image: []byte("png"), MIME: "image/png"}}}, llm.Say(llm.Assistant, "{")},
		Schema:    json.RawMessage(`{ "type":"object", "a":1.50 }`),
		MaxTokens: 100, Temperature: llm.Ptr(0.7), Seed: llm.Ptr(int64(-3)), Stop: []string{"A", "BB"}, Effort: "low", Prompt: "not in it",
	}
	img := sha256.Sum256([]byte("png"))
	h := hex.EncodeToString(img[:])
	frames := "v 1\n1\n" + "schema 26\n" + `{"a":1.50,"type":"object"}` + "\n" + "max_tokens 3\n100\n" + "temperature 3\n0.7\n" + "seed 2\n-3\n" +
		"effort 3\nlow\n" + "stop 1\nA\nstop 2\nBB\n" + "system 9\nBe brief.\n" + "user 6\nGrüß\n" + "image 74\nimage/png " + h + "\n" + "assistant 1\n{\n"
	sum := sha256.Sum256([]byte(frames))
	got, err := llm.Digest(r)
	if want := "sha256:" + hex.EncodeToString(sum[:]); err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	const golden = "sha256:260d42c1de807fd94bb242e1a2c09de7dd866b206e2cf9a691e22e0c61c6c076"
	if string(got) != golden { // a changed digest makes every recording differ
		t.Errorf("got %s, want %s", got, golden)
	}
	same := r
	same.Model, same.Prompt = "other/model", "other"
	same.System = []llm.Part{{Text: "Be brief."}}
	if d, err := llm.Digest(same); err != nil || d != got {
		t.Errorf("model, prompt name or cache mark changed the digest: %s, %v", d, err)
	}
	for name, change := range map[string]func(*llm.Request){
		"temperature nil": func(r *llm.Request) { r.Temperature = nil },
		"temperature 0":   func(r *llm.Request) { r.Temperature = llm.Ptr(0.0) },
		"seed":            func(r *llm.Request) { r.Seed = llm.Ptr(int64(1)) },
		"stop":            func(r *llm.Request) { r.Stop = []string{"ABB"} },
		"role":            func(r *llm.Request) { r.Messages = r.Messages[:1] },
		"parts joined":    func(r *llm.Request) { r.System = []llm.Part{llm.Text("Be "), llm.Text("brief.")} },
		"mime": func(r *llm.Request) {
			r.Messages = []llm.Message{{Parts: []llm.Part{{Image: []byte("png"), MIME: "image/jpeg"}}}}
		},
	} {
		other := r
		change(&other)
		if d, err := llm.Digest(other); err != nil || d == got {
			t.Errorf("%s did not change the digest, %v", name, err)
		}
	}
}

func TestDoor_Chat_refuses_unsound_requests(t *testing.T) {
	d := plainDoor(t, nil)
	for name, change := range map[string]func(*llm.Request){
		"no message":             func(r *llm.Request) { r.Messages = nil },
		"empty message":          func(r *llm.Request) { r.Messages = []llm.Message{llm.Say(llm.User, "")} },
		"two users":              func(r *llm.Request) { r.Messages = []llm.Message{llm.Say(llm.User, "a"), llm.Say(llm.User, "b")} },
		"assistant first":        func(r *llm.Request) { r.Messages = []llm.Message{llm.Say(llm.Assistant, "a")} },
		"not UTF-8":              func(r *llm.Request) { r.Messages = []llm.Message{llm.Say(llm.User, "\xff")} },
		"an image of a kind":     func(r *llm.Request) { r.System = []llm.Part{{Image: []byte("x"), MIME: "image/svg+xml"}} },
		"negative max tokens":    func(r *llm.Request) { r.MaxTokens = -1 },
		"hot":                    func(r *llm.Request) { r.Temperature = llm.Ptr(3.0) },
		"effort":                 func(r *llm.Request) { r.Effort = "huge" },
		"schema":                 func(r *llm.Request) { r.Schema = json.RawMessage("{") },
		"no call":                func(r *llm.Request) { r.Origin.Call = "" },
		"a scope with a dot":     func(r *llm.Request) { r.Origin.Scope = []string{"a.b", "c"} },
		"a step with a wildcard": func(r *llm.Request) { r.Origin.Step = "x/>" },
		"no model":               func(r *llm.Request) { r.Model = "" },
	} {
		r := ask("Say.")
		change(&r)
		if _, err := d.Chat(t.Context(), r); fault.ReasonOf(err) != "FIELD_INVALID" {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
