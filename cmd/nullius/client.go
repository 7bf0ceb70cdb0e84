package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/rpc"
	executorv1 "nullius.dev/proto/gen/nullius/executor/v1"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// client talks to a server's public API.
type client struct {
	gatewayv1.StudyServiceClient
	nodes executorv1.ExecutorServiceClient
	conn  *grpc.ClientConn
}

func dial(address string, o ...grpc.DialOption) (*client, error) {
	target := address
	if !strings.Contains(target, "://") {
		target = "dns:///" + target
	}
	conn, err := rpc.NewNetwork(rpc.Options{}).Dial(target, o...)
	if err != nil {
		return nil, err
	}
	return &client{gatewayv1.NewStudyServiceClient(conn), executorv1.NewExecutorServiceClient(conn), conn}, nil
}

// connect dials the server and makes sure that it answers.
func (c *cli) connect(ctx context.Context) (*client, error) {
	cl, err := dial(c.address, c.grpcurl.options()...)
	if err != nil {
		return nil, err
	}
	if !reachable(c.address) {
		return nil, errors.Join(fault.New(fault.Unavailable, "UNREACHABLE", "no Nullius server answers at %s", c.address).WithNext("nullius serve"), cl.conn.Close())
	}
	return cl, nil
}

func reachable(address string) bool {
	a := strings.TrimPrefix(address, "dns:///")
	conn, err := net.DialTimeout("tcp", a, 2*time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}

// with runs f with a client of the server.
func (c *cli) with(ctx context.Context, f func(*client) error) error {
	cl, err := c.connect(ctx)
	if err != nil {
		return err
	}
	return errors.Join(f(cl), cl.conn.Close())
}

// ref is a study or an idea as people write it: STUDY, STUDY/IDEA, or their resource names.
type ref struct{ study, idea string }

func (r ref) name() string {
	if r.idea == "" {
		return "studies/" + r.study
	}
	return "studies/" + r.study + "/ideas/" + r.idea
}

// ideaName is the name in action calls, where a study is its idea "_".
func (r ref) ideaName() string {
	if r.idea == "" {
		return "studies/" + r.study + "/ideas/_"
	}
	return r.name()
}

func (r ref) String() string {
	if r.idea == "" {
		return r.study
	}
	return r.study + "/" + r.idea
}

// find resolves what a person typed: names may be shortened while unique, and an idea's alone is enough when only one study has it.
func (cl *client) find(ctx context.Context, text string) (ref, error) {
	text = strings.TrimPrefix(text, "studies/")
	text = strings.Replace(text, "/ideas/", "/", 1)
	study, idea, _ := strings.Cut(text, "/")
	if strings.HasPrefix(text, "templates/") {
		return ref{}, fault.New(fault.Invalid, "NAME_INVALID", "%s is a template; a study or an idea is wanted", text).WithNext("nullius list, or nullius show " + text)
	}
	ctx = lookup(ctx)
	list, err := cl.ListStudies(ctx, &gatewayv1.ListStudiesRequest{PageSize: 1000})
	if err != nil {
		return ref{}, err
	}
	var names []string
	owner := map[string][]string{}
	for _, s := range list.GetStudies() {
		names = append(names, s.GetName()[len("studies/"):])
		for _, i := range s.GetIdeas() {
			id := i.GetName()[strings.LastIndex(i.GetName(), "/")+1:]
			owner[id] = append(owner[id], names[len(names)-1])
		}
	}
	if idea == "" && len(owner[study]) > 0 && !slices.Contains(names, study) {
		return ref{owner[study][0], study}, nil // newest study first
	}
	st, err := unique("study", study, names)
	if err != nil || idea == "" {
		return ref{study: st}, err
	}
	got, err := cl.GetStudy(ctx, &gatewayv1.GetStudyRequest{Name: "studies/" + st})
	if err != nil {
		return ref{}, err
	}
	var ideas []string
	for _, i := range got.GetStudy().GetIdeas() {
		ideas = append(ideas, i.GetName()[strings.LastIndex(i.GetName(), "/")+1:])
	}
	if idea == "_" {
		return ref{study: st}, nil
	}
	id, err := unique("idea", idea, ideas)
	return ref{st, id}, err
}

func unique(what, short string, names []string) (string, error) {
	if slices.Contains(names, short) {
		return short, nil
	}
	var hits []string
	for _, n := range names {
		if strings.HasPrefix(n, short) && short != "" {
			hits = append(hits, n)
		}
	}
	switch len(hits) {
	case 1:
		return hits[0], nil
	case 0:
		return "", fault.New(fault.NotFound, strings.ToUpper(what)+"_UNKNOWN", "there is no %s %q", what, short).WithNext("nullius list")
	}
	return "", fault.New(fault.Invalid, "NAME_INVALID", "%s %q could be %s", what, short, strings.Join(hits, ", "))
}

// templateName makes an id of a folder's name: its letters and digits, as many as an id may have.
func templateName(base string) string {
	var b strings.Builder
	for _, r := range base {
		if r < 128 && (r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	name := strings.TrimLeft(b.String(), "-")
	if strings.Trim(name, "_-") == "" {
		return "template"
	}
	return name[:min(len(name), maxTemplateName)]
}

const maxTemplateName = 63

// sendFolder streams a folder's files; recordings and caches that lie in a template stay home.
func sendFolder(dir string, skip func(string) bool, send func(*gatewayv1.FileChunk) error) error {
	return filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel != "." && skip(rel) {
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			return nil
		}
		if !e.Type().IsRegular() {
			return fault.New(fault.Invalid, "TEMPLATE_INVALID", "%s is a link or a special file; a template takes regular files only", rel)
		}
		return sendFile(p, rel, send)
	})
}

func sendFile(p, rel string, send func(*gatewayv1.FileChunk) error) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	c := &gatewayv1.FileChunk{Path: rel, Executable: st.Mode()&0o111 != 0}
	for first := true; ; first = false {
		buf := make([]byte, 256<<10)
		n, err := io.ReadFull(f, buf)
		if n > 0 || first {
			c.Data = buf[:n]
			if serr := send(c); serr != nil {
				return serr
			}
			c = &gatewayv1.FileChunk{}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// notTemplate leaves out what is no part of a template.
func notTemplate(rel string) bool { return rel == "recording" || template.Ignored(rel) }

func (cl *client) uploadRecording(ctx context.Context, dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, "index.jsonl")); err != nil {
		return "", fault.New(fault.NotFound, "RECORDING_MISSING", "%s is no recording: it has no index.jsonl", dir).WithNext("nullius export-recording STUDY")
	}
	s, err := cl.UploadRecording(ctx)
	if err != nil {
		return "", err
	}
	err = sendFolder(dir, func(string) bool { return false }, func(c *gatewayv1.FileChunk) error {
		return s.Send(&gatewayv1.UploadRecordingRequest{Chunk: c})
	})
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	r, err := s.CloseAndRecv()
	return r.GetModel(), err
}

func dollars(pico int64) string { return fmt.Sprintf("$%.2f", float64(pico)/1e12) }
