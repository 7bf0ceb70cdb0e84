package gateway

import (
	"context"
	"errors"
	"fmt"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm/budget"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// claim appends Claimed with the next epoch; zero means that there is nothing to drive.
func (d *driver) claim(ctx context.Context, k journal.Key) (int64, error) {
	if err := d.journal.Sync(ctx); err != nil {
		return 0, err
	}
	for range 10 {
		var last int64
		c := &gatewayv1.Claimed{Owner: d.owner}
		d.journal.View(k, func(m *journal.Machine) {
			if m.Damaged == nil && d.canRun(m) {
				core := m.Core()
				c.Epoch, last = core.Epoch+1, core.N
				if s := core.Steps[core.Open]; s != nil {
					d.before.tell(c, core.Owner, s.StartedAt)
				}
			}
		})
		if c.GetEpoch() == 0 {
			return 0, nil
		}
		var err error
		if c.Progress, err = progressOf(ctx, d.ledger, k); err != nil {
			return 0, err
		}
		err = d.append(ctx, k, last, &gatewayv1.JournalEvent{Id: fmt.Sprintf("claim/%d", c.GetEpoch()), Event: &gatewayv1.JournalEvent_Claimed{Claimed: c}})
		if err == nil {
			if err := d.setBudget(ctx, k); err != nil { // a dead owner may not have come to it
				d.log.WarnContext(ctx, "set budget", "study_id", k.Study, "idea_id", k.Idea, "error", err)
			}
			return c.GetEpoch(), nil
		}
		if !errors.Is(err, fault.Conflict) {
			return 0, err
		}
	}
	return 0, fault.New(fault.Conflict, "CONFLICT", "others keep writing to the journal of %s", k)
}

// setBudget writes the account's limit from the journal, so that it holds whatever was lost.
func (d *driver) setBudget(ctx context.Context, k journal.Key) error {
	var pico, tokens int64
	allow := false
	d.journal.View(k, func(m *journal.Machine) {
		c := m.Core()
		allow = c.Settings.GetAllowUnpriced()
		if k.IsStudy() {
			pico, tokens = c.Settings.GetBudgetPicoDollars(), c.Settings.GetBudgetTokens()
		}
		if pico > 0 || !k.IsStudy() {
			pico += c.RaisedPD
		}
		if tokens > 0 || !k.IsStudy() {
			tokens += c.RaisedTok
		}
	})
	if pico == 0 && tokens == 0 {
		return nil
	}
	if allow {
		if err := d.budgets.SetAllowUnpriced(ctx, account(k), true); err != nil {
			return err
		}
	}
	return d.budgets.SetLimit(ctx, account(k), budget.Amount{Pico: pico, Tokens: tokens})
}

func account(k journal.Key) string {
	if k.IsStudy() {
		return k.Study
	}
	return k.Study + "." + k.Idea
}
