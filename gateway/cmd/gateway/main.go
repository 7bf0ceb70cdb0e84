// Command gateway runs the gateway alone, beside services in other processes.
package main

import (
	"github.com/nats-io/nats.go/jetstream"

	"nullius.dev/gateway"
	"nullius.dev/kit/app"
	"nullius.dev/kit/app/process"
	"nullius.dev/kit/llm/budget"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/proto/subject"
)

func main() {
	process.Main("gateway", gateway.DefaultConfig(), func(c *gateway.Config) *process.Common { return &c.Common }, attach)
}

func attach(h *app.Host, p process.Process, cfg gateway.Config) error {
	budgets, err := p.Bus.KV(h.Context(), jetstream.KeyValueConfig{Bucket: subject.BucketBudgets})
	if err != nil {
		return err
	}
	entries, err := p.Bus.KV(h.Context(), jetstream.KeyValueConfig{Bucket: subject.BucketLedger})
	if err != nil {
		return err
	}
	_, err = gateway.Attach(h.Context(), h, p.Net, cfg, gateway.Shared{
		Bus: p.Bus, Blobs: p.Blobs, Budgets: budget.New(budgets), Ledger: ledger.New(entries, p.Blobs, ledger.Config{}),
	})
	return err
}
