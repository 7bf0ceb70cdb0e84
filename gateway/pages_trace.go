package gateway

import (
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strings"
	"time"

	"nullius.dev/kit/telemetry"
)

type spanView struct {
	Name, Part, Class, X, W, Start, Took, What, Href string
	Depth                                            int
}

// longDigest is a digest in a span's name, such as a recording's.
var longDigest = regexp.MustCompile(`([0-9a-f]{12})[0-9a-f]{52}`)

const (
	maxDepth = 4     // as deep as the style sheet indents
	maxSpans = 1_500 // on one page; the rest is a link away
)

func (p *pageSet) trace(w http.ResponseWriter, r *http.Request) {
	i, k, f, err := p.ideaFrame(r, "trace", "nullius trace")
	if err != nil {
		p.fail(w, err)
		return
	}
	s := i.GetSummary()
	d := struct {
		frame
		State   stateView
		TraceID string
		Spans   []spanView
		Axis    []axisTick
		Total   int
		Took    string
	}{frame: f, State: withReason(stateOf(s.GetState(), s.GetWaitReason(), s.GetMessage()), s.GetReason()), TraceID: i.GetTraceId()}
	steps := map[string]bool{}
	for _, st := range i.GetSteps() {
		steps[st.GetStep()] = true
	}
	spans := p.s.Trace(k)
	d.Total = len(spans)
	d.Spans, d.Axis, d.Took = spanViews(spans, f.Base, steps)
	p.render(w, "trace", http.StatusOK, d)
}

// spanViews lays a trace out as a waterfall, parents before their children. A span of a step leads to that step.
func spanViews(spans []telemetry.Span, base string, steps map[string]bool) ([]spanView, []axisTick, string) {
	known, children := map[string]bool{}, map[string][]telemetry.Span{}
	first, last := int64(1<<62), int64(0)
	for _, s := range spans {
		known[s.SpanID] = true
		first, last = min(first, s.Start), max(last, s.End)
	}
	for _, s := range spans {
		parent := s.ParentID
		if !known[parent] {
			parent = ""
		}
		children[parent] = append(children[parent], s)
	}
	if len(spans) == 0 {
		return nil, nil, ""
	}
	scale := timeScale{time.Unix(0, first), max(time.Duration(last-first), time.Millisecond)}
	var out []spanView
	var walk func(string, int)
	walk = func(id string, depth int) {
		list := children[id]
		sort.SliceStable(list, func(a, b int) bool { return list[a].Start < list[b].Start })
		for _, s := range list {
			if len(out) == maxSpans {
				return
			}
			out = append(out, spanViewOf(s, scale, depth, base, steps))
			if s.SpanID != "" && depth < 60 {
				walk(s.SpanID, depth+1)
			}
		}
	}
	walk("", 0)
	return out, scale.ticks(), took(scale.span)
}

func spanViewOf(s telemetry.Span, scale timeScale, depth int, base string, steps map[string]bool) spanView {
	v := spanView{
		Name: longDigest.ReplaceAllString(s.Name, "$1…"), Part: s.Component, Depth: min(depth, maxDepth), Took: or(took(time.Duration(s.End-s.Start)), "0 ms"),
		Start: fmt.Sprintf("%.2f", time.Duration(s.Start-scale.first.UnixNano()).Seconds()), What: spanWhat(s),
	}
	v.X, v.W = scale.bar(time.Unix(0, s.Start), time.Unix(0, s.End))
	if s.Status == "error" && s.Attributes["rpc.response.status_code"] != "CANCELLED" { // who has its result hangs up
		v.Class = "bad"
	}
	for _, key := range []string{"step", "nullius.step"} {
		if step, ok := s.Attributes[key].(string); ok && steps[step] {
			v.Href = base + "?step=" + step + "#step"
		}
	}
	return v
}

// spanWhat says what a span is about: the tokens of a call, the message of a failure.
func spanWhat(s telemetry.Span) string {
	var parts []string
	if s.Status == "error" && s.Message != "" {
		parts = append(parts, shorten(s.Message, 160))
	}
	in, isChat := s.Attributes["gen_ai.usage.input_tokens"].(float64)
	if out, ok := s.Attributes["gen_ai.usage.output_tokens"].(float64); ok && isChat {
		parts = append(parts, fmt.Sprintf("%s in, %s out", count(int64(in)), count(int64(out))))
	}
	if source, ok := s.Attributes["nullius.source"].(string); ok {
		parts = append(parts, "from "+source)
	}
	return strings.Join(parts, "; ")
}
