package executor_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
)

func TestExecutor_EndsHostileJobsWithAReason(t *testing.T) {
	w := open(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(home, ".nullius-executor-test")
	if err := os.WriteFile(secret, []byte("planted"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(secret) })
	port := l.Addr().(*net.TCPAddr).Port
	for i, c := range []struct {
		name, code, message string
		want                executorv1.EndReason_Value
		change              func(*executorv1.Job)
	}{
		{"reading a planted secret", "print(open('" + secret + "').read())", "FileNotFoundError", executorv1.EndReason_FAILED, nil},
		{"reaching a loopback port", fmt.Sprintf("import socket; socket.create_connection(('127.0.0.1', %d))", port), "ConnectionRefusedError", executorv1.EndReason_FAILED, nil},
		{"writing outside its run folder", "open('evaluate.py', 'w')", "Read-only file system", executorv1.EndReason_FAILED, nil},
		{"eating memory", "x = b'x' * (2 << 30)\nimport time; time.sleep(9)", "memory limit", executorv1.EndReason_OOM, nil},
		{"forking without end", "import os, time\nwhile True:\n  if os.fork() == 0: time.sleep(60)", "BlockingIOError", executorv1.EndReason_FAILED, nil},
		{"sleeping past its limit", "import time; time.sleep(60)", "time limit", executorv1.EndReason_TIMEOUT, func(j *executorv1.Job) { j.Limits.Wall = durationpb.New(700 * time.Millisecond) }},
		{"filling the disk", "for i in range(64): open(f'run_1/{i}','wb').write(b'x' * (1 << 20))\nimport time; time.sleep(9)", "disk limit", executorv1.EndReason_DISK, func(j *executorv1.Job) { j.Limits.DiskBytes = 16 << 20 }},
		{"writing no results", "pass", "wrote no run_1/final_info.json", executorv1.EndReason_OUTPUT, nil},
		{"writing broken results", "open('run_1/final_info.json','w').write('{')", "line 1, column 2", executorv1.EndReason_OUTPUT, nil},
		{"linking its results to a secret", "import os; os.symlink('" + secret + "', 'run_1/final_info.json')", "refused", executorv1.EndReason_OUTPUT, nil},
		{"crashing", "import os; os.kill(os.getpid(), 11)", "signal 11", executorv1.EndReason_FAILED, nil},
		{"a module that is not there", good, "no_such_module", executorv1.EndReason_ENVIRONMENT, func(j *executorv1.Job) {
			j.Environment = &executorv1.Environment{Modules: []string{"no_such_module"}}
		}},
		{"a snapshot that is not there", good, "", executorv1.EndReason_REJECTED, func(j *executorv1.Job) { j.Snapshot = "sha256:" + strings.Repeat("0", 64) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := w.job(fmt.Sprintf("step-%d", i), c.code)
			if c.change != nil {
				c.change(j)
			}
			r := w.run(j)
			if r.GetEndReason() != c.want || !strings.Contains(r.GetMessage(), c.message) {
				t.Errorf("%s: %s; want %s: %s", r.GetEndReason(), r.GetMessage(), c.want, c.message)
			}
		})
	}
	t.Run("and the next good job runs", func(t *testing.T) {
		j := w.job("good", good)
		j.Env = map[string]string{"NULLIUS_SIZE": "x"}
		if r := w.run(j); r.GetEndReason() != executorv1.EndReason_SUCCEEDED {
			t.Errorf("%v", r)
		}
	})
}
