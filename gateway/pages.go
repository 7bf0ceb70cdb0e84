package gateway

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"net/http"
	"strings"
	"time"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/proto/subject"
)

//go:embed web
var webFiles embed.FS

// pageSet renders the pages; text from models is escaped by html/template.
type pageSet struct {
	s *Service
	t *template.Template

	images *pageImages
}

// frame is what all pages have.
type frame struct {
	Title, Here, Command, Base string
	Ref, StudyHref             string // of an idea: its name for the command line, and its study's page
	Events                     string // where the page's events come from; empty: it does not change any more
	Own                        string // the machine whose state the page tells: an idea's id, "_" for a study, empty for none
	Poll                       int    // seconds after which the page is renewed without an event; 0: never
	Waiting                    int    // machines that wait for a person, over all studies
	Account                    *accountView
	Crumbs                     []crumb
}

type crumb struct{ Text, Href string }

// pages serves what a browser shows.
func (s *Service) pages(mux *http.ServeMux) {
	p := &pageSet{s: s, t: template.Must(template.ParseFS(webFiles, "web/*.html")), images: newPageImages(s.d.Sandbox, s.d.Blobs)}
	mux.Handle("GET /web/", noCache(http.FileServerFS(webFiles)))
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("GET /approvals", p.approvals)
	mux.HandleFunc("GET /nodes", p.nodes)
	mux.HandleFunc("GET /studies/{s}", p.study)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}", p.idea)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}/log", p.log)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}/paper", p.paper)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}/trace", p.trace)
	mux.HandleFunc("GET /studies/{s}/ideas/{i}/pages/{n}", p.sheet)
	mux.HandleFunc("GET /", p.lost)
}

// noCache lets a browser ask again after an upgrade, and take what has not changed from its cache.
func noCache(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

func (p *pageSet) render(w http.ResponseWriter, name string, code int, data any) {
	var b bytes.Buffer
	if err := p.t.ExecuteTemplate(&b, name, data); err != nil {
		p.s.log.Error("render a page", "page", name, "error", err)
		http.Error(w, "this page cannot be shown; the server's log has the rest", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

// frame fills in what does not depend on the page.
func (p *pageSet) frame(title, here, command string) frame {
	return frame{Title: title, Here: here, Command: command, Waiting: len(p.s.waitForPerson())}
}

// fail shows an error in words, with the next command.
func (p *pageSet) fail(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	if fault.KindOf(err) == fault.NotFound || fault.KindOf(err) == fault.Invalid {
		code = http.StatusNotFound
	}
	next := or(fault.NextOf(err), "nullius list studies")
	f := p.frame("Not shown", "", next)
	f.Crumbs = []crumb{{"Home", "/"}, {"not shown", ""}}
	p.render(w, "error", code, struct {
		frame
		Reason, Message, Next string
	}{f, fault.ReasonOf(err), messageOf(err), next})
}

// lost answers what no other route does.
func (p *pageSet) lost(w http.ResponseWriter, r *http.Request) {
	err := fault.New(fault.NotFound, "PAGE_UNKNOWN", "there is no page %s", shorten(r.URL.Path, 200)).WithNext("nullius list studies")
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		failJSON(w, err)
		return
	}
	p.fail(w, err)
}

// events is the address of a stream that goes on where a page was read: no event is lost between the two. name is empty for all studies.
func (p *pageSet) events(ctx context.Context, name string) string {
	address := "/v1/events"
	if name != "" {
		address = "/v1/" + name + "/events"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	st, err := p.s.d.Bus.JS.Stream(ctx, subject.StreamEvents)
	if err != nil {
		return address + "?from_now=true"
	}
	return address + "?resume_token=" + tokenOf(st.CachedInfo().State.LastSeq)
}

// ideaFrame reads an idea and what all its pages show.
func (p *pageSet) ideaFrame(r *http.Request, here, command string) (*gatewayv1.Idea, journal.Key, frame, error) {
	k, err := parseIdea(ideaOf(r))
	if err != nil {
		return nil, k, frame{}, err
	}
	if k.IsStudy() {
		return nil, k, frame{}, unknownMachine(journal.Key{Study: k.Study, Idea: "_ (that is the study itself)"})
	}
	events := p.events(r.Context(), ideaName(k.Study, k.Idea))
	i, err := p.s.GetIdea(r.Context(), k)
	if err != nil {
		return nil, k, frame{}, err
	}
	f := p.frame(shorten(or(i.GetRecord().GetTitle(), k.Idea), headTitle), here, command+" "+k.String())
	f.Ref, f.StudyHref = k.String(), "/studies/"+k.Study
	f.Base, f.Account, f.Own = "/studies/"+k.Study+"/ideas/"+k.Idea, accountOf(i.GetSummary().GetUsage(), i.GetAccount(), p.s.gpuHours(func(o journal.Key) bool { return o == k })), k.Idea
	f.Crumbs = []crumb{{"Home", "/"}, {k.Study, "/studies/" + k.Study}, {k.Idea, ""}}
	if i.GetSummary().GetEnded() == nil {
		f.Events = events
	}
	return i, k, f, nil
}
