package gateway

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/rpc"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	reviewerv1 "nullius.dev/proto/gen/nullius/reviewer/v1"
)

// Bounds of a study's settings.
const (
	maxCount   = 1000
	maxAuthors = 100
	maxText    = 1000 // bytes of a name or address
)

// engines are those of the literature service (architecture.md section 4); one that is not there yet says so itself.
var engines = []string{"", "auto", "semanticscholar", "openalex", "arxiv", "local"}

var recordingEngine = regexp.MustCompile(`^recording/[0-9a-f]{64}$`)

// preflight checks what can be checked before money is spent: settings, template on this machine, models.
func (s *Service) preflight(ctx context.Context, name string, st *gatewayv1.StudySettings, own int, tpl *gatewayv1.Template) error {
	if err := checkSettings(name, st); err != nil {
		return err
	}
	if err := s.templates.preflight(ctx, name, tpl, st.GetSize()); err != nil {
		return err
	}
	if own == 0 && slices.Contains(st.GetSkip(), pipeline.Ideation) {
		return nil // it measures its baseline and asks no model
	}
	if err := s.checkModels(ctx, st); err != nil {
		return err
	}
	return CheckReviewer(ctx, s.d.Net, st)
}

// violations collects what is wrong with a request, field by field.
type violations []fault.Violation

func (v *violations) check(ok bool, field, format string, a ...any) {
	if !ok {
		*v = append(*v, fault.Violation{Field: "settings." + field, Description: fmt.Sprintf(format, a...)})
	}
}

// checkSettings names every setting that cannot be.
func checkSettings(template string, st *gatewayv1.StudySettings) error {
	var v violations
	v.check(st.GetModel() != "", "model", "is empty: a study needs a model")
	stages := append([]string{pipeline.Ideation}, pipeline.Stages...)
	stage := func(field, name string) {
		v.check(slices.Contains(stages, name), field, "%q is no stage; stages are %s", cut(name), strings.Join(stages, ", "))
	}
	for _, name := range st.GetGates() {
		stage("gates", name)
	}
	for _, name := range st.GetSkip() {
		stage("skip", name)
	}
	if st.GetUntil() != "" {
		stage("until", st.GetUntil())
	}
	for _, n := range []struct {
		field string
		value int32
	}{
		{"ideas", st.GetIdeas()}, {"reflections", st.GetReflections()}, {"parallel", st.GetParallel()}, {"max_runs", st.GetMaxRuns()}, {"max_tries", st.GetMaxTries()},
		{"reviews", st.GetReviews()}, {"review_reflections", st.GetReviewReflections()}, {"cite_rounds", st.GetCiteRounds()}, {"page_limit", st.GetPageLimit()},
	} {
		v.check(n.value >= 0 && n.value <= maxCount, n.field, "is %d; 0 to %d is allowed", n.value, maxCount)
	}
	v.check(st.GetBudgetPicoDollars() >= 0, "budget_pico_dollars", "is negative; 0 is no limit")
	v.check(st.GetBudgetTokens() >= 0, "budget_tokens", "is negative; 0 is no limit")
	v.check(slices.Contains([]string{"", "smoke", "lite", "full"}, st.GetSize()), "size", "%q is none of smoke, lite, full", cut(st.GetSize()))
	v.check(slices.Contains([]string{"", "go_on", "reject"}, st.GetUndecided()), "undecided", "%q is neither go_on nor reject", cut(st.GetUndecided()))
	v.check(slices.Contains(engines, st.GetEngine()) || recordingEngine.MatchString(st.GetEngine()), "engine",
		"%q is no literature engine; there are %s", cut(st.GetEngine()), strings.Join(engines[1:], ", "))
	v.check(st.GetReviewer() == "" || isAddress(st.GetReviewer()), "reviewer", "%q is no address; expected dns:///HOST:PORT", cut(st.GetReviewer()))
	v.check(len(st.GetAuthors()) <= maxAuthors, "authors", "there are %d; at most %d are allowed", len(st.GetAuthors()), maxAuthors)
	for _, a := range st.GetAuthors() {
		v.check(len(a) <= maxText, "authors", "one has %d bytes; at most %d are allowed", len(a), maxText)
	}
	if len(v) == 0 {
		return nil
	}
	text := v[0].Field + " " + v[0].Description
	if n := len(v) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	err := fault.New(fault.Invalid, "FIELD_INVALID", "%s", text).WithNext("nullius help run")
	if st.GetModel() == "" {
		err = err.WithNext("nullius run " + template + " --model openai/gpt-4o")
	}
	err.Violations = v
	return err
}

// writes says whether a study comes to papers.
func writes(st *gatewayv1.StudySettings) bool {
	until := slices.Index(pipeline.Stages, st.GetUntil())
	return !slices.Contains(st.GetSkip(), pipeline.Writing) && (st.GetUntil() == "" || until >= slices.Index(pipeline.Stages, pipeline.Writing))
}

// reviews says whether a study comes to reviews.
func reviews(st *gatewayv1.StudySettings) bool {
	until := slices.Index(pipeline.Stages, st.GetUntil())
	return !slices.Contains(st.GetSkip(), pipeline.Review) && (st.GetUntil() == "" || until >= slices.Index(pipeline.Stages, pipeline.Review))
}

// isAddress takes HOST:PORT, with or without dns:/// before it.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(strings.TrimPrefix(s, "dns:///"))
	_, bad := strconv.ParseUint(port, 10, 16)
	return err == nil && bad == nil && host != "" && len(s) <= maxText && !strings.ContainsAny(host, " \n\t/")
}

// reviewerLimit is how long a reviewer may take to say what it reads before a study starts.
const reviewerLimit = 4 * time.Second

// CheckReviewer asks a study's own reviewer whether it is there, by a connection of its own: an older one may know only that nobody answered before. It blocks
// for a few seconds at most. A reviewer that goes away later makes ideas wait instead.
func CheckReviewer(ctx context.Context, n *rpc.Network, st *gatewayv1.StudySettings) error {
	address := st.GetReviewer()
	if address == "" || !reviews(st) {
		return nil
	}
	conn, err := n.Dial(address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(ctx, reviewerLimit)
	defer cancel()
	if _, err = reviewerv1.NewReviewerServiceClient(conn).ListForms(ctx, &reviewerv1.ListFormsRequest{}); err == nil {
		return nil
	}
	why := "does not answer"
	if code := status.Code(fault.ToStatus(err)); code != codes.Unavailable && code != codes.DeadlineExceeded {
		why = "does not say which papers it reads"
	}
	return fault.Wrap(err, fault.Precondition, "PREFLIGHT_FAILED", "the study cannot start here, nothing was spent: the reviewer at %s %s (%v)", address, why, err).
		WithField("settings.reviewer", why).WithNext("start the reviewer, then the study; without --reviewer the built-in one reviews")
}

// cut bounds foreign text in a message.
func cut(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// ownIdeas checks ideas that came with a study and gives them names that folders can have.
func ownIdeas(in []*recordv1.Idea) ([]*recordv1.Idea, error) {
	if len(in) > maxCount {
		return nil, fault.New(fault.Invalid, "FIELD_INVALID", "there are %d own ideas; at most %d are allowed", len(in), maxCount).WithField("own_ideas", "too many").WithNext("nullius help run")
	}
	var out []*recordv1.Idea
	for i, idea := range in {
		clean, err := ownIdea(idea)
		if err != nil {
			return nil, err.WithField(fmt.Sprintf("own_ideas[%d]", i), "title or experiment is empty")
		}
		out = append(out, clean)
	}
	return out, nil
}

func ownIdea(idea *recordv1.Idea) (*recordv1.Idea, *fault.Error) {
	if strings.TrimSpace(idea.GetTitle()) == "" || strings.TrimSpace(idea.GetExperiment()) == "" {
		return nil, fault.New(fault.Invalid, "FIELD_INVALID", "an idea needs a Title and an Experiment").WithNext("nullius help submit")
	}
	idea = proto.CloneOf(idea)
	if !ideaSlug.MatchString(idea.GetName()) {
		idea.Name = slug(or(idea.GetName(), idea.GetTitle()))
	}
	return idea, nil
}

func (s *Service) checkModels(ctx context.Context, st *gatewayv1.StudySettings) error {
	if s.d.CheckModel == nil {
		return nil
	}
	priced := st.GetBudgetPicoDollars() > 0 && !st.GetAllowUnpriced()
	seen := map[string]bool{"": true}
	for _, m := range append([]string{st.GetModel(), st.GetIdeasModel(), st.GetCoderModel(), st.GetPlanModel(), st.GetFiguresModel(), st.GetWriterModel()}, st.GetReviewModels()...) {
		if seen[m] {
			continue
		}
		seen[m] = true
		if err := s.d.CheckModel(ctx, m, priced); err != nil {
			return err
		}
	}
	return nil
}
