package gateway_test

import (
	"testing"

	"nullius.dev/gateway"
	"nullius.dev/kit/config"
)

// TestConfig_load: every field has a key of its own, so that the gateway starts as a process.
func TestConfig_load(t *testing.T) {
	c := gateway.DefaultConfig()
	if err := config.Load("gateway", &c, "", []string{"NULLIUS_GATEWAY_INSECURE=true", "NULLIUS_GATEWAY_PEERS_CODER=dns:///127.0.0.1:9", "NULLIUS_GATEWAY_DATA_DIR=/srv/x"}); err != nil {
		t.Fatal(err)
	}
	if !c.Insecure || c.Peers.Coder != "dns:///127.0.0.1:9" || c.DataDir != "/srv/x" {
		t.Errorf("the environment was not read: %+v", c)
	}
}
