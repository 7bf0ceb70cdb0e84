package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"nullius.dev/kit/config"
	"nullius.dev/kit/fault"
)

func load(t *testing.T, data []byte, name string) settings {
	t.Helper()
	c := defaultSettings()
	if err := config.FromYAML(data, name, &c); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDeploy_ConfigurationLoads(t *testing.T) {
	file := filepath.FromSlash("../../../../deploy/config/executor.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if c := load(t, data, file); c.State == "" || c.Environments.Mode != "build" {
		t.Errorf("%+v", c)
	}
}

func TestDeploy_ManifestsHoldTogether(t *testing.T) {
	file := filepath.FromSlash("../../../../deploy/kubernetes/executor.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]map[string]any{}
	for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc map[string]any
		err := d.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds[doc["kind"].(string)] = doc
	}
	at := func(v any, path ...string) any {
		for _, p := range path {
			m, ok := v.(map[string]any)
			if !ok {
				t.Fatalf("no %s", strings.Join(path, "."))
			}
			v = m[p]
		}
		return v
	}
	c := load(t, []byte(at(kinds["ConfigMap"], "data", "executor.yaml").(string)), "executor.yaml of the ConfigMap")
	wait := at(kinds["Deployment"], "spec", "template", "spec", "terminationGracePeriodSeconds").(int)
	if need := c.DrainTimeout + c.Grace; float64(wait) < need.Seconds()+30 {
		t.Errorf("the pod gets %d s to stop, the executor needs %v", wait, need)
	}
	if n := at(kinds["ScaledObject"], "spec", "minReplicaCount").(int); n < 1 {
		t.Errorf("%d replicas may be left", n)
	}
	if at(kinds["ScaledObject"], "spec", "scaleTargetRef", "name") != at(kinds["Deployment"], "metadata", "name") {
		t.Error("KEDA scales something else")
	}
}

func TestSettings_RefuseLevelsThatAreNotToBeHad(t *testing.T) {
	for text, says := range map[string]string{
		"sandbox: {isolation: {level: none}}":                    "sandbox.isolation.level: without a wall no queued job may run",
		"sandbox: {isolation: {level: container}}":               "sandbox.isolation.level: this version does not rely on the wall of a container",
		"sandbox: {isolation: {min: none}}":                      "sandbox.isolation.min: without a wall",
		"sandbox: {isolation: {min: loose}}":                     "sandbox.isolation.min: \"loose\" is neither strict nor landlock",
		"log_level: loud":                                        "log_level",
		"on_bus_lost: wait":                                      "on_bus_lost",
		"sandbox: {isolation: {level: landlock, min: landlock}}": "",
	} {
		c := defaultSettings()
		if err := config.FromYAML([]byte(text), "test", &c); err != nil {
			t.Fatal(err)
		}
		err := c.Validate()
		if (says == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), says) || !errors.Is(err, fault.Invalid)) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if c := defaultSettings(); !c.Sandbox.RequireHardMemory {
		t.Error("a node whose memory only a watchdog limits takes jobs unasked")
	}
}
