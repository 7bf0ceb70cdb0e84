package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"nullius.dev/kit/app"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// maxBody bounds the JSON of a request.
const maxBody = 4 << 20

// web is the HTTP side of the port: REST under /v1, event streams, files and pages.
func (s *Service) web(h *app.Host) http.Handler {
	v := server{s: s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !h.Ready() {
			http.Error(w, "stopping", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	route(mux, "GET /v1/status", v.GetStatus, nil)
	route(mux, "GET /v1/nodes", forwardNodes{to: s.workers.executor}.ListNodes, nil)
	route(mux, "GET /v1/templates", v.ListTemplates, nil)
	route(mux, "GET /v1/templates/{t}", v.GetTemplate, func(r *http.Request, m *gatewayv1.GetTemplateRequest) { m.Name = "templates/" + r.PathValue("t") })
	route(mux, "GET /v1/studies", v.ListStudies, nil)
	route(mux, "POST /v1/studies", v.StartStudy, nil)
	route(mux, "GET /v1/studies/{s}", v.GetStudy, func(r *http.Request, m *gatewayv1.GetStudyRequest) { m.Name = studyName(r.PathValue("s")) })
	route(mux, "GET /v1/studies/{s}/ideas", v.ListIdeas, func(r *http.Request, m *gatewayv1.ListIdeasRequest) { m.Parent = studyName(r.PathValue("s")) })
	route(mux, "POST /v1/studies/{s}/ideas", v.SubmitIdea, func(r *http.Request, m *gatewayv1.SubmitIdeaRequest) { m.Parent = studyName(r.PathValue("s")) })
	route(mux, "GET /v1/studies/{s}/ideas/{i}", v.GetIdea, func(r *http.Request, m *gatewayv1.GetIdeaRequest) { m.Name = ideaOf(r) })
	route(mux, "GET /v1/studies/{s}/ideas/{i}/files", v.ListFiles, func(r *http.Request, m *gatewayv1.ListFilesRequest) { m.Parent = ideaOf(r) })
	mux.HandleFunc("POST /v1/studies/{s}", s.studyAction(v))
	mux.HandleFunc("POST /v1/studies/{s}/ideas/{i}", s.ideaAction(v))
	mux.HandleFunc("GET /v1/studies/{s}/ideas/{i}/files/{path...}", s.serveFile("files"))
	mux.HandleFunc("GET /v1/studies/{s}/ideas/{i}/blobs/{path...}", s.serveFile("blobs"))
	mux.HandleFunc("GET /v1/studies/{s}/ideas/{i}/history/{path...}", s.serveFile("history"))
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) { s.serveEvents(w, r, everyStudy) })
	mux.HandleFunc("GET /v1/studies/{s}/events", func(w http.ResponseWriter, r *http.Request) { s.serveEvents(w, r, studyName(r.PathValue("s"))) })
	mux.HandleFunc("GET /v1/studies/{s}/ideas/{i}/events", func(w http.ResponseWriter, r *http.Request) { s.serveEvents(w, r, ideaOf(r)) })
	mux.HandleFunc("GET /v1/studies/{s}/ideas/{i}/trace", func(w http.ResponseWriter, r *http.Request) {
		k, err := parseIdea(ideaOf(r))
		if err != nil {
			failJSON(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Trace(k))
	})
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		mux.HandleFunc(method+" /v1/", noMethod)
	}
	s.pages(mux)
	return guardHTTP(mux)
}

// noMethod answers changes that no path takes as the rest of /v1 answers, where the mux would write plain text.
func noMethod(w http.ResponseWriter, r *http.Request) {
	err := fault.New(fault.NotFound, "PAGE_UNKNOWN", "%s takes no %s", shorten(r.URL.Path, 200), r.Method).WithNext("nullius help api")
	writeJSON(w, http.StatusMethodNotAllowed, status.Convert(fault.ToStatus(err)).Proto())
}

func ideaOf(r *http.Request) string { return ideaName(r.PathValue("s"), r.PathValue("i")) }

// guardHTTP sets the policy of every answer, and refuses changes that another site's page asks for.
func guardHTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if o := r.Header.Get("Origin"); o != "" {
				if u, err := url.Parse(o); err != nil || u.Host != r.Host {
					failJSON(w, fault.New(fault.Denied, "ROLE_TOO_LOW", "a page of %s may not change anything here", o))
					return
				}
			}
		}
		if !localName(r.Host) && isLoopback(r) {
			failJSON(w, fault.New(fault.Denied, "ROLE_TOO_LOW", "host %s is not this server's", shorten(r.Host, 200))) // a name that was rebound to this machine
			return
		}
		next.ServeHTTP(w, r)
	})
}

// localName tells whether a request's host is an address, which no name server can point elsewhere, or localhost; with a port or without.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.EqualFold(host, "localhost") || net.ParseIP(strings.Trim(host, "[]")) != nil
}

func isLoopback(r *http.Request) bool {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && a.IP.IsLoopback()
}

// route serves a unary call as JSON: the body, else the query's scalar fields, fills the request; the path wins.
func route[Q, R any, PQ interface {
	*Q
	proto.Message
}, PR interface {
	*R
	proto.Message
}](mux *http.ServeMux, pattern string, call func(context.Context, PQ) (PR, error), path func(*http.Request, PQ)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { serveJSON[Q, R](w, r, call, path) })
}

func serveJSON[Q, R any, PQ interface {
	*Q
	proto.Message
}, PR interface {
	*R
	proto.Message
}](w http.ResponseWriter, r *http.Request, call func(context.Context, PQ) (PR, error), path func(*http.Request, PQ)) {
	req := PQ(new(Q))
	if err := readRequest(w, r, req); err != nil {
		failJSON(w, err)
		return
	}
	if path != nil {
		path(r, req)
	}
	ctx, cancel := context.WithTimeout(r.Context(), 10*time.Second)
	defer cancel()
	resp, err := call(ctx, req)
	if err != nil {
		failJSON(w, err)
		return
	}
	writeJSON(w, http.StatusOK, resp)
}

func readRequest(w http.ResponseWriter, r *http.Request, req proto.Message) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return fault.New(fault.Exhausted, "PAYLOAD_TOO_LARGE", "the request is over 4 MiB")
	}
	if len(body) == 0 {
		q := map[string]string{}
		for k, v := range r.URL.Query() {
			q[k] = v[0]
		}
		if body, err = json.Marshal(q); err != nil {
			return err
		}
	}
	if err := protojson.Unmarshal(body, req); err != nil {
		return fault.New(fault.Invalid, "FIELD_INVALID", "the request is not JSON of %s: %s", req.ProtoReflect().Descriptor().Name(),
			strings.ReplaceAll(err.Error(), "\u00a0", " "))
	}
	return nil
}

func writeJSON(w http.ResponseWriter, code int, m proto.Message) {
	b, err := protojson.Marshal(m)
	if err != nil {
		code, b = http.StatusInternalServerError, []byte(`{"code":13}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n'))
}

// failJSON answers with the gRPC status as JSON.
func failJSON(w http.ResponseWriter, err error) {
	st := status.Convert(fault.ToStatus(err))
	if d := fault.RetryAfterOf(err); d > 0 {
		w.Header().Set("Retry-After", fmt.Sprintf("%.0f", d.Seconds()))
	}
	writeJSON(w, httpCode(st.Code()), st.Proto())
}

func httpCode(c codes.Code) int {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange, codes.FailedPrecondition:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// studyAction serves POST /v1/studies/{s}:cancel.
func (s *Service) studyAction(v server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, action, _ := strings.Cut(r.PathValue("s"), ":")
		if action != "cancel" {
			failJSON(w, fault.New(fault.NotFound, "FIELD_INVALID", "a study has no action %q; it has cancel", action))
			return
		}
		serveJSON(w, r, v.CancelStudy, func(_ *http.Request, m *gatewayv1.CancelStudyRequest) { m.Name = studyName(name) })
	}
}

// ideaAction serves POST /v1/studies/{s}/ideas/{i}:approve, :reject, :retry and :cancel.
func (s *Service) ideaAction(v server) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, action, _ := strings.Cut(r.PathValue("i"), ":")
		name := ideaName(r.PathValue("s"), id)
		switch action {
		case "approve":
			serveJSON(w, r, v.ApproveIdea, func(_ *http.Request, m *gatewayv1.ApproveIdeaRequest) { m.Name = name })
		case "reject":
			serveJSON(w, r, v.RejectIdea, func(_ *http.Request, m *gatewayv1.RejectIdeaRequest) { m.Name = name })
		case "retry":
			serveJSON(w, r, v.RetryIdea, func(_ *http.Request, m *gatewayv1.RetryIdeaRequest) { m.Name = name })
		case "cancel":
			serveJSON(w, r, v.CancelIdea, func(_ *http.Request, m *gatewayv1.CancelIdeaRequest) { m.Name = name })
		default:
			failJSON(w, fault.New(fault.NotFound, "FIELD_INVALID", "an idea has no action %q; it has approve, reject, retry, cancel", action))
		}
	}
}

// serveFile serves a file with Range and its digest as ETag. What a browser would run is a download.
func (s *Service) serveFile(kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, err := s.File(r.Context(), ideaOf(r)+"/"+kind+"/"+r.PathValue("path"))
		if err != nil {
			failJSON(w, err)
			return
		}
		rc, err := f.open(r.Context(), s.d.Blobs, 0, 0)
		if err != nil {
			failJSON(w, err)
			return
		}
		defer rc.Close()
		body, ok := rc.(io.ReadSeeker) // a history may be larger than memory
		if !ok {
			data, err := io.ReadAll(rc)
			if err != nil {
				failJSON(w, err)
				return
			}
			body = bytes.NewReader(data)
		}
		w.Header().Set("Content-Type", mediaType(f.Path))
		if f.Digest != "" {
			w.Header().Set("ETag", `"`+string(f.Digest)+`"`)
		}
		if mediaType(f.Path) == "application/octet-stream" {
			w.Header().Set("Content-Disposition", "attachment")
		}
		http.ServeContent(w, r, "", time.Time{}, body)
	}
}

// serveEvents streams events as SSE; the id is the resume token.
func (s *Service) serveEvents(w http.ResponseWriter, r *http.Request, name string) {
	flusher, ok := w.(http.Flusher)
	if !ok {
		failJSON(w, fault.New(fault.Internal, "INTERNAL", "this connection cannot stream"))
		return
	}
	q := r.URL.Query()
	req := &gatewayv1.WatchStudyRequest{
		Name: name, ResumeToken: or(r.Header.Get("Last-Event-ID"), q.Get("resume_token")), Logs: q.Get("logs") == "true",
		Journal: q.Get("journal") == "true", FromNow: q.Get("from_now") == "true",
	}
	begun := false
	err := s.watch(r.Context(), req, func() {
		begun = true
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
		flusher.Flush() // a browser calls the stream open only now
	}, func(m *gatewayv1.WatchStudyResponse) error {
		b, err := protojson.Marshal(m)
		if err != nil {
			return err
		}
		if m.GetResumeToken() != "" {
			fmt.Fprintf(w, "id: %s\n", m.GetResumeToken())
		}
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil {
			return err
		}
		flusher.Flush()
		return nil
	})
	if err != nil && !begun {
		failJSON(w, err)
	}
}
