package bus

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"nullius.dev/kit/fault"
)

func TestConnect_TellsARefusedPasswordFromAServerThatIsAway(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), Username: "u", Password: "p", NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Shutdown()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	host := strings.TrimPrefix(s.ClientURL(), "nats://")
	host = host[strings.LastIndexByte(host, '@')+1:]
	began := time.Now()
	for _, address := range []string{"nats://" + host, "nats://u:canary-secret@" + host} {
		_, err := Connect(t.Context(), address, Options{Timeout: time.Minute})
		if fault.ReasonOf(err) != "BUS_REFUSED" || !errors.Is(err, fault.Unauthenticated) || strings.Contains(err.Error(), "canary-secret") {
			t.Errorf("%v", err)
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it asked again for %v", took)
	}
	c, err := Connect(t.Context(), "nats://u:p@"+host, Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := Connect(t.Context(), "nats://u:canary-secret@127.0.0.1:1", Options{Timeout: 300 * time.Millisecond}); fault.ReasonOf(err) != "BUS_UNAVAILABLE" || strings.Contains(err.Error(), "canary-secret") {
		t.Errorf("%v", err)
	}
}
