package recording_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/store"
)

const index = `{"recording":1,"template":"seir"}
{"idea":"_","step":"ideation/idea-1","call":"propose","kind":"model","file":"_/ideation/idea-1/propose.txt"}
{"idea":"idea-1","step":"novelty/assess","call":"search/1","kind":"literature","file":"idea-1/novelty/assess/search/1.json"}
{"idea":"idea-1","step":"writing/draft","call":"results","kind":"model","model":"openai/gpt-4o","digest":"sha256:1","finish":"length","usage":{"input":812,"output":240},"cost_usd":"0.01006","file":"idea-1/writing/draft/results.txt"}
`

func open(t *testing.T, index string, files ...string) (*recording.Recording, error) {
	t.Helper()
	blobs := kittest.Blobs(t)
	set := map[string][]byte{recording.IndexFile: []byte(index)}
	for _, f := range files {
		set[f] = []byte("reply of " + f)
	}
	d, err := store.Edit(t.Context(), blobs, "", set, nil)
	if err != nil {
		t.Fatal(err)
	}
	return recording.NewShelf(blobs).Open(t.Context(), "recording/"+d.Hex())
}

func all(t *testing.T) *recording.Recording {
	t.Helper()
	r, err := open(t, index, "_/ideation/idea-1/propose.txt", "idea-1/novelty/assess/search/1.json", "idea-1/writing/draft/results.txt")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(idea, step, call string) ledger.Origin {
	return ledger.Origin{Scope: []string{"s", idea}, Step: step, Call: call}
}

func TestRecording_Lookup(t *testing.T) {
	r := all(t)
	for name, tc := range map[string]struct {
		o    ledger.Origin
		kind string
		want string
	}{
		"by its name":                   {at("idea-1", "writing/draft", "results"), "model", "reply of idea-1/writing/draft/results.txt"},
		"a later try takes the first's": {at("idea-1", "writing-2/draft", "results"), "model", "reply of idea-1/writing/draft/results.txt"},
		"literature":                    {at("idea-1", "novelty/assess", "search/1"), "literature", "reply of idea-1/novelty/assess/search/1.json"},
		"the study's own":               {at("_", "ideation/idea-1", "propose"), "model", "reply of _/ideation/idea-1/propose.txt"},
		"another kind":                  {at("idea-1", "novelty/assess", "search/1"), "model", ""},
		"another idea":                  {at("idea-2", "writing/draft", "results"), "model", ""},
		"another call":                  {at("idea-1", "writing/draft", "results/retry-1"), "model", ""},
	} {
		a, err := r.Lookup(t.Context(), tc.o, tc.kind)
		if tc.want == "" {
			f, _ := fault.As(err)
			if fault.ReasonOf(err) != "RECORDING_MISSING" || f.Meta["step"] != tc.o.Step || f.Meta["call"] != tc.o.Call || f.Next != "make recordings" {
				t.Errorf("%s: got %v", name, err)
			}
			continue
		}
		if err != nil || string(a.Text) != tc.want {
			t.Errorf("%s: got %q, %v", name, a.Text, err)
		}
	}
	a, err := r.Lookup(t.Context(), at("idea-1", "writing/draft", "results"), "model")
	if err != nil || a.Cost() != 10_060_000_000 || a.Usage.Input != 812 || a.Finish != "length" {
		t.Errorf("got %+v, %v", a, err)
	}
	if !r.Has("literature") || r.Header.Template != "seir" {
		t.Errorf("header %+v", r.Header)
	}
}

func TestRecording_Unused(t *testing.T) {
	r := all(t)
	used := []ledger.Entry{{Origin: at("idea-1", "writing-2/draft", "results"), Record: ledger.Record{State: ledger.Done, Model: "recording/x"}}}
	calls := func(lines []recording.Line) string {
		var s []string
		for _, l := range lines {
			s = append(s, l.Call)
		}
		return strings.Join(s, " ")
	}
	if got := calls(r.Unused(used, "model", "literature")); got != "propose search/1" {
		t.Errorf("unused: %s", got)
	}
	if got := calls(r.Unused(used, "model")); got != "propose" {
		t.Errorf("unused without literature: %s", got)
	}
}

func TestOpen_refuses_damaged_recordings(t *testing.T) {
	line := `{"idea":"idea-1","step":"a/b","call":"c","kind":"model","file":"f.txt"}`
	for name, tc := range map[string]struct{ index, say string }{
		"empty":          {"", "is empty"},
		"no header":      {line, "want the header"},
		"other version":  {`{"recording":2}`, "want the header"},
		"not JSON":       {"{\"recording\":1}\n{", "line 2"},
		"unknown field":  {"{\"recording\":1}\n" + strings.Replace(line, `"call"`, `"cal"`, 1), "unknown field"},
		"unknown kind":   {"{\"recording\":1}\n" + strings.Replace(line, "model", "oracle", 1), "kind"},
		"twice":          {"{\"recording\":1}\n" + line + "\n" + line, "twice"},
		"a missing file": {"{\"recording\":1}\n" + strings.Replace(line, "f.txt", "g.txt", 1), "lacks"},
		"a path upwards": {"{\"recording\":1}\n" + strings.Replace(line, "f.txt", "../f.txt", 1), "line 2"},
		"a bad step":     {"{\"recording\":1}\n" + strings.Replace(line, "a/b", "a b", 1), "line 2"},
	} {
		_, err := open(t, tc.index, "f.txt")
		if err == nil || !strings.Contains(err.Error(), tc.say) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestExport_writes_what_Open_reads(t *testing.T) {
	blobs := kittest.Blobs(t)
	put := func(s string) store.Digest {
		d, err := store.PutBytes(t.Context(), blobs, []byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	entry := func(o ledger.Origin, model, reply string, beat int64) ledger.Entry {
		return ledger.Entry{Origin: o, Record: ledger.Record{State: ledger.Done, Model: model, Reply: put(reply), Digest: "sha256:2",
			Finish: "stop", Cost: 10_060_000_000, Usage: ledger.Usage{Input: 812, Output: 240}, Beat: beat}}
	}
	entries := []ledger.Entry{
		entry(at("idea-1", "writing/draft", "results"), "openai/gpt-4o", "old", 1),
		entry(at("idea-1", "writing/draft", "results"), "openai/gpt-4o", "new", 2),
		entry(at("idea-1", "novelty/assess", "search/1"), ledger.Literature, "[]", 1),
		{Origin: at("idea-1", "writing/draft", "cut"), Record: ledger.Record{State: ledger.Started}},
	}
	files, err := recording.Export(t.Context(), blobs, entries, recording.Options{Template: "seir"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{
		"idea-1/writing/draft/results.txt":    []byte("new"),
		"idea-1/novelty/assess/search/1.json": []byte("[]"),
		"index.jsonl": []byte(`{"recording":1,"template":"seir"}
{"idea":"idea-1","step":"novelty/assess","call":"search/1","kind":"literature","digest":"sha256:2","finish":"stop","usage":{"input":812,"output":240},"file":"idea-1/novelty/assess/search/1.json"}
{"idea":"idea-1","step":"writing/draft","call":"results","kind":"model","model":"openai/gpt-4o","digest":"sha256:2","finish":"stop","usage":{"input":812,"output":240},"cost_usd":"0.01006","file":"idea-1/writing/draft/results.txt"}
`),
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	d, err := store.Edit(t.Context(), blobs, "", files, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := recording.Open(t.Context(), blobs, d)
	if err != nil {
		t.Fatal(err)
	}
	if unused := r.Unused(entries, "model", "literature"); len(unused) != 0 {
		t.Errorf("unused %+v", unused)
	}
}

func TestRedigest_changes_digests_only(t *testing.T) {
	e := []ledger.Entry{{Origin: at("idea-1", "writing/draft", "results"), Record: ledger.Record{State: ledger.Done, Model: "recording/x", Digest: "sha256:9"}}}
	got, err := recording.Redigest([]byte(index), e)
	if err != nil || !strings.Contains(string(got), `"digest":"sha256:9","finish":"length"`) || strings.Count(string(got), "\n") != 4 {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestTyped_finds_measured_numbers(t *testing.T) {
	got := recording.Typed([]byte(`the peak 0.8421 beats 12 and 300, \measured{run_1/x/y}`), map[string]bool{"0.8421": true, "12": true, "301": true})
	if len(got) != 1 || got[0] != "0.8421" {
		t.Errorf("got %v", got)
	}
}
