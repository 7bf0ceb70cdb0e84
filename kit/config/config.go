// Package config loads one struct per service: defaults in a Go literal, then strict YAML, then the environment, then Validate.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
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
	vars := map[string]string{}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
	}
	return overlay(reflect.ValueOf(target).Elem(), "NULLIUS_"+strings.ToUpper(name)+"_", vars)
}

func overlay(v reflect.Value, prefix string, vars map[string]string) error {
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		tag, opts, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if !field.IsExported() || tag == "-" {
			continue
		}
		inner := prefix
		if !strings.Contains(opts, "inline") {
			inner += strings.ToUpper(strings.ReplaceAll(tag, "-", "_")) + "_"
		}
		if f.Kind() == reflect.Struct {
			if err := overlay(f, inner, vars); err != nil {
				return err
			}
			continue
		}
		key := strings.TrimSuffix(inner, "_")
		text, ok := vars[key]
		if !ok {
			continue
		}
		if err := yaml.Unmarshal([]byte(text), f.Addr().Interface()); err != nil {
			if f.Kind() != reflect.String {
				return fault.New(fault.Invalid, "FIELD_INVALID", "variable %s: %q is no %s", key, text, f.Type())
			}
		}
		if f.Kind() == reflect.String {
			f.SetString(text) // as it stands, not as YAML reads it
		}
	}
	return nil
}

// Secret is a string that prints as ***.
type Secret string

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// MarshalYAML hides the secret.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }
