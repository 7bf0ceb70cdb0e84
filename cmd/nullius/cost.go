package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

func (c *cli) costCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cost NAME", Short: "What a study or idea spent, by stage, model and kind of token", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			return c.with(ctx, func(cl *client) error {
				r, err := cl.find(ctx, args[0])
				if err != nil {
					return err
				}
				if r.idea != "" {
					return c.ideaCost(ctx, cl, r)
				}
				return c.studyCost(ctx, cl, r)
			})
		},
	}
}

// costRow is a line of an idea's cost.json.
type costRow struct {
	Stage        string  `json:"stage"`
	Model        string  `json:"model"`
	Calls        int     `json:"calls"`
	Input        int64   `json:"input_tokens"`
	Cached       int64   `json:"cached_tokens"`
	CacheWrite   int64   `json:"cache_write_tokens"`
	Output       int64   `json:"output_tokens"`
	Reasoning    int64   `json:"reasoning_tokens"`
	Pico         int64   `json:"pico_dollars"`
	Dollars      float64 `json:"dollars"`
	WouldCost    float64 `json:"would_have_cost_dollars,omitempty"`
	Unpriced     bool    `json:"unpriced,omitempty"`
	Estimated    bool    `json:"estimated,omitempty"`
	PossiblyPaid int     `json:"possibly_paid_calls,omitempty"`
}

func (a costRow) plus(b costRow) costRow {
	a.Calls, a.Input, a.Cached, a.CacheWrite, a.Output = a.Calls+b.Calls, a.Input+b.Input, a.Cached+b.Cached, a.CacheWrite+b.CacheWrite, a.Output+b.Output
	a.Reasoning, a.Pico, a.Dollars, a.WouldCost = a.Reasoning+b.Reasoning, a.Pico+b.Pico, a.Dollars+b.Dollars, a.WouldCost+b.WouldCost
	a.Unpriced, a.Estimated, a.PossiblyPaid = a.Unpriced || b.Unpriced, a.Estimated || b.Estimated, a.PossiblyPaid+b.PossiblyPaid
	return a
}

// costs reads an idea's lines; idea "_" has the study's own steps.
func (cl *client) costs(ctx context.Context, study, idea string) ([]costRow, error) {
	var buf bytes.Buffer
	if err := cl.read(ctx, "studies/"+study+"/ideas/"+idea+"/files/cost.json", &buf); err != nil {
		return nil, err
	}
	var rows []costRow
	if err := json.Unmarshal(buf.Bytes(), &rows); err != nil {
		return nil, fault.Wrap(err, fault.Internal, "", "the costs of %s/%s cannot be read", study, idea)
	}
	return rows, nil
}

func (c *cli) ideaCost(ctx context.Context, cl *client, r ref) error {
	rows, err := cl.costs(ctx, r.study, r.idea)
	if err != nil {
		return err
	}
	got, err := cl.GetIdea(ctx, &gatewayv1.GetIdeaRequest{Name: r.name()})
	if err != nil {
		return err
	}
	return c.printCosts(r.String(), rows, nil, got.GetIdea().GetAccount())
}

func (c *cli) studyCost(ctx context.Context, cl *client, r ref) error {
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: r.name()})
	if err != nil {
		return err
	}
	s := got.GetStudy()
	own, err := cl.costs(ctx, r.study, "_")
	if err != nil {
		return err
	}
	all := slices.Clone(own)
	ideas := []costRow{sum("the study's own steps", own)}
	for _, i := range s.GetIdeas() {
		id := i.GetName()[strings.LastIndex(i.GetName(), "/")+1:]
		rows, err := cl.costs(ctx, r.study, id)
		if err != nil && fault.KindOf(err) != fault.NotFound { // one that has not begun has no files
			return err
		}
		all = append(all, rows...)
		ideas = append(ideas, sum(id, rows))
	}
	return c.printCosts(r.String(), merge(all), ideas, s.GetAccount())
}

// sum adds rows up under a name.
func sum(name string, rows []costRow) costRow {
	out := costRow{}
	for _, r := range rows {
		out = out.plus(r)
	}
	out.Stage, out.Model = name, ""
	return out
}

// merge adds rows of one stage and model up, in the order in which the stages come first.
func merge(rows []costRow) []costRow {
	var out []costRow
	for _, r := range rows {
		i := slices.IndexFunc(out, func(o costRow) bool { return o.Stage == r.Stage && o.Model == r.Model })
		if i < 0 {
			out = append(out, r)
			continue
		}
		out[i] = out[i].plus(r)
	}
	return out
}

func (c *cli) printCosts(name string, rows, ideas []costRow, account *gatewayv1.Account) error {
	total := sum("all", rows)
	if c.output != "table" {
		acc, err := protojson.Marshal(account)
		if err != nil {
			return err
		}
		enc := json.NewEncoder(c.out)
		if c.output == "json" {
			enc.SetIndent("", "  ")
		}
		return enc.Encode(map[string]any{"name": name, "lines": rows, "ideas": ideas, "total": total, "account": json.RawMessage(acc)})
	}
	w := tabwriter.NewWriter(c.out, 0, 4, 2, ' ', 0)
	head := "\tMODEL\tCALLS\tINPUT\tCACHE READ\tCACHE WRITE\tOUTPUT\tREASONING\tCOST"
	fmt.Fprintln(w, "STAGE"+head)
	for _, r := range rows {
		costLine(w, r)
	}
	if len(ideas) > 1 {
		fmt.Fprintln(w, "\t\t\t\t\t\t\t\t\nIDEA"+head)
		slices.SortStableFunc(ideas[1:], func(a, b costRow) int { return cmp.Compare(a.Stage, b.Stage) })
		for _, r := range ideas {
			costLine(w, r)
		}
	}
	costLine(w, total)
	if err := w.Flush(); err != nil {
		return err
	}
	if l := account.GetLimitPicoDollars(); l > 0 {
		fmt.Fprintf(c.out, "budget: %s of %s spent\n", dollars(account.GetSpentPicoDollars()+account.GetPossiblyPicoDollars()), dollars(l))
	}
	if l := account.GetLimitTokens(); l > 0 {
		fmt.Fprintf(c.out, "budget: %d of %d tokens spent\n", account.GetSpentTokens(), l)
	}
	if p := account.GetPossiblyPicoDollars(); p > 0 {
		fmt.Fprintf(c.out, "possibly paid: %s, for calls whose outcome nobody knows\n", dollars(p))
	}
	return nil
}

func costLine(w *tabwriter.Writer, r costRow) {
	var notes []string
	if r.WouldCost > 0 {
		notes = append(notes, fmt.Sprintf("recorded; would have cost $%.4f", r.WouldCost))
	}
	if r.Unpriced {
		notes = append(notes, "some unpriced")
	}
	if r.Estimated {
		notes = append(notes, "estimated")
	}
	if r.PossiblyPaid > 0 {
		notes = append(notes, fmt.Sprintf("%d tries possibly paid", r.PossiblyPaid))
	}
	note := ""
	if len(notes) > 0 {
		note = " (" + strings.Join(notes, "; ") + ")"
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s%s\n", r.Stage, clean(r.Model), r.Calls, r.Input, r.Cached, r.CacheWrite, r.Output, r.Reasoning, dollars(r.Pico), note)
}
