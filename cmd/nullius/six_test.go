package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sixProcesses runs the services and the gateway as processes of their own over TCP, beside a broker process.
func (w *world) sixProcesses(t *testing.T) {
	data := t.TempDir()
	broker := freePort(t)
	spawn(t, "broker", nil, filepath.Join(w.bin, "nullius"), "serve", "nats", "--data-dir", data, "--listen", broker).listens(broker)
	at := map[string]string{}
	for _, name := range []string{"ideation", "coder", "executor", "writer", "reviewer", "gateway"} {
		at[name] = freePort(t)
	}
	start := func(name string, env ...string) *child {
		prefix := "NULLIUS_" + strings.ToUpper(name) + "_"
		env = append(env, prefix+"NATS=nats://"+broker, prefix+"DATA_DIR="+data, prefix+"LISTEN="+at[name])
		return spawn(t, name, env, filepath.Join(w.bin, name))
	}
	var peers []string
	for _, name := range []string{"ideation", "coder", "executor", "writer", "reviewer"} {
		var env []string
		if name == "writer" {
			env = append(env, "NULLIUS_WRITER_PEERS_LITERATURE=dns:///"+at["ideation"])
		}
		c := start(name, env...)
		peers = append(peers, "NULLIUS_GATEWAY_PEERS_"+strings.ToUpper(name)+"=dns:///"+at[name])
		c.listens(at[name])
	}
	start("gateway", peers...).listens(at["gateway"])
	name := begin(t, at["gateway"], w.f, nil)
	finish(t, at["gateway"], name, 90*time.Second)
	outcomeOf(t, at["gateway"], name).same(t, w.want)
	w.notTwice(t, nil)
}
