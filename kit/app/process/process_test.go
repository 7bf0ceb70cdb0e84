package process_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/kittest"
	"nullius.dev/kit/natsd"
	"nullius.dev/kit/rpc"
)

type config struct {
	process.Common `yaml:",inline"`
	Listen         string `yaml:"listen"`
}

// Validate refuses what the tests need refused.
func (c config) Validate() error {
	if c.Listen == "" {
		return fault.New(fault.Invalid, "FIELD_INVALID", "listen is empty").WithNext("set listen: 127.0.0.1:7002")
	}
	return c.Common.Validate()
}

// beService makes this test binary the service under test when it is started as one.
const beService = "NULLIUS_TEST_BE_SERVICE"

func TestMain(m *testing.M) {
	if os.Getenv(beService) == "" {
		os.Exit(m.Run())
	}
	def := config{Common: process.DefaultCommon(), Listen: "127.0.0.1:7002"}
	process.Main("tester", def, func(c *config) *process.Common { return &c.Common }, func(h *app.Host, p process.Process, c config) error {
		return rpc.Serve(h, p.Net, c.Listen, func(grpc.ServiceRegistrar) {})
	})
}

// service is a run of the binary as a service; the variables override its defaults.
func service(ctx context.Context, environ []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(environ, beService+"=1", "HOME=/nonexistent")
	return cmd
}

func TestFlagsAnswerAndExit(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("listen: a:1\nlissten: b:2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		args    []string
		environ []string
		code    int
		want    []string
	}{
		{"help lists the flags", []string{"-h"}, nil, 0, []string{"-config", "-check-config", "-print-config", "-version"}},
		{"version", []string{"--version"}, nil, 0, []string{"tester "}},
		{"print shows the whole configuration", []string{"--print-config"}, []string{"NULLIUS_TESTER_LISTEN=127.0.0.1:9"}, 0, []string{"listen: 127.0.0.1:9", "nats: nats://127.0.0.1:4222"}},
		{"check is content", []string{"--check-config"}, nil, 0, []string{"configuration is good"}},
		{"check names the line", []string{"--check-config", "--config", bad}, nil, 2, []string{"line 2", "lissten", "listen"}},
		{"a refused value gives the next command", []string{"--check-config"}, []string{"NULLIUS_TESTER_LISTEN="}, 2, []string{"listen is empty", "next: set listen"}},
		{"a wrong level", nil, []string{"NULLIUS_TESTER_LOG_LEVEL=loud"}, 2, []string{"loud", "debug, info, warn, error"}},
		{"credentials that are missing", nil, []string{"NULLIUS_TESTER_NATS_CREDENTIALS=/nonexistent/a.creds", "NULLIUS_TESTER_DATA_DIR=" + t.TempDir()}, 2, []string{"/nonexistent/a.creds", "next: ", "nats_credentials"}},
		{"a wrong flag", []string{"--no-such"}, nil, 2, []string{"no-such"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := service(t.Context(), tt.environ, tt.args...)
			out, _ := cmd.CombinedOutput() // the code says how it ended
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, w := range tt.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("output lacks %q:\n%s", w, out)
				}
			}
		})
	}
}

func TestAServiceRunsAloneAndStopsOnASignal(t *testing.T) {
	broker, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Stop() })
	listen, debug := freeAddress(t), freeAddress(t)
	var log bytes.Buffer
	cmd := service(t.Context(), []string{
		"NULLIUS_TESTER_NATS=" + broker.URL(), "NULLIUS_TESTER_DATA_DIR=" + t.TempDir(), "NULLIUS_TESTER_LISTEN=" + listen, "NULLIUS_TESTER_DEBUG=" + debug,
	})
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kittest.Eventually(t, 20*time.Second, func() error { return get(t, "http://"+debug+"/readyz") })
	for _, path := range []string{"/healthz", "/debug/pprof/"} {
		if err := get(t, "http://"+debug+path); err != nil {
			t.Error(err)
		}
	}
	c, err := rpc.NewNetwork(rpc.Options{}).Dial("dns:///" + listen)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	kittest.Eventually(t, 10*time.Second, func() error {
		_, err := healthpb.NewHealthClient(c).Check(t.Context(), &healthpb.HealthCheckRequest{})
		return err
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log.String())
	}
	if !strings.Contains(log.String(), `"listen=`+listen) {
		t.Errorf("the log lacks the difference from the defaults:\n%s", log.String())
	}
}

func TestAPortInUseEndsTheServiceWithTheNextCommand(t *testing.T) {
	broker, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Stop() })
	l, err := rpc.NewNetwork(rpc.Options{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := service(t.Context(), []string{"NULLIUS_TESTER_NATS=" + broker.URL(), "NULLIUS_TESTER_DATA_DIR=" + t.TempDir(), "NULLIUS_TESTER_LISTEN=" + l.Addr().String()})
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(string(out), "another process listens on") || !strings.Contains(string(out), "next: ss -ltnp") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := rpc.NewNetwork(rpc.Options{}).Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func get(t *testing.T, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return nil
}
