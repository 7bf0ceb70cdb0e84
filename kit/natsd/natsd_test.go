package natsd_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

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
