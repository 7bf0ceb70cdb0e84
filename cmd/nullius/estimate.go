package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"nullius.dev/gateway"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/llm"
	"nullius.dev/kit/rpc"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// effort is what a stage of one idea took in the shipped recordings: calls, and tokens of prompts and replies. The low end is the
// recording of bandit_lite; the high end is twice that of double_descent, for a model that needs second tries.
type effort struct {
	stage                    string
	role                     func(*gatewayv1.StudySettings) string
	callsLow, callsHigh      int64
	inputLow, inputHigh      int64
	outputLow, outputHigh    int64
	runs, reviews            bool // grows with the runs of an idea, with the reviews
	needsImprovement, always bool // only with --improvement; also for ideas that come from a file
}

func ideasModel(s *gatewayv1.StudySettings) string {
	return first(s.GetIdeasModel(), s.GetModel())
}

func coderModel(s *gatewayv1.StudySettings) string {
	return first(s.GetCoderModel(), s.GetModel())
}

func figuresModel(s *gatewayv1.StudySettings) string {
	return first(s.GetFiguresModel(), coderModel(s))
}

func writerModel(s *gatewayv1.StudySettings) string {
	return first(s.GetWriterModel(), s.GetModel())
}

// reviewModel is the first of the reviewers' models: they take turns, and one stands for all here.
func reviewModel(s *gatewayv1.StudySettings) string {
	return first(append(slices.Clone(s.GetReviewModels()), s.GetModel())...)
}

func first(names ...string) string {
	for _, n := range names {
		if n != "" {
			return n
		}
	}
	return ""
}

var efforts = []effort{
	{stage: "ideation", role: ideasModel, callsLow: 2, callsHigh: 8, inputLow: 6600, inputHigh: 25000, outputLow: 310, outputHigh: 2400},
	{stage: "novelty", role: ideasModel, callsLow: 2, callsHigh: 20, inputLow: 12000, inputHigh: 100000, outputLow: 130, outputHigh: 4000, always: true},
	{stage: "experiments", role: coderModel, callsLow: 6, callsHigh: 24, inputLow: 19000, inputHigh: 150000, outputLow: 410, outputHigh: 12000, runs: true, always: true},
	{stage: "figures", role: figuresModel, callsLow: 2, callsHigh: 8, inputLow: 6200, inputHigh: 50000, outputLow: 110, outputHigh: 3000, always: true},
	{stage: "writing", role: writerModel, callsLow: 17, callsHigh: 40, inputLow: 56000, inputHigh: 220000, outputLow: 2700, outputHigh: 16000, always: true},
	{stage: "review", role: reviewModel, callsLow: 7, callsHigh: 30, inputLow: 25000, inputHigh: 180000, outputLow: 2000, outputHigh: 12000, reviews: true, always: true},
	{stage: "improvement", role: writerModel, callsLow: 11, callsHigh: 24, inputLow: 37000, inputHigh: 150000, outputLow: 2200, outputHigh: 6000, needsImprovement: true, always: true},
}

// estimateRow is what a stage may take, of all ideas together. Costs are pico-dollars; -1: unknown.
type estimateRow struct {
	Stage      string `json:"stage"`
	Model      string `json:"model"`
	Gate       bool   `json:"gate,omitempty"`
	CallsLow   int64  `json:"calls_low"`
	CallsHigh  int64  `json:"calls_high"`
	TokensLow  int64  `json:"tokens_low"`
	TokensHigh int64  `json:"tokens_high"`
	CostLow    int64  `json:"pico_dollars_low"`
	CostHigh   int64  `json:"pico_dollars_high"`
}

// estimate says what a study would do and may cost.
func estimate(d *llm.Door, s *gatewayv1.StudySettings, own int) ([]estimateRow, error) {
	ideas := int64(s.GetIdeas())
	if ideas == 0 && own == 0 {
		ideas = 1
	}
	all := ideas + int64(own)
	var rows []estimateRow
	for _, e := range efforts {
		n := all
		if !e.always {
			n = ideas
		}
		if n > 0 && !slices.Contains(s.GetSkip(), e.stage) && (!e.needsImprovement || s.GetImprovement()) {
			r, err := e.row(d, s, n)
			if err != nil {
				return nil, err
			}
			rows = append(rows, r)
		}
		if e.stage == s.GetUntil() {
			break
		}
	}
	return rows, nil
}

func (e effort) row(d *llm.Door, s *gatewayv1.StudySettings, ideas int64) (estimateRow, error) {
	name := e.role(s)
	m, err := d.Model(name)
	if err != nil {
		return estimateRow{}, err
	}
	// more runs and reviews than the five of the recordings take more, fewer take less
	scale := func(v int64) int64 {
		v *= ideas
		if runs := int64(s.GetMaxRuns()); e.runs && runs > 0 {
			v = (v*runs + 4) / 5
		}
		if reviews := int64(s.GetReviews()); e.reviews && reviews > 0 {
			v = (v*reviews + 4) / 5
		}
		return v
	}
	r := estimateRow{Stage: e.stage, Model: m.Name, Gate: slices.Contains(s.GetGates(), e.stage), CallsLow: scale(e.callsLow), CallsHigh: scale(e.callsHigh)}
	low := llm.Usage{Input: scale(e.inputLow), Output: scale(e.outputLow)}
	high := llm.Usage{Input: scale(e.inputHigh), Output: scale(e.outputHigh)}
	if m.Reasoning > 0 { // what a model thinks is paid for as output: from an eighth of its allowance to half of it
		low.Output += r.CallsLow * m.Reasoning / 8
		high.Output += r.CallsHigh * m.Reasoning / 2
	}
	r.TokensLow, r.TokensHigh = low.Total(), high.Total()
	now := time.Now()
	costLow, _, ok := m.Cost(low, now)
	costHigh, _, _ := m.Cost(high, now)
	if !ok {
		costLow, costHigh = -1, -1
	}
	r.CostLow, r.CostHigh = costLow, costHigh
	return r, nil
}

// dryRun makes every check that needs no server and tells what a study would do; it starts nothing and pays for nothing.
func (c *cli) dryRun(ctx context.Context, template string, s *gatewayv1.StudySettings, own int) error {
	checks := c.templateChecks(ctx, template)
	bad := false
	var rows []estimateRow
	var keyless error // the estimate needs no key, the study does
	err := c.withDoor(ctx, func(d *llm.Door) error {
		check := checkModel(d)
		seen := map[string]bool{}
		for _, e := range efforts {
			name := e.role(s)
			if seen[name] {
				continue
			}
			seen[name] = true
			err := check(ctx, name, s.GetBudgetPicoDollars() > 0 && !s.GetAllowUnpriced())
			switch {
			case fault.ReasonOf(err) == "KEY_MISSING":
				keyless = cmp.Or(keyless, err)
			case err != nil:
				return err
			}
		}
		err := gateway.CheckReviewer(ctx, rpc.NewNetwork(rpc.Options{}), s)
		if err == nil {
			rows, err = estimate(d, s, own)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, k := range checks {
		bad = bad || k.State == "error"
		if k.State != "ok" {
			fmt.Fprintf(c.err, "%s: %s\n", k.State, k.Text)
		}
	}
	total := estimateRow{Stage: "all"}
	for _, r := range rows {
		total.CallsLow, total.CallsHigh = total.CallsLow+r.CallsLow, total.CallsHigh+r.CallsHigh
		total.TokensLow, total.TokensHigh = total.TokensLow+r.TokensLow, total.TokensHigh+r.TokensHigh
		if r.CostLow < 0 || total.CostLow < 0 {
			total.CostLow, total.CostHigh = -1, -1
			continue
		}
		total.CostLow, total.CostHigh = total.CostLow+r.CostLow, total.CostHigh+r.CostHigh
	}
	if err := c.printEstimate(rows, total, s); err != nil {
		return err
	}
	if keyless != nil {
		return keyless
	}
	if bad {
		return exit(exitPreflight)
	}
	return nil
}

func (c *cli) printEstimate(rows []estimateRow, total estimateRow, s *gatewayv1.StudySettings) error {
	if c.output != "table" {
		enc := json.NewEncoder(c.out)
		if c.output == "json" {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(map[string]any{"stages": rows, "total": total, "cap_pico_dollars": s.GetBudgetPicoDollars(), "cap_tokens": s.GetBudgetTokens()})
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "STAGE\tMODEL\tCALLS\tTOKENS\tCOST\t")
	for _, r := range append(rows, total) {
		note := ""
		if r.Gate {
			note = "waits for approval"
		}
		fmt.Fprintf(w, "%s\t%s\t%d to %d\t%d to %d\t%s\t%s\n", r.Stage, r.Model, r.CallsLow, r.CallsHigh, r.TokensLow, r.TokensHigh, costRange(r), note)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	limits := []string{}
	if l := s.GetBudgetPicoDollars(); l > 0 {
		limits = append(limits, dollars(l))
	}
	if l := s.GetBudgetTokens(); l > 0 {
		limits = append(limits, fmt.Sprintf("%d tokens", l))
	}
	limit := "none; --budget sets one"
	if len(limits) > 0 {
		limit = strings.Join(limits, " and ") + ": the study waits before it would go over"
	}
	fmt.Fprintf(c.out, "cap: %s\nThe range comes from the shipped recordings and the price table; nothing was started, nothing was paid for.\n", limit)
	return nil
}

func costRange(r estimateRow) string {
	switch {
	case r.CostLow < 0:
		return "unknown"
	case r.CostHigh == 0:
		return "free"
	}
	return dollars(r.CostLow) + " to " + dollars(r.CostHigh)
}
