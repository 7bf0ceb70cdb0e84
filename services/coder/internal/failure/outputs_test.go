package failure_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"nullius.dev/services/coder/internal/failure"
)

// output is what a broken script printed when it was really run; testdata/make.py, libraries.py and kinds.py have the scripts.
type output struct {
	Name    string
	Sources map[string]string
	End     string
	Exit    int
	Stdout  string // bytes as the characters of the same number
	Stderr  string
	Message string
	Missing []string
	Limit   string `json:"time_limit"`
	Says    string
	Want    struct {
		Type, File, Function, Message string
		Line                          int
	}
}

func raw(s string) []byte {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		out = append(out, byte(r))
	}
	return out
}

// either takes "a|b" for one of both: what Python versions and systems differ in.
func either(got, want string) bool { return slices.Contains(strings.Split(want, "|"), got) }

func outputs(t testing.TB) []output {
	t.Helper()
	var all []output
	for _, file := range []string{"testdata/outputs.json", "testdata/libraries.json", "testdata/kinds.json"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var cases []output
		if err := json.Unmarshal(data, &cases); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if len(cases) < 40 {
			t.Fatalf("%s: %d outputs", file, len(cases))
		}
		all = append(all, cases...)
	}
	return all
}

func TestParse_RealOutputs(t *testing.T) {
	for _, c := range outputs(t) {
		t.Run(c.Name, func(t *testing.T) {
			in := failure.Input{EndReason: c.End, ExitCode: c.Exit, Message: c.Message, Stdout: raw(c.Stdout), Stderr: raw(c.Stderr), MissingKeys: c.Missing,
				TimeLimit: c.Limit, Source: source(c.Sources)}
			f := failure.Parse(in)
			if !either(f.Type, c.Want.Type) || f.File != c.Want.File || f.Line != c.Want.Line || !either(f.Function, c.Want.Function) || !strings.Contains(f.Message, c.Want.Message) {
				t.Errorf("%s in %s line %d, %s: %.200q\nwant %+v", f.Type, f.File, f.Line, f.Function, f.Message, c.Want)
			}
			if !strings.Contains(f.Text, c.Says) {
				t.Errorf("the text lacks %q:\n%s", c.Says, f.Text)
			}
			if len(f.Text) > 3000 {
				t.Errorf("the text has %d bytes", len(f.Text))
			}
			if c.Want.Line > 0 && !strings.Contains(f.Text, "line ") {
				t.Errorf("the text names no line:\n%s", f.Text)
			}
			if strings.Contains(f.Text, "/job/work") || strings.ContainsAny(f.Text, "\x1b\r\x00") {
				t.Errorf("the text holds the job's folder or control characters:\n%s", f.Text)
			}
			in.Stderr = []byte(strings.ReplaceAll(string(in.Stderr), "/job/work", "/tmp/other-17/x"))
			if again := failure.Parse(in); again.Signature != f.Signature {
				t.Errorf("another folder gives another signature: %q and %q", again.Signature, f.Signature)
			}
		})
	}
}
