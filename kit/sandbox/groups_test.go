package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestSweepGroups_leavesOtherNamespaces: a container that shares the cgroup tree has process ids of its own.
func TestSweepGroups_leavesOtherNamespaces(t *testing.T) {
	own, err := groupName()
	if err != nil {
		t.Fatal(err)
	}
	space, err := pidNamespace()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // stands for a cgroup tree: a group is a folder that rmdir removes
	for name, stays := range map[string]bool{
		own: true,
		fmt.Sprintf("nullius-%s-%d-1-a", space, 1<<30):  false,
		fmt.Sprintf("nullius-1%s-%d-1-a", space, 1<<30): true,
		"nullius": true, "nullius-x-y-z-u": true, "else": true,
	} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != stays {
				t.Errorf("%s: %v, should stay: %v", name, err, stays)
			}
		}()
	}
	sweepGroups(dir)
}
