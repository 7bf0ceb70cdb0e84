package gateway

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/gateway/internal/pipeline"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/proto/subject"
)

// Service answers StudyService's calls in domain terms; server.go is its edge.
type Service struct {
	cfg       Config
	d         Deps
	log       *slog.Logger
	journal   *journal.Store
	driver    *driver
	workers   *workers
	live      *live
	life      *life
	templates *templates
	requests  jetstream.KeyValue // request ids of mutating calls
	traces    *traces
	listings  listings
	started   time.Time
	address   string
}

// New builds the gateway on its streams and buckets. It starts nothing that goes on; Attach does.
func New(ctx context.Context, cfg Config, d Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	j, err := journal.Open(ctx, d.Bus, d.Log, cfg.JournalBytes)
	if err != nil {
		return nil, err
	}
	events, err := newPublisher(ctx, d.Bus, j, d.Log, cfg.EventBytes)
	if err != nil {
		return nil, err
	}
	tpl, err := newTemplates(ctx, d)
	if err != nil {
		return nil, err
	}
	requests, err := d.Bus.KV(ctx, jetstream.KeyValueConfig{Bucket: subject.BucketRequests, TTL: 24 * time.Hour, MaxBytes: 64 << 20})
	if err != nil {
		return nil, err
	}
	tr, err := newTraces(ctx, d, cfg.DataDir)
	if err != nil {
		return nil, err
	}
	w, err := dialWorkers(d.Net, cfg.Peers)
	if err != nil {
		return nil, err
	}
	lv := newLive(d.Bus.NC)
	host, _ := os.Hostname() // only a name for people
	owner := fmt.Sprintf("%s/%d/%s", host, os.Getpid(), token(4))
	alive, err := openLife(cfg.DataDir, owner)
	if err != nil {
		d.Log.WarnContext(ctx, "it will not be known how this process dies", "error", err)
	}
	s := &Service{
		cfg: cfg, d: d, log: d.Log, journal: j, workers: w, live: lv, life: alive, templates: tpl, requests: requests, traces: tr, started: time.Now(), address: cfg.Listen,
		driver: &driver{
			owner: owner, before: alive.before, log: d.Log, bus: d.Bus, journal: j, events: events, budgets: d.Budgets, ledger: d.Ledger,
			max: cfg.MaxIdeas, owned: map[journal.Key]bool{},
			steps: &steps{log: d.Log, tracer: d.Tracer.Tracer("nullius.dev/gateway"), workers: w, blobs: d.Blobs, journal: j, live: lv},
		},
	}
	return s, nil
}

// token gives 2n random hex digits.
func token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// StartStudy accepts a study. See the proto for guarantees and failures.
func (s *Service) StartStudy(ctx context.Context, req *gatewayv1.StartStudyRequest) (*gatewayv1.Study, error) {
	name, err := parseTemplate("template", req.GetTemplate())
	if err != nil {
		return nil, err
	}
	settings := proto.CloneOf(req.GetSettings())
	if settings == nil {
		settings = &gatewayv1.StudySettings{}
	}
	if settings.GetIdeas() == 0 && len(req.GetOwnIdeas()) == 0 {
		settings.Ideas = 1
	}
	own, err := ownIdeas(req.GetOwnIdeas())
	if err != nil {
		return nil, err
	}
	tpl, err := s.templates.get(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := s.preflight(ctx, name, settings, len(own), tpl); err != nil {
		return nil, err
	}
	return once(ctx, s, req.GetRequestId(), req, func() (*gatewayv1.Study, error) {
		found := s.comparedFile(ctx, tpl.GetFacts().GetSeedIdeas(), own)
		k, err := s.newStudy(ctx, name, req.GetStudyId(), func(k journal.Key) *gatewayv1.JournalEvent {
			return &gatewayv1.JournalEvent{Id: or(req.GetRequestId(), "accepted"), Actor: "user", Event: &gatewayv1.JournalEvent_StudyAccepted{StudyAccepted: &gatewayv1.StudyAccepted{
				Settings: settings, OwnIdeas: own, OwnFound: found, Traceparent: s.driver.steps.newTrace(ctx, "study", k),
				Template: &gatewayv1.TemplateRef{Name: name, Snapshot: tpl.GetSnapshot(), Facts: tpl.GetFacts()},
			}}}
		})
		if err != nil {
			return nil, err
		}
		if err := s.driver.setBudget(ctx, k); err != nil {
			return nil, err
		}
		s.driver.publish(ctx, k)
		st, err := s.GetStudy(ctx, k)
		if err == nil {
			st.Warnings = append(st.Warnings, ofIdeas(found)...)
		}
		if err == nil && s.d.CanCompile != nil && writes(settings) && !s.d.CanCompile() {
			st.Warnings = append(st.Warnings, &recordv1.Warning{Code: "NOT_COMPILED", Text: "LaTeX is not installed here: papers stay .tex and are reviewed as text; nullius doctor names the packages"})
		}
		return st, err
	})
}

// newStudy finds a free id and appends the first event.
func (s *Service) newStudy(ctx context.Context, template, want string, first func(journal.Key) *gatewayv1.JournalEvent) (journal.Key, error) {
	if want != "" && !id.MatchString(want) {
		return journal.Key{}, nameInvalid("study_id", want, "{study}")
	}
	if err := s.journal.Sync(ctx); err != nil {
		return journal.Key{}, err
	}
	taken := map[string]bool{}
	s.journal.Each(func(m *journal.Machine) { taken[strings.ToLower(m.Key.Study)] = true })
	if want != "" && taken[strings.ToLower(want)] {
		return journal.Key{}, fault.New(fault.Exists, "STUDY_EXISTS", "there is a study %s already", want)
	}
	base := strings.ToLower(template)
	for n := 1; ; n++ {
		k := journal.Key{Study: or(want, base+"-"+strconv.Itoa(n)), Idea: subject.StudyItself}
		if taken[strings.ToLower(k.Study)] {
			continue
		}
		err := s.driver.append(ctx, k, 0, first(k))
		if errors.Is(err, fault.Conflict) && want == "" {
			continue
		}
		return k, err
	}
}

// GetStudy shows a study with its ideas.
func (s *Service) GetStudy(ctx context.Context, k journal.Key) (*gatewayv1.Study, error) {
	var out *gatewayv1.Study
	if !s.journal.View(k, func(m *journal.Machine) { out = proto.CloneOf(s.study(m)) }) {
		return nil, unknownMachine(k)
	}
	out.Ideas = s.members(k.Study)
	for _, i := range out.GetIdeas() {
		pipeline.AddUsage(out.Usage, i.GetUsage())
	}
	if out.GetState() == gatewayv1.IdeaState_RUNNING && out.GetStep() == "" && out.GetMessage() == "" {
		out.Message = ideasNow(out.GetIdeas())
	}
	var err error
	out.Account, err = s.account(ctx, k)
	return out, err
}

// GetIdea shows an idea.
func (s *Service) GetIdea(ctx context.Context, k journal.Key) (*gatewayv1.Idea, error) {
	var out *gatewayv1.Idea
	if k.IsStudy() {
		st, err := s.GetStudy(ctx, k)
		if err != nil {
			return nil, err
		}
		return &gatewayv1.Idea{Name: ideaName(k.Study, k.Idea), Account: st.GetAccount(), Etag: st.GetEtag(), Summary: &gatewayv1.IdeaSummary{
			Name: ideaName(k.Study, k.Idea), State: st.GetState(), WaitReason: st.GetWaitReason(), Reason: st.GetReason(), Message: st.GetMessage(), Next: st.GetNext()}}, nil
	}
	if !s.journal.View(k, func(m *journal.Machine) { out = s.idea(m) }) {
		return s.pending(k)
	}
	var err error
	out.Account, err = s.account(ctx, k)
	return out, err
}

// pending shows an idea that has no journal yet.
func (s *Service) pending(k journal.Key) (*gatewayv1.Idea, error) {
	self := journal.Key{Study: k.Study, Idea: subject.StudyItself}
	var out *gatewayv1.Idea
	if !s.journal.View(self, func(m *journal.Machine) {
		if mem := m.Study.Member(k.Idea); mem != nil {
			out = proto.CloneOf(&gatewayv1.Idea{Name: ideaName(k.Study, k.Idea), Summary: pendingIdea(k.Study, mem), Record: mem.Record, Origin: &gatewayv1.Origin{Kind: mem.Origin}, Warnings: mem.Warnings})
		}
	}) {
		return nil, unknownMachine(self)
	}
	if out == nil {
		return nil, unknownMachine(k)
	}
	return out, nil
}

// once runs a mutating call once per request id: a repeat returns the first answer, other content is refused.
func once[R proto.Message](ctx context.Context, s *Service, requestID string, req proto.Message, do func() (R, error)) (R, error) {
	var zero R
	if requestID == "" {
		return do()
	}
	if len(requestID) > 64 || !id.MatchString(requestID) {
		return zero, fault.New(fault.Invalid, "FIELD_INVALID", "request_id %q is no UUID", requestID[:min(len(requestID), 80)]).WithField("request_id", "expected a UUID")
	}
	digest := digestOf(req)
	if e, err := s.requests.Get(ctx, requestID); err == nil {
		sum, answer, _ := strings.Cut(string(e.Value()), "\n")
		if sum != digest {
			return zero, fault.New(fault.Exists, "REQUEST_ID_REUSED", "request_id %s came before with other content", requestID)
		}
		out := zero.ProtoReflect().New().Interface().(R)
		return out, proto.Unmarshal([]byte(answer), out)
	} else if !errors.Is(err, jetstream.ErrKeyNotFound) {
		return zero, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "request ids cannot be read")
	}
	out, err := do()
	if err != nil {
		return zero, err
	}
	answer, err := proto.Marshal(out)
	if err != nil {
		return zero, err
	}
	if _, err := s.requests.Put(ctx, requestID, append([]byte(digest+"\n"), answer...)); err != nil {
		s.log.WarnContext(ctx, "keep an answer", "request_id", requestID, "error", err)
	}
	return out, nil
}
