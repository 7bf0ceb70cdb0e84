package gateway

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/journal"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
)

// compareLimit bounds the comparison of an own idea, which takes milliseconds.
const compareLimit = 3 * time.Second

// compared warns of an own idea that says the same as one of its study or as a seed idea of the template (ideation.md, GenerateIdea). Whoever submits an idea may
// mean to run it all the same, so it is told and taken; also where nobody could compare.
func (s *Service) compared(ctx context.Context, study journal.Key, own *recordv1.Idea) []*recordv1.Warning {
	var archive []*recordv1.Idea
	var ids []string // of the archive's ideas; empty: a seed idea
	s.journal.View(study, func(m *journal.Machine) {
		if m.Study == nil {
			return
		}
		for _, i := range m.Study.Template.GetFacts().GetSeedIdeas() {
			archive, ids = append(archive, proto.CloneOf(i)), append(ids, "")
		}
		for _, mem := range m.Study.Members {
			archive, ids = append(archive, proto.CloneOf(mem.Record)), append(ids, mem.ID)
		}
	})
	if len(archive) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, compareLimit)
	defer cancel()
	near, why, err := s.near(ctx, own, archive)
	if err != nil {
		s.log.WarnContext(ctx, "compare an own idea", "study_id", study.Study, "error", err)
		return []*recordv1.Warning{{Code: "not-compared", Text: "the ideation service did not answer, so this idea was not compared with those of the study"}}
	}
	if near == "" {
		return nil
	}
	said := "the template's seed idea " + near
	for n, i := range archive {
		if i.GetName() == near && ids[n] != "" {
			said = ids[n] + " (" + near + ")"
			break
		}
	}
	return []*recordv1.Warning{{Code: "near-duplicate", Text: "this idea seems to repeat " + said + ": " + why + "; it runs all the same"}}
}

// comparedFile warns, by position, of the ideas of a file that say the same as a seed idea of the template or as one before them in the file, as compared does.
func (s *Service) comparedFile(ctx context.Context, seeds, own []*recordv1.Idea) []*gatewayv1.OwnFound {
	if len(own) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, compareLimit)
	defer cancel()
	out := make([]*gatewayv1.OwnFound, len(own))
	for i := range out {
		out[i] = &gatewayv1.OwnFound{}
	}
	read, err := s.readBack(ctx, own, seeds)
	if err != nil {
		s.log.WarnContext(ctx, "compare the ideas of a file", "error", err)
		for _, f := range out {
			f.Warnings = []*recordv1.Warning{{Code: "not-compared", Text: "the ideation service did not answer, so this idea was not compared with those of the file"}}
		}
		return out
	}
	for i, r := range read {
		if r.GetNear() == "" {
			continue
		}
		said := "the template's seed idea " + r.GetNear()
		for n, earlier := range own[:i] {
			if earlier.GetName() == r.GetNear() {
				said = fmt.Sprintf("idea-%d (%s)", n+1, r.GetNear())
				break
			}
		}
		out[i].Warnings = []*recordv1.Warning{{Code: "near-duplicate", Text: "this idea seems to repeat " + said + ": " + r.GetWhy() + "; it runs all the same"}}
	}
	return out
}

// ofIdeas are the warnings of a file's ideas, each with its idea's id, as who starts the study is told them.
func ofIdeas(found []*gatewayv1.OwnFound) (out []*recordv1.Warning) {
	for i, f := range found {
		for _, w := range f.GetWarnings() {
			out = append(out, &recordv1.Warning{Code: w.GetCode(), Text: fmt.Sprintf("idea-%d: %s", i+1, w.GetText())})
		}
	}
	return out
}

// near asks the ideation service whether an idea says the same as one of the archive; it reads ideas in AI-Scientist's form.
func (s *Service) near(ctx context.Context, own *recordv1.Idea, archive []*recordv1.Idea) (name, why string, err error) {
	read, err := s.readBack(ctx, []*recordv1.Idea{own}, archive)
	if err != nil {
		return "", "", err
	}
	return read[0].GetNear(), read[0].GetWhy(), nil
}

// readBack has the ideation service write ideas and read them beside an archive, which compares each with what stands before it.
func (s *Service) readBack(ctx context.Context, own, archive []*recordv1.Idea) ([]*ideationv1.ReadIdea, error) {
	var list []*ideationv1.WrittenIdea
	for _, i := range own {
		list = append(list, &ideationv1.WrittenIdea{Idea: i})
	}
	written, err := s.workers.ideation.WriteIdeas(ctx, &ideationv1.WriteIdeasRequest{Ideas: list})
	if err != nil {
		return nil, err
	}
	read, err := s.workers.ideation.ReadIdeas(ctx, &ideationv1.ReadIdeasRequest{Json: written.GetJson(), Archive: archive})
	if err != nil {
		return nil, err
	}
	if len(read.GetIdeas()) != len(own) {
		return nil, fmt.Errorf("%d of %d ideas were read back", len(read.GetIdeas()), len(own))
	}
	return read.GetIdeas(), nil
}
