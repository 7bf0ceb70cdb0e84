package gateway

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/gateway/internal/result"
	"nullius.dev/kit/llm/ledger"
	"nullius.dev/kit/llm/recording"
	"nullius.dev/kit/telemetry"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
)

// resultInput gathers what an idea's result folder is made of.
func (s *Service) resultInput(ctx context.Context, k journal.Key) (result.Input, error) {
	in := result.Input{Blobs: s.d.Blobs, Study: k.Study, Reply: s.d.Ledger.Reply}
	idea, err := s.GetIdea(ctx, k)
	if err != nil {
		return in, err
	}
	in.Idea = idea
	s.journal.View(k, func(m *journal.Machine) {
		for _, name := range m.Core().Order {
			st := *m.Core().Steps[name]
			in.Steps = append(in.Steps, &st)
		}
		for _, e := range m.Events {
			in.Events, in.Story = append(in.Events, proto.CloneOf(e)), append(in.Story, publicEvent(k, e))
		}
	})
	if in.Calls, err = s.calls(ctx, k); err != nil {
		return in, err
	}
	in.Spans, err = s.traces.read(idea.GetTraceId())
	return in, err
}

// calls lists a machine's ledger entries in the order in which its steps began, and by call within one.
func (s *Service) calls(ctx context.Context, k journal.Key) ([]ledger.Entry, error) {
	calls, err := s.d.Ledger.List(ctx, k.Study, k.Idea)
	if err != nil {
		return nil, err
	}
	order := map[string]int{}
	s.journal.View(k, func(m *journal.Machine) {
		for i, name := range m.Core().Order {
			order[name] = i
		}
	})
	slices.SortStableFunc(calls, func(a, b ledger.Entry) int {
		if d := order[a.Origin.Step] - order[b.Origin.Step]; d != 0 {
			return d
		}
		return strings.Compare(a.Origin.Call, b.Origin.Call)
	})
	return calls, nil
}

// Trace gives an idea's spans, or with idea "_" its study's.
func (s *Service) Trace(k journal.Key) []telemetry.Span {
	var id string
	s.journal.View(k, func(m *journal.Machine) { id = pipeline.TraceID(m.Core().Trace) })
	spans, err := s.traces.read(id)
	if err != nil {
		s.log.Warn("read a trace", "error", err)
	}
	return spans
}

// template gives the name of a study's template.
func (s *Service) template(study string) string {
	var name string
	s.journal.View(journal.Key{Study: study, Idea: "_"}, func(m *journal.Machine) { name = m.Core().Template.GetName() })
	return name
}

// Recording exports a study as a recording, with a warning for each reply that types a measured number.
func (s *Service) Recording(ctx context.Context, k journal.Key) ([]result.File, []*recordv1.Warning, error) {
	var ids []string
	measured := map[string]bool{}
	if !s.journal.View(k, func(m *journal.Machine) {
		for _, mem := range m.Study.Members {
			ids = append(ids, mem.ID)
		}
	}) {
		return nil, nil, unknownMachine(k)
	}
	var calls []ledger.Entry
	for _, id := range append([]string{k.Idea}, ids...) {
		own := journal.Key{Study: k.Study, Idea: id}
		list, err := s.calls(ctx, own)
		if err != nil {
			return nil, nil, err
		}
		calls = append(calls, list...)
		s.journal.View(own, func(m *journal.Machine) { typedForms(m, measured) })
	}
	files, err := recording.Export(ctx, s.d.Blobs, calls, recording.Options{Template: s.template(k.Study)})
	if err != nil {
		return nil, nil, err
	}
	var out []result.File
	var warnings []*recordv1.Warning
	for _, path := range slices.Sorted(maps.Keys(files)) {
		out = append(out, result.File{Path: path, Data: files[path]})
		if typed := recording.Typed(files[path], measured); path != "index.jsonl" && len(typed) > 0 {
			warnings = append(warnings, &recordv1.Warning{Code: "typed-measurement", Text: path + " types measured numbers: " + strings.Join(typed, ", ")})
		}
	}
	return out, warnings, nil
}

// typedForms collects how a machine's measurements look when typed with three digits or more.
func typedForms(m *journal.Machine, into map[string]bool) {
	for _, st := range m.Core().Steps {
		for _, v := range st.Ended.GetJob().GetMeasurements() {
			for digits := 3; digits <= 6; digits++ {
				into[strconv.FormatFloat(v.GetValue(), 'g', digits, 64)] = true
			}
		}
	}
}

// ReviewText gives a review's fields under AI-Scientist's names, as review.txt holds them.
func ReviewText(r *reviewerv1.Review) []byte { return result.ReviewText(r) }
