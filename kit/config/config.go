// Package config loads one struct per service: defaults in a Go literal, then strict YAML, then the environment, then Validate.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"nullius.dev/kit/fault"
)

// Load fills target, which holds the defaults, from a YAML file (empty: none) and from variables NULLIUS_<NAME>_<FIELD> of environ ("KEY=value"). Fields are
// named by their yaml tags; of nested ones the tags are joined by "_". An unknown key or a value of the wrong type is fault.Invalid FIELD_INVALID with its line.
// If target has a method Validate() error, its error is returned last.
func Load(name string, target any, file string, environ []string) error {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "config file %s cannot be read", file)
		}
		if err := FromYAML(data, file, target); err != nil {
			return err
		}
	}
	if err := fromEnv(name, target, environ); err != nil {
		return err
	}
	if v, ok := target.(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

// FromYAML reads strict YAML over target; an empty file changes nothing.
func FromYAML(data []byte, file string, target any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	err := dec.Decode(target)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	return fault.New(fault.Invalid, "FIELD_INVALID", "%s: %s", file, explain(err, target))
}

var unknownField = regexp.MustCompile(`line (\d+): field (\S+) not found in type \S+`)

func explain(err error, target any) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = strings.TrimPrefix(text, "unmarshal errors:\n  ")
	m := unknownField.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	out := fmt.Sprintf("line %s: unknown key %q", m[1], m[2])
	if near := nearest(m[2], keys(reflect.TypeOf(target))); near != "" {
		out += fmt.Sprintf(" (did you mean %q?)", near)
	}
	return out
}

// keys lists the yaml keys of a struct and of those inside it.
func keys(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var out []string
	for f := range t.Fields() {
		if tag, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); tag != "" && tag != "-" {
			out = append(out, tag)
		}
		out = append(out, keys(f.Type)...)
	}
	return out
}

// nearest is the key that differs least from word, when that is at most a third of it.
func nearest(word string, keys []string) string {
	best, name := len(word)/3+1, ""
	for _, k := range keys {
		if d := distance(word, k); d < best {
			best, name = d, k
		}
	}
	return name
}

// distance is Levenshtein's.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			prev, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, prev+cost)
		}
	}
	return row[len(b)]
}

// fromEnv reads the variables. Names come from the yaml tags, so that file and environment spell a field the same way.
func fromEnv(name string, target any, environ []string) error {
	vars := variables(environ)
	var errs []error
	walk(reflect.ValueOf(target), "", func(key string, v reflect.Value) {
		k := variable(name, key)
		if value, ok := vars[k]; ok {
			errs = append(errs, set(v, k, value))
		}
	})
	return errors.Join(errs...)
}

func set(v reflect.Value, name, value string) error {
	if v.Kind() == reflect.String {
		v.SetString(value) // as it stands, not as YAML reads it
		return nil
	}
	if v.Kind() == reflect.Slice && !strings.HasPrefix(strings.TrimSpace(value), "[") {
		value = "[" + value + "]" // a,b as well as [a, b]
	}
	fresh := reflect.New(v.Type()) // a list or a map is replaced, not added to
	if err := yaml.Unmarshal([]byte(value), fresh.Interface()); err != nil {
		return fault.New(fault.Invalid, "FIELD_INVALID", "variable %s: %q is no %s", name, value, v.Type())
	}
	v.Set(fresh.Elem())
	return nil
}

// Secret is a string that prints as *** everywhere; convert it to string where it is used.
type Secret string

const mask = "***"

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalYAML hides the secret.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// MarshalText hides the secret, from JSON too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SecretFrom reads a secret from the variable, or from the file that its _FILE twin names. Neither: empty.
func SecretFrom(variable string, environ []string) (Secret, error) {
	vars := variables(environ)
	if v := vars[variable]; v != "" {
		return Secret(v), nil
	}
	path := vars[variable+"_FILE"]
	if path == "" {
		return "", nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "the file that %s_FILE names cannot be read", variable)
	}
	return Secret(strings.TrimSpace(string(data))), nil
}
