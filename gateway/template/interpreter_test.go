package template_test

import (
	"fmt"
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

	want := map[string]int{
		"x = 1\n":                       0,
		"x = 1\ndef broken(:\n  pass\n": 2,
		"import sys; sys.exit('ran')":   0,
		"x = 'a\x00b'\n":                1,
		strings.Repeat("(", 5000):       1,
	}
	sources := map[string][]byte{}
	for src := range want {
		sources[src] = []byte(src)
	}
	for i := range 120 { // more than are parsed at once
		sources[fmt.Sprint("many/", i)] = []byte("y = 2\n")
	}
	got := python.Parse(t.Context(), sources)
	for src := range sources {
		if g := got[src]; g.Err != nil || g.Line != want[src] || (g.Message != "") != (want[src] > 0) {
			t.Errorf("parsing %.20q: %+v; want line %d", src, g, want[src])
		}
	}
	if len(got) != len(sources) {
		t.Errorf("%d answers for %d sources", len(got), len(sources))
	}
	missing, err := python.Missing(t.Context(), []string{"json", "no_such_module_here", "os.path"})
	if err != nil || !slices.Equal(missing, []string{"no_such_module_here"}) {
		t.Errorf("missing modules: %v, %v", missing, err)
	}
	if _, err := python.Missing(t.Context(), []string{"os; import sys"}); err == nil {
		t.Error("a module's name with code in it was asked")
	}
}
