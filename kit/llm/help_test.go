package llm_test

import (
	"io"
	"log/slog"

	"nullius.dev/kit/llm"
	"nullius.dev/kit/llm/budget"
)

func amount(pico, tokens int64) budget.Amount { return budget.Amount{Pico: pico, Tokens: tokens} }

// withLog writes everything that a door logs; its handler serialises the writes.
func withLog(w io.Writer) func(*llm.Config, *llm.Deps) {
	return func(_ *llm.Config, d *llm.Deps) {
		d.Log = slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
}
