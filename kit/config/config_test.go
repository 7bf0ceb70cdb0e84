package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"nullius.dev/kit/config"
	"nullius.dev/kit/fault"
)

type common struct {
	DataDir string `yaml:"data_dir"`
}

type limits struct {
	Files int           `yaml:"files"`
	Wall  time.Duration `yaml:"wall"`
}

type settings struct {
	Common common        `yaml:",inline"`
	Listen string        `yaml:"listen"`
	Limits limits        `yaml:"limits"`
	Pools  []string      `yaml:"pools"`
	Strict bool          `yaml:"strict"`
	Key    config.Secret `yaml:"key"`
}

func (s settings) Validate() error {
	if s.Limits.Files < 0 {
		return fault.New(fault.Invalid, "FIELD_INVALID", "limits.files is negative")
	}
	return nil
}

func defaults() settings {
	return settings{Listen: "127.0.0.1:7002", Limits: limits{Files: 10, Wall: time.Minute}, Pools: []string{"cpu"}, Common: common{DataDir: "/data"}}
}

func write(t *testing.T, text string) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "coder.yaml")
	if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLayersLieOverEachOther(t *testing.T) {
	tests := []struct {
		name    string
		yaml    string
		environ []string
		want    func(*settings)
	}{
		{"defaults stay without a file", "", nil, func(*settings) {}},
		{"a file overrides what it names", "limits:\n  wall: 5s\n", nil, func(s *settings) { s.Limits.Wall = 5 * time.Second }},
		{"a variable overrides the file", "listen: a:1\n", []string{"NULLIUS_CODER_LISTEN=b:2"}, func(s *settings) { s.Listen = "b:2" }},
		{"a zero value that is set counts", "limits: {files: 7}\n", []string{"NULLIUS_CODER_LIMITS_FILES=0"}, func(s *settings) { s.Limits.Files = 0 }},
		{"nested durations and booleans are read", "", []string{"NULLIUS_CODER_LIMITS_WALL=90s", "NULLIUS_CODER_STRICT=true"},
			func(s *settings) { s.Limits.Wall, s.Strict = 90*time.Second, true }},
		{"a list replaces the default's", "pools: [gpu]\n", nil, func(s *settings) { s.Pools = []string{"gpu"} }},
		{"a list may be written with commas", "", []string{"NULLIUS_CODER_POOLS=gpu,big"}, func(s *settings) { s.Pools = []string{"gpu", "big"} }},
		{"an inlined struct has no prefix", "data_dir: /x\n", nil, func(s *settings) { s.Common.DataDir = "/x" }},
		{"an inlined struct's variable has no prefix", "", []string{"NULLIUS_CODER_DATA_DIR=/y"}, func(s *settings) { s.Common.DataDir = "/y" }},
		{"text is taken as it stands", "", []string{"NULLIUS_CODER_LISTEN=yes: [no"}, func(s *settings) { s.Listen = "yes: [no" }},
		{"other services' variables are none of ours", "", []string{"NULLIUS_WRITER_LISTEN=b:2", "NULLIUS_CODER_SERVICE_HOST=10.0.0.1"}, func(*settings) {}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, want := defaults(), defaults()
			tt.want(&want)
			if err := config.Load("coder", &got, write(t, tt.yaml), tt.environ); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMistakesAreToldWithTheirPlace(t *testing.T) {
	tests := []struct {
		name    string
		yaml    string
		environ []string
		want    []string
	}{
		{"an unknown key, with its line and the nearest", "listen: a:1\nlimit:\n  files: 1\n", nil, []string{"line 2", `"limit"`, `"limits"`}},
		{"an unknown nested key", "limits:\n  file: 1\n", nil, []string{"line 2", `"file"`, `"files"`}},
		{"an unknown key that is like nothing", "zzzzzz: 1\n", nil, []string{"line 1", `"zzzzzz"`}},
		{"a value of the wrong type", "limits: {files: many}\n", nil, []string{"line 1", "many"}},
		{"a doubled key", "listen: a\nlisten: b\n", nil, []string{"line 2", "listen"}},
		{"no YAML", "listen: [\n", nil, []string{"line"}},
		{"a variable of the wrong type", "", []string{"NULLIUS_CODER_LIMITS_FILES=many"}, []string{"NULLIUS_CODER_LIMITS_FILES", "many", "int"}},
		{"what Validate refuses", "limits: {files: -1}\n", nil, []string{"limits.files"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := defaults()
			err := config.Load("coder", &got, write(t, tt.yaml), tt.environ)
			if !errors.Is(err, fault.Invalid) {
				t.Fatalf("got %v", err)
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q lacks %q", err, w)
				}
			}
		})
	}
}

func TestAMissingFileIsTold(t *testing.T) {
	got := defaults()
	if err := config.Load("coder", &got, "/nowhere/x.yaml", nil); !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "/nowhere/x.yaml") {
		t.Errorf("got %v", err)
	}
}

func TestEachValueTellsItsOrigin(t *testing.T) {
	file := write(t, "listen: a:1\nlimits:\n  wall: 5s\nkey: hunter2\n")
	environ := []string{"NULLIUS_CODER_LIMITS_WALL=6s"}
	got := defaults()
	if err := config.Load("coder", &got, file, environ); err != nil {
		t.Fatal(err)
	}
	values, err := config.Origins("coder", &got, file, environ)
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Value{
		{Key: "data_dir", Text: "/data", Origin: "default"},
		{Key: "listen", Text: "a:1", Origin: "file " + file},
		{Key: "limits.files", Text: "10", Origin: "default"},
		{Key: "limits.wall", Text: "6s", Origin: "variable NULLIUS_CODER_LIMITS_WALL"},
		{Key: "pools", Text: "[cpu]", Origin: "default"},
		{Key: "strict", Text: "false", Origin: "default"},
		{Key: "key", Text: "'***'", Origin: "file " + file},
	}
	if diff := cmp.Diff(want, values); diff != "" {
		t.Error(diff)
	}
}

func TestTheDifferenceFromTheDefaultsIsShown(t *testing.T) {
	got := defaults()
	got.Limits.Files, got.Key = 3, "hunter2"
	if diff := cmp.Diff([]string{"key='***'", "limits.files=3"}, config.Diff(defaults(), got)); diff != "" {
		t.Error(diff)
	}
	if d := config.Diff(defaults(), defaults()); len(d) != 0 {
		t.Errorf("nothing differs, but %v", d)
	}
}

func TestASecretPrintsNowhere(t *testing.T) {
	s := defaults()
	s.Key = "hunter2"
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", s.Key, "all", s)
	y, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{log.String(), string(y), string(j), fmt.Sprint(s), fmt.Sprintf("%+v %#v %s %q %v", s, s, s.Key, s.Key, s.Key)} {
		if strings.Contains(out, "hunter2") || !strings.Contains(out, "***") {
			t.Errorf("shown: %s", out)
		}
	}
	if string(s.Key) != "hunter2" {
		t.Error("the secret is lost")
	}
}

func TestASecretComesFromAVariableOrItsFile(t *testing.T) {
	file := write(t, "from-file\n")
	tests := []struct {
		name    string
		environ []string
		want    string
	}{
		{"neither", nil, ""},
		{"the variable", []string{"KEY=direct"}, "direct"},
		{"the file", []string{"KEY_FILE=" + file}, "from-file"},
		{"the variable before the file", []string{"KEY_FILE=" + file, "KEY=direct"}, "direct"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := config.SecretFrom("KEY", tt.environ)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %q, %v", string(got), err)
			}
		})
	}
	if _, err := config.SecretFrom("KEY", []string{"KEY_FILE=/nowhere"}); !errors.Is(err, fault.Invalid) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestDiff_HidesPasswordsInAddresses(t *testing.T) {
	type c struct {
		NATS string `yaml:"nats"`
	}
	got := config.Diff(c{}, c{NATS: "nats://user:canary-secret@a:4222,nats://user:canary-secret@b:4222"})
	if want := "nats=nats://user:***@a:4222,nats://user:***@b:4222"; len(got) != 1 || got[0] != want {
		t.Errorf("%q, want %q", got, want)
	}
}
