package llm_test

import (
	"errors"
	"strings"
	"testing"

	"nullius.dev/kit/kittest/llmfault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/llm/budget"
)

// A reply says when four fifths of an account are used, of money or of tokens, and says the same when it comes from the ledger.
func TestDoor_Chat_says_that_a_budget_is_nearly_used(t *testing.T) {
	s := llmfault.New(t, llmfault.Answer("ok"))
	for name, tc := range map[string]struct {
		limit, spent budget.Amount
		note         string
	}{
		"no limit":           {amount(0, 0), amount(5e12, 5000), ""},
		"79 % of the tokens": {amount(0, 10_000), amount(0, 7900), ""},
		"83 % of the tokens": {amount(0, 6000), amount(0, 5000), "budget: s-1 has used 5,000 tokens of 6,000"},
		"82 % of the money":  {amount(1e12, 0), amount(82e10, 0), "budget: s-1 has used $0.82 of $1"},
		"the nearer of both": {amount(1e12, 100_000), amount(82e10, 90_000), "budget: s-1 has used 90,000 tokens of 100,000"},
	} {
		t.Run(name, func(t *testing.T) {
			d := lab(t, s)
			earlier := budget.Claim{Accounts: []string{"s-1"}, ID: "earlier", Need: tc.spent}
			if err := errors.Join(d.Budgets().Reserve(t.Context(), earlier), d.Budgets().Settle(t.Context(), earlier.Accounts, earlier.ID, tc.spent, amount(0, 0)),
				d.Budgets().SetLimit(t.Context(), "s-1", tc.limit)); err != nil {
				t.Fatal(err)
			}
			for _, source := range []llm.Source{llm.FromProvider, llm.FromLedger} {
				rep, err := d.Chat(t.Context(), ask("Say."))
				if err != nil || rep.Source != source {
					t.Fatalf("from %s: %v", rep.Source, err)
				}
				if got := strings.Join(rep.Notes, "; "); got != tc.note {
					t.Errorf("from %s: notes are %q, want %q", source, got, tc.note)
				}
			}
		})
	}
}
