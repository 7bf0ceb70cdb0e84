package ideation

import (
	"context"
	"encoding/json"

	"nullius.dev/kit/fault"
	ideationv1 "nullius.dev/proto/gen/nullius/ideation/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"

	"nullius.dev/services/ideation/internal/idea"
)

// maxIdeasFile bounds an ideas.json; a wire's message is 4 MiB at most.
const maxIdeasFile = 1 << 20

// ReadIdeas reads an ideas.json: a list of ideas, or one. Fails with FIELD_INVALID, which names idea and field.
func ReadIdeas(data []byte) ([]*recordv1.Idea, error) {
	read, err := idea.ReadFile(data)
	if err != nil {
		return nil, fault.New(fault.Invalid, "FIELD_INVALID", "%s", err.Error()).WithField("json", err.Error())
	}
	out := make([]*recordv1.Idea, len(read))
	for i, f := range read {
		out[i] = toIdea(f.Idea)
	}
	return out, nil
}

// WriteIdeas writes an ideas.json; novel has a verdict for each idea that has one, by its position.
func WriteIdeas(ideas []*recordv1.Idea, novel map[int]bool) []byte {
	list := make([]idea.Filed, len(ideas))
	for i, m := range ideas {
		list[i].Idea = fromIdea(m)
		if v, ok := novel[i]; ok {
			list[i].Novel, _ = json.Marshal(v) // a bool always encodes
		}
	}
	return idea.WriteFile(list)
}

// ReadIdeas reads own ideas.
func (v server) ReadIdeas(_ context.Context, r *ideationv1.ReadIdeasRequest) (*ideationv1.ReadIdeasResponse, error) {
	if n := len(r.GetJson()); n > maxIdeasFile {
		return nil, fault.New(fault.Exhausted, "PAYLOAD_TOO_LARGE", "the file of ideas has %d bytes, at most %d are read", n, maxIdeasFile).WithField("json", "at most 1 MiB")
	}
	read, err := idea.ReadFile([]byte(r.GetJson()))
	if err != nil {
		return nil, fault.New(fault.Invalid, "FIELD_INVALID", "%s", err.Error()).WithField("json", err.Error())
	}
	var archive []idea.Idea
	for _, a := range r.GetArchive() {
		archive = append(archive, fromIdea(a))
	}
	out := &ideationv1.ReadIdeasResponse{}
	for _, i := range read {
		m := &ideationv1.ReadIdea{Idea: toIdea(i.Idea), Novel: toNovel(i.Novel)}
		if near, why, is := idea.Near(i.Idea, archive); is {
			m.Near, m.Why = near.Name, why
		}
		archive = append(archive, i.Idea)
		out.Ideas = append(out.Ideas, m)
	}
	return out, nil
}

// WriteIdeas writes ideas for other programs.
func (v server) WriteIdeas(_ context.Context, r *ideationv1.WriteIdeasRequest) (*ideationv1.WriteIdeasResponse, error) {
	var list []*recordv1.Idea
	novel := map[int]bool{}
	for n, i := range r.GetIdeas() {
		list = append(list, i.GetIdea())
		if i.GetNovel() != ideationv1.Novel_UNSPECIFIED {
			novel[n] = i.GetNovel() == ideationv1.Novel_YES
		}
	}
	return &ideationv1.WriteIdeasResponse{Json: string(WriteIdeas(list, novel))}, nil
}

func toNovel(raw json.RawMessage) ideationv1.Novel_Value {
	switch string(raw) {
	case "true":
		return ideationv1.Novel_YES
	case "false":
		return ideationv1.Novel_NO
	}
	return ideationv1.Novel_UNSPECIFIED
}
