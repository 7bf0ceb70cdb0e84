package gateway

import (
	"fmt"
	"regexp"
	"slices"

	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// measuredView is a table of measurements, a column a run.
type measuredView struct {
	ID    string
	Heads []string
	Rows  []measuredRow
}

type measuredRow struct {
	Dataset, Metric string
	Cells           []measuredCell
}

// measuredCell is one measurement; a number in a paper leads to its ID.
type measuredCell struct{ ID, Text, Note string }

// notAnchor is what an address cannot hold after its "#" as it is.
var notAnchor = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// anchor names a measurement on its idea's page.
func anchor(run int32, dataset, metric string) string {
	return notAnchor.ReplaceAllString(fmt.Sprintf("m-%d-%s-%s", run, dataset, metric), "_")
}

func measured(id string, runs []*recordv1.Run) *measuredView {
	v := &measuredView{ID: id}
	at := map[string]int{}
	for _, r := range runs {
		if r.GetOutcome() != recordv1.Run_Outcome_SUCCEEDED {
			continue
		}
		v.Heads = append(v.Heads, fmt.Sprintf("run_%d", r.GetNumber()))
		for _, m := range r.GetMeasurements() {
			key := m.GetDataset() + "/" + m.GetMetric()
			i, ok := at[key]
			if !ok {
				i = len(v.Rows)
				at[key] = i
				v.Rows = append(v.Rows, measuredRow{Dataset: m.GetDataset(), Metric: m.GetMetric()})
			}
			v.fill(i, len(v.Heads)-1)
			if len(v.Rows[i].Cells) < len(v.Heads) { // a name that comes twice counts once
				v.Rows[i].Cells = append(v.Rows[i].Cells, measuredCell{anchor(r.GetNumber(), m.GetDataset(), m.GetMetric()), plusMinus(m), cellNote(m)})
			}
		}
	}
	for i := range v.Rows {
		v.fill(i, len(v.Heads))
	}
	return v
}

func (v *measuredView) fill(row, to int) {
	for len(v.Rows[row].Cells) < to {
		v.Rows[row].Cells = append(v.Rows[row].Cells, measuredCell{Text: "none"})
	}
}

func cellNote(m *recordv1.Measurement) string {
	note := "seeds unknown"
	if m.GetN() > 0 {
		note = plural(int(m.GetN()), "seed")
	}
	if m.GetImported() {
		note += ", imported"
	}
	return note
}

func firstRun(i *gatewayv1.Idea) *recordv1.Run {
	if len(i.GetRuns()) == 0 {
		return nil
	}
	return i.GetRuns()[0]
}

// runRow is a run with the steps that made it.
type runRow struct {
	Number                   int32
	Label, Plan, Why, Took   string
	State                    stateView
	Tries                    int32
	Edit, Job, Log, Code     string // addresses; empty: none
	EditStep, JobStep, Where string
}

var runStep = regexp.MustCompile(`/run-(\d+)/(implement|repair|smoke|execute)`)

// runRows lists runs with the step that changed the code last and the execution that counts.
func runRows(base string, i *gatewayv1.Idea, files []string) (out []runRow) {
	for _, r := range i.GetRuns() {
		row := runRow{Number: r.GetNumber(), Label: r.GetLabel(), Plan: r.GetPlan(), Tries: r.GetTries(), Took: took(r.GetWall().AsDuration()), State: runState(r)}
		if r.GetReason() != "" {
			row.Why = r.GetReason()
			if r.GetOutcome() == recordv1.Run_Outcome_SUCCEEDED {
				row.Why = "an earlier try: " + row.Why
			}
		}
		if name := fmt.Sprintf("run_%d.py", r.GetNumber()); slices.Contains(files, name) {
			row.Code = "/v1" + base + "/files/" + name
		}
		for _, s := range i.GetSteps() {
			m := runStep.FindStringSubmatch(s.GetStep())
			if m == nil || m[1] != fmt.Sprint(r.GetNumber()) || s.GetState() == "dropped" {
				continue
			}
			href := base + "?step=" + s.GetStep() + "#step"
			switch m[2] {
			case "implement", "repair":
				if s.GetDiffDigest() != "" {
					row.Edit, row.EditStep = href, s.GetStep()
				}
			case "execute":
				row.Job, row.JobStep, row.Where, row.Log = href, s.GetStep(), s.GetNode(), ""
				if s.GetStdoutDigest() != "" {
					row.Log = "/v1" + base + "/blobs/" + s.GetStdoutDigest()
				}
			}
		}
		out = append(out, row)
	}
	return out
}

func runState(r *recordv1.Run) stateView {
	switch r.GetOutcome() {
	case recordv1.Run_Outcome_SUCCEEDED:
		return stateView{"ok", "SUCCEEDED", ""}
	case recordv1.Run_Outcome_FAILED:
		return stateView{"failed", "FAILED", ""}
	case recordv1.Run_Outcome_SKIPPED:
		return stateView{"cancelled", "SKIPPED", ""}
	}
	return stateView{"pending", r.GetOutcome().String(), ""}
}
