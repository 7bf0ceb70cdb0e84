package gateway

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/journal"
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

// near asks the ideation service whether an idea says the same as one of the archive; it reads ideas in AI-Scientist's form.
func (s *Service) near(ctx context.Context, own *recordv1.Idea, archive []*recordv1.Idea) (name, why string, err error) {
	written, err := s.workers.ideation.WriteIdeas(ctx, &ideationv1.WriteIdeasRequest{Ideas: []*ideationv1.WrittenIdea{{Idea: own}}})
	if err != nil {
		return "", "", err
	}
	read, err := s.workers.ideation.ReadIdeas(ctx, &ideationv1.ReadIdeasRequest{Json: written.GetJson(), Archive: archive})
	if err != nil {
		return "", "", err
	}
	if len(read.GetIdeas()) != 1 {
		return "", "", errors.New("the idea was not read back")
	}
	return read.GetIdeas()[0].GetNear(), read.GetIdeas()[0].GetWhy(), nil
}
