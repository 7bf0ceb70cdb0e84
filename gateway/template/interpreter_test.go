package template_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
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
	if got, err := python.Absent(t.Context(), []string{"json", "no_such_module_here", "os.path", "no.such"}); err != nil || !slices.Equal(got, []string{"no_such_module_here", "no.such"}) {
		t.Errorf("absent: %q, %v", got, err)
	}
	if _, err := python.Absent(t.Context(), []string{"-c"}); err == nil {
		t.Error("an option passed for a module's name")
	}
	missing := template.MissingModules(t.Context(), s)
	for _, modules := range [][]string{nil, {"json", "os.path"}} {
		if got, err := missing(modules); err != nil || len(got) > 0 {
			t.Errorf("modules %q are missing: %q, %v", modules, got, err)
		}
	}
	if got, err := missing([]string{"json", "no_such_module_here"}); err != nil || !slices.Equal(got, []string{"no_such_module_here"}) {
		t.Errorf("missing modules: %q, %v", got, err)
	}
	if _, err := missing([]string{"os; import sys"}); err == nil {
		t.Error("a module's name with code in it was asked")
	}
}

// nowhere is a machine without Python.
type nowhere struct{}

func (nowhere) FindPython(context.Context, string, []string) (*sandbox.Python, error) {
	return nil, fault.New(fault.Precondition, sandbox.ReasonNoPython, "no Python interpreter fits: there is no python3").WithNext("apt-get install python3")
}

func TestLoad_blocks_the_start_where_there_is_no_python(t *testing.T) {
	got, findings := template.Load(tree(good()), template.Options{Name: "small", MissingModules: template.MissingModules(t.Context(), nowhere{})})
	blocking := template.Blocking(findings)
	if got == nil || len(blocking) != 1 || blocking[0].Rule != "python.interpreter" || blocking[0].Fix != "apt-get install python3" {
		t.Errorf("loaded: %t; blocking findings: %v", got != nil, blocking)
	}
}

func TestLoad_asks_for_the_data_of_the_size_only(t *testing.T) {
	files := good()
	files["template.yaml"] += "\ndata: [{path: data/a, sha256: " + strings.Repeat("0", 64) + ", sizes: [lite]}]\n"
	for size, want := range map[string]int{"": 1, "lite": 1, "smoke": 0} {
		got, findings := template.Load(tree(files), template.Options{Name: "small", Size: size})
		if blocking := template.Blocking(findings); got == nil || len(blocking) != want {
			t.Errorf("size %q: %v", size, findings)
		}
	}
}

// dying is a runner whose Python dies at the second file.
type dying struct{}

func (dying) Run(_ context.Context, s sandbox.Spec) (sandbox.Result, error) {
	from, err := strconv.Atoi(s.Argv[len(s.Argv)-2])
	if err != nil {
		return sandbox.Result{}, err
	}
	if from == 0 {
		_, err = io.WriteString(s.Stdout, `{"File": 0, "Line": 0, "Message": ""}`+"\n")
		return sandbox.Result{ExitCode: -1, Signal: 11}, err
	}
	_, err = fmt.Fprintf(s.Stdout, `{"File": %d, "Line": 1, "Message": "broken"}`+"\n", from)
	return sandbox.Result{}, err
}
