package natsd_test

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/kit/bus"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/natsd"
)

func TestASecondServerOnTheSameFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := natsd.Start(natsd.Config{Dir: dir, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	_, err = natsd.Start(natsd.Config{Dir: dir, MaxBytes: 1 << 30})
	if fault.ReasonOf(err) != "DATA_DIR_LOCKED" || !errors.Is(err, fault.Precondition) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second start: %v", err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	again, err := natsd.Start(natsd.Config{Dir: dir, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatalf("after an orderly stop: %v", err)
	}
	if err := again.Stop(); err != nil {
		t.Error(err)
	}
}

func TestWhatWasConfirmedIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		s, err := natsd.Start(natsd.Config{Dir: dir, MaxBytes: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.Connect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kv, err := c.KV(t.Context(), jetstream.KeyValueConfig{Bucket: "THINGS"})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if _, err := kv.Put(t.Context(), "key", []byte("value")); err != nil {
				t.Fatal(err)
			}
		} else if e, err := kv.Get(t.Context(), "key"); err != nil || string(e.Value()) != "value" {
			t.Errorf("after the restart: %v, %v", e, err)
		}
		c.Close()
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAQuotaThatTheDiskCannotHoldIsRefused(t *testing.T) {
	_, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxBytes: 1 << 60})
	if fault.ReasonOf(err) != "STORAGE_FULL" {
		t.Errorf("got %v", err)
	}
}

func TestTheLockNamesItsHolderAndTheNextCommand(t *testing.T) {
	dir := t.TempDir()
	lock, err := natsd.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = natsd.Lock(dir)
	if !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) || !strings.Contains(err.Error(), dir) || fault.NextOf(err) == "" {
		t.Errorf("got %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := natsd.Lock(dir)
	if err != nil {
		t.Fatalf("after it was freed: %v", err)
	}
	again.Close()
}

func TestOtherProcessesConnectOnlyWhenItListens(t *testing.T) {
	quiet, err := natsd.Start(natsd.Config{Dir: t.TempDir(), MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = quiet.Stop() })
	open, err := natsd.Start(natsd.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = open.Stop() })
	if quiet.URL() != "" {
		t.Errorf("the quiet one listens on %s", quiet.URL())
	}
	c, err := bus.Connect(t.Context(), open.URL(), bus.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = natsd.Start(natsd.Config{Dir: t.TempDir(), Listen: strings.TrimPrefix(open.URL(), "nats://"), MaxBytes: 1 << 30})
	if fault.ReasonOf(err) != "ADDRESS_IN_USE" || fault.NextOf(err) == "" {
		t.Errorf("the second on the same port: %v", err)
	}
}
