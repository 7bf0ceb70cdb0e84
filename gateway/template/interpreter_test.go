package template_test

import (
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

func TestInterpreter_answers_from_the_sandbox(t *testing.T) {
	s, err := sandbox.New(t.Context(), sandbox.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("sandbox: %v (install: sudo apt-get install -y bubblewrap python3)", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	python := template.NewInterpreter(s, nil)

	for src, want := range map[string]int{
		"x = 1\n":                       0,
		"x = 1\ndef broken(:\n  pass\n": 2,
		"import sys; sys.exit('ran')":   0,
		"x = 'a\x00b'\n":                1,
		strings.Repeat("(", 5000):       1,
	} {
		line, message, err := python.Parse(t.Context(), []byte(src))
		if err != nil || line != want || (message != "") != (want > 0) {
			t.Errorf("parsing %.20q: line %d, message %q, error %v; want line %d", src, line, message, err, want)
		}
	}
	missing, err := python.Missing(t.Context(), []string{"json", "no_such_module_here", "os.path"})
	if err != nil || !slices.Equal(missing, []string{"no_such_module_here"}) {
		t.Errorf("missing modules: %v, %v", missing, err)
	}
	if _, err := python.Missing(t.Context(), []string{"os; import sys"}); err == nil {
		t.Error("a module's name with code in it was asked")
	}
}
