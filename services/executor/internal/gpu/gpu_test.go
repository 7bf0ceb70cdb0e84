package gpu_test

import (
	"strings"
	"testing"

	"nullius.dev/services/executor/internal/gpu"
)

func TestSystem_SaysWhyThereIsNone(t *testing.T) {
	devices, note := gpu.System().Devices(t.Context())
	if len(devices) == 0 && !strings.HasPrefix(note, "no GPU: ") {
		t.Errorf("no devices, note %q", note)
	}
	for _, d := range devices {
		if d.UUID == "" || d.MemoryBytes == 0 || len(d.Nodes()) != 4 {
			t.Errorf("%+v", d)
		}
	}
}
