package bus

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"nullius.dev/kit/fault"
)

func TestConnect_ProvesItselfByACredentialsFile(t *testing.T) {
	dir := t.TempDir()
	operator, account := newKeys(t, nkeys.CreateOperator), newKeys(t, nkeys.CreateAccount)
	address := guarded(t, operator, account)
	good := credentials(t, filepath.Join(dir, "good.creds"), account)

	c, err := Connect(t.Context(), address, Options{Credentials: good})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()

	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, tt := range []struct {
		name, file, reason string
		kind               fault.Kind
		says               string
	}{
		{"none", "", "BUS_REFUSED", fault.Unauthenticated, "refuses"},
		{"of another account", credentials(t, filepath.Join(dir, "foreign.creds"), newKeys(t, nkeys.CreateAccount)), "BUS_REFUSED", fault.Unauthenticated, "refuses"},
		{"missing", filepath.Join(dir, "absent.creds"), "FIELD_INVALID", fault.Invalid, "absent.creds cannot be used: no such file"},
		{"a folder", dir, "FIELD_INVALID", fault.Invalid, "is a directory"},
		{"no credentials", write("note.txt", "canary-secret\n"), "FIELD_INVALID", fault.Invalid, "note.txt cannot be used"},
		{"empty", write("empty.creds", ""), "FIELD_INVALID", fault.Invalid, "empty.creds cannot be used"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Connect(t.Context(), address, Options{Credentials: tt.file, Timeout: time.Minute})
			if fault.ReasonOf(err) != tt.reason || !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "canary-secret") {
				t.Errorf("got %v", err)
			}
			if next := fault.NextOf(err); !strings.Contains(next, "nats_credentials") {
				t.Errorf("the next step is %q", next)
			}
		})
	}
}

func newKeys(t *testing.T, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	k, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t *testing.T, k nkeys.KeyPair) string {
	t.Helper()
	p, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// guarded starts a broker that trusts an operator, who trusts an account.
func guarded(t *testing.T, operator, account nkeys.KeyPair) (address string) {
	t.Helper()
	system := newKeys(t, nkeys.CreateAccount)
	accounts := &server.MemAccResolver{}
	for _, k := range []nkeys.KeyPair{system, account} {
		claims := jwt.NewAccountClaims(public(t, k))
		if k == account {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{DiskStorage: 1 << 20, MemoryStorage: 1 << 20, Streams: -1, Consumer: -1}
		}
		token, err := claims.Encode(operator)
		if err == nil {
			err = accounts.Store(public(t, k), token)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		TrustedKeys: []string{public(t, operator)}, AccountResolver: accounts, SystemAccount: public(t, system),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Shutdown)
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s.ClientURL()
}

// credentials writes a file as nsc does.
func credentials(t *testing.T, file string, account nkeys.KeyPair) string {
	t.Helper()
	user := newKeys(t, nkeys.CreateUser)
	token, err := jwt.NewUserClaims(public(t, user)).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := user.Seed()
	if err != nil {
		t.Fatal(err)
	}
	data, err := jwt.FormatUserConfig(token, seed)
	if err == nil {
		err = os.WriteFile(file, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}
