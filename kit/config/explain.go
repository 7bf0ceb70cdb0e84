package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Value is one setting with where it came from, for `config view --show-origin`.
type Value struct {
	Key    string // "limits.max_bytes"
	Text   string // YAML in one line; secrets are ***
	Origin string // "default", "file PATH" or "variable NAME"
}

// Origins lists every setting of a loaded target with its origin. target holds the result of Load with the same name, file and environ.
func Origins(name string, target any, file string, environ []string) ([]Value, error) {
	var root yaml.Node
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(data, &root); err != nil {
			return nil, err
		}
	}
	vars := variables(environ)
	var out []Value
	walk(reflect.ValueOf(target), "", func(key string, v reflect.Value) {
		val := Value{Key: key, Text: text(v), Origin: "default"}
		if inFile(&root, strings.Split(key, ".")) {
			val.Origin = "file " + file
		}
		if k := variable(name, key); has(vars, k) {
			val.Origin = "variable " + k
		}
		out = append(out, val)
	})
	return out, nil
}

// Diff gives the settings that differ from the defaults, as "key=value" by key; a service logs it at start.
func Diff(defaults, current any) []string {
	was := map[string]string{}
	walk(reflect.ValueOf(defaults), "", func(key string, v reflect.Value) { was[key] = fmt.Sprint(v.Interface()) + text(v) })
	out := []string{}
	walk(reflect.ValueOf(current), "", func(key string, v reflect.Value) {
		if was[key] != fmt.Sprint(v.Interface())+text(v) {
			out = append(out, key+"="+text(v))
		}
	})
	slices.Sort(out)
	return out
}

// walk visits the leaves of a struct: what one variable or one key of a file sets.
func walk(v reflect.Value, prefix string, visit func(key string, v reflect.Value)) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	for i := range v.NumField() {
		tag, inline, ok := tagOf(v.Type().Field(i))
		if !ok {
			continue
		}
		key := prefix
		if !inline {
			key = strings.TrimPrefix(prefix+"."+tag, ".")
		}
		if v.Field(i).Kind() == reflect.Struct {
			walk(v.Field(i), key, visit)
			continue
		}
		visit(key, v.Field(i))
	}
}

// tagOf gives a field's yaml key; ok is false for one that a file does not set.
func tagOf(f reflect.StructField) (tag string, inline, ok bool) {
	tag, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if !f.IsExported() || tag == "-" {
		return "", false, false
	}
	if tag == "" {
		tag = strings.ToLower(f.Name) // as the yaml library does
	}
	return tag, slices.Contains(strings.Split(opts, ","), "inline"), true
}

// variable is the environment's name of a key: NULLIUS_CODER_LIMITS_MAX_BYTES.
func variable(name, key string) string {
	r := strings.NewReplacer(".", "_", "-", "_")
	return "NULLIUS_" + strings.ToUpper(r.Replace(name)+"_"+r.Replace(key))
}

func variables(environ []string) map[string]string {
	vars := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	return vars
}

func has(m map[string]string, k string) bool {
	_, ok := m[k]
	return ok
}

func inFile(n *yaml.Node, path []string) bool {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	if len(path) == 0 {
		return true
	}
	if n.Kind != yaml.MappingNode {
		return false
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == path[0] {
			return inFile(n.Content[i+1], path[1:])
		}
	}
	return false
}

// text shows a value in one line. fmt and yaml both ask a Secret for its mask.
func text(v reflect.Value) string {
	var n yaml.Node
	if err := n.Encode(v.Interface()); err != nil {
		return fmt.Sprint(v.Interface())
	}
	n.Style |= yaml.FlowStyle
	b, err := yaml.Marshal(&n)
	if err != nil {
		return fmt.Sprint(v.Interface())
	}
	return password.ReplaceAllString(strings.TrimSpace(string(b)), "$1:***@")
}

// password finds one in an address, as of a broker or a proxy.
var password = regexp.MustCompile(`(://[^\s/@:]*):[^\s/@]*@`)
