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

	"nullius.dev/kit/app/process"
	"nullius.dev/kit/config"
	"nullius.dev/kit/sandbox"
	"nullius.dev/services/executor"
)

func load(t *testing.T, data []byte, name string) settings {
	t.Helper()
	c := settings{Common: process.DefaultCommon(), Config: executor.DefaultConfig(), Sandbox: sandbox.DefaultConfig()}
	if err := config.FromYAML(data, name, &c); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Validate(), c.Common.Validate()); err != nil {
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
