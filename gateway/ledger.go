package gateway

import (
	"context"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/llm/ledger"
)

// Ledger is the record of paid answers, which the gateway only reads.
type Ledger interface {
	List(ctx context.Context, study, idea string) ([]ledger.Entry, error)
	Reply(ctx context.Context, e ledger.Entry) ([]byte, error)
}

// progressOf counts a machine's answers so far: a crash that brought none counts towards quarantine.
func progressOf(ctx context.Context, l Ledger, k journal.Key) (int64, error) {
	entries, err := l.List(ctx, k.Study, k.Idea)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for _, e := range entries {
		if e.State == ledger.Done {
			n++
		}
	}
	return n, nil
}
