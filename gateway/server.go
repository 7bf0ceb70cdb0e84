package gateway

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc"

	"nullius.dev/gateway/internal/journal"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// server is the gRPC edge of Service.
type server struct {
	gatewayv1.UnsafeStudyServiceServer
	s *Service
}

var _ gatewayv1.StudyServiceServer = server{}

// chunkSize bounds the data of one streamed message.
const chunkSize = 256 << 10

func (v server) UploadTemplate(stream grpc.ClientStreamingServer[gatewayv1.UploadTemplateRequest, gatewayv1.UploadTemplateResponse]) (err error) {
	first, err := stream.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	name := first.GetHeader().GetName()
	if !id.MatchString(name) {
		return nameInvalid("header.name", name, "{template}, in the first message's header")
	}
	dir, remove, err := receive(func() (*gatewayv1.FileChunk, error) {
		m, err := stream.Recv()
		return m.GetChunk(), err
	})
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	tpl, warnings, err := v.s.templates.add(stream.Context(), name, dir, first.GetHeader().GetBundled())
	if err != nil {
		return err
	}
	return stream.SendAndClose(&gatewayv1.UploadTemplateResponse{Template: tpl, Warnings: warnings})
}

func (v server) UploadRecording(stream grpc.ClientStreamingServer[gatewayv1.UploadRecordingRequest, gatewayv1.UploadRecordingResponse]) (err error) {
	dir, remove, err := receive(func() (*gatewayv1.FileChunk, error) {
		m, err := stream.Recv()
		return m.GetChunk(), err
	})
	defer func() { err = errors.Join(err, remove()) }()
	if err != nil {
		return err
	}
	index, err := os.ReadFile(dir + "/index.jsonl")
	if err != nil {
		return fault.New(fault.Invalid, "FIELD_INVALID", "the folder is no recording: it has no index.jsonl").WithField("chunk.path", "index.jsonl is missing")
	}
	d, err := store.PutTree(stream.Context(), v.s.d.Blobs, dir)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&gatewayv1.UploadRecordingResponse{Model: "recording/" + d.Hex(), Entries: int32(strings.Count(string(index), "\n") - 1)})
}

// receive takes an uploaded folder in; remove is to be called whatever happened.
func receive(next func() (*gatewayv1.FileChunk, error)) (dir string, remove func() error, err error) {
	in, err := newInbox()
	if err != nil {
		return "", func() error { return nil }, err
	}
	for {
		c, err := next()
		if errors.Is(err, io.EOF) {
			return in.dir, in.remove, in.closeFile()
		}
		if err == nil {
			err = in.chunk(c)
		}
		if err != nil {
			return "", in.remove, err
		}
	}
}

func (v server) ListTemplates(ctx context.Context, req *gatewayv1.ListTemplatesRequest) (*gatewayv1.ListTemplatesResponse, error) {
	all, err := v.s.templates.list(ctx)
	if err != nil {
		return nil, err
	}
	out := &gatewayv1.ListTemplatesResponse{}
	out.Templates, out.NextPageToken, err = page(all, req.GetPageSize(), 50, req.GetPageToken())
	return out, err
}

func (v server) GetTemplate(ctx context.Context, req *gatewayv1.GetTemplateRequest) (*gatewayv1.GetTemplateResponse, error) {
	name, err := parseTemplate("name", req.GetName())
	if err != nil {
		return nil, err
	}
	t, err := v.s.templates.get(ctx, name)
	return &gatewayv1.GetTemplateResponse{Template: t}, err
}

func (v server) StartStudy(ctx context.Context, req *gatewayv1.StartStudyRequest) (*gatewayv1.StartStudyResponse, error) {
	st, err := v.s.StartStudy(ctx, req)
	return &gatewayv1.StartStudyResponse{Study: st}, err
}

func (v server) GetStudy(ctx context.Context, req *gatewayv1.GetStudyRequest) (*gatewayv1.GetStudyResponse, error) {
	k, err := parseStudy(req.GetName())
	if err != nil {
		return nil, err
	}
	st, err := v.s.GetStudy(ctx, k)
	return &gatewayv1.GetStudyResponse{Study: st}, err
}

func (v server) ListStudies(ctx context.Context, req *gatewayv1.ListStudiesRequest) (*gatewayv1.ListStudiesResponse, error) {
	keep, err := parseFilter(req.GetFilter())
	if err != nil {
		return nil, err
	}
	var keys []journal.Key
	v.s.journal.Each(func(m *journal.Machine) {
		if m.Key.IsStudy() && keep(m.Core().State()) {
			keys = append(keys, m.Key)
		}
	})
	slices.Reverse(keys)
	keys, next, err := page(keys, req.GetPageSize(), 50, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	out := &gatewayv1.ListStudiesResponse{NextPageToken: next}
	for _, k := range keys {
		st, err := v.s.GetStudy(ctx, k)
		if err != nil {
			return nil, err
		}
		out.Studies = append(out.Studies, st)
	}
	return out, nil
}

func (v server) CancelStudy(ctx context.Context, req *gatewayv1.CancelStudyRequest) (*gatewayv1.CancelStudyResponse, error) {
	st, err := v.s.CancelStudy(ctx, req)
	return &gatewayv1.CancelStudyResponse{Study: st}, err
}

func (v server) WatchStudy(req *gatewayv1.WatchStudyRequest, stream grpc.ServerStreamingServer[gatewayv1.WatchStudyResponse]) error {
	return v.s.Watch(stream.Context(), req, stream.Send)
}

func (v server) SubmitIdea(ctx context.Context, req *gatewayv1.SubmitIdeaRequest) (*gatewayv1.SubmitIdeaResponse, error) {
	i, err := v.s.SubmitIdea(ctx, req)
	return &gatewayv1.SubmitIdeaResponse{Idea: i}, err
}

func (v server) GetIdea(ctx context.Context, req *gatewayv1.GetIdeaRequest) (*gatewayv1.GetIdeaResponse, error) {
	k, err := parseIdea(req.GetName())
	if err != nil {
		return nil, err
	}
	i, err := v.s.GetIdea(ctx, k)
	return &gatewayv1.GetIdeaResponse{Idea: i}, err
}

func (v server) ListIdeas(_ context.Context, req *gatewayv1.ListIdeasRequest) (*gatewayv1.ListIdeasResponse, error) {
	keep, err := parseFilter(req.GetFilter())
	if err != nil {
		return nil, err
	}
	var studies []string
	if req.GetParent() == "studies/-" {
		v.s.journal.Each(func(m *journal.Machine) {
			if m.Key.IsStudy() {
				studies = append(studies, m.Key.Study)
			}
		})
	} else {
		k, err := parseStudy(req.GetParent())
		if err != nil {
			return nil, err
		}
		if !v.s.journal.View(k, func(*journal.Machine) {}) {
			return nil, unknownMachine(k)
		}
		studies = []string{k.Study}
	}
	var all []*gatewayv1.IdeaSummary
	for _, st := range studies {
		for _, i := range v.s.members(st) {
			if keep(i.GetState()) {
				all = append(all, i)
			}
		}
	}
	out := &gatewayv1.ListIdeasResponse{}
	out.Ideas, out.NextPageToken, err = page(all, req.GetPageSize(), 50, req.GetPageToken())
	return out, err
}

func (v server) ApproveIdea(ctx context.Context, req *gatewayv1.ApproveIdeaRequest) (*gatewayv1.ApproveIdeaResponse, error) {
	i, err := v.s.Approve(ctx, req)
	return &gatewayv1.ApproveIdeaResponse{Idea: i}, err
}

func (v server) RejectIdea(ctx context.Context, req *gatewayv1.RejectIdeaRequest) (*gatewayv1.RejectIdeaResponse, error) {
	i, err := v.s.Reject(ctx, req)
	return &gatewayv1.RejectIdeaResponse{Idea: i}, err
}

func (v server) RetryIdea(ctx context.Context, req *gatewayv1.RetryIdeaRequest) (*gatewayv1.RetryIdeaResponse, error) {
	i, err := v.s.Retry(ctx, req)
	return &gatewayv1.RetryIdeaResponse{Idea: i}, err
}

func (v server) CancelIdea(ctx context.Context, req *gatewayv1.CancelIdeaRequest) (*gatewayv1.CancelIdeaResponse, error) {
	i, err := v.s.Cancel(ctx, req)
	return &gatewayv1.CancelIdeaResponse{Idea: i}, err
}

func (v server) ListFiles(ctx context.Context, req *gatewayv1.ListFilesRequest) (*gatewayv1.ListFilesResponse, error) {
	infos, err := v.fileInfos(ctx, req.GetParent())
	if err != nil {
		return nil, err
	}
	out := &gatewayv1.ListFilesResponse{}
	out.Files, out.NextPageToken, err = page(infos, req.GetPageSize(), 1000, req.GetPageToken())
	return out, err
}

// fileInfos lists what an idea or a template holds.
func (v server) fileInfos(ctx context.Context, parent string) ([]*gatewayv1.FileInfo, error) {
	if strings.HasPrefix(parent, "templates/") {
		return v.s.templates.files(ctx, parent)
	}
	k, err := parseIdea(parent)
	if err != nil {
		return nil, err
	}
	files, err := v.s.Files(ctx, k)
	if err != nil {
		return nil, err
	}
	infos := make([]*gatewayv1.FileInfo, len(files))
	for i, f := range files {
		infos[i] = f.info()
	}
	return infos, nil
}

func (v server) ReadFile(req *gatewayv1.ReadFileRequest, stream grpc.ServerStreamingServer[gatewayv1.ReadFileResponse]) error {
	f, err := v.s.File(stream.Context(), req.GetName())
	if err != nil {
		return err
	}
	r, err := f.open(stream.Context(), v.s.d.Blobs, req.GetOffset(), req.GetLimit())
	if err != nil {
		return err
	}
	defer r.Close()
	if err := stream.Send(&gatewayv1.ReadFileResponse{Info: f.info()}); err != nil {
		return err
	}
	return chunks(r, func(b []byte) error { return stream.Send(&gatewayv1.ReadFileResponse{Data: b}) })
}

// chunks reads r in pieces of at most 256 KiB.
func chunks(r io.Reader, send func([]byte) error) error {
	for {
		buf := make([]byte, chunkSize)
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if serr := send(buf[:n]); serr != nil {
				return serr
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (v server) ExportRecording(req *gatewayv1.ExportRecordingRequest, stream grpc.ServerStreamingServer[gatewayv1.ExportRecordingResponse]) error {
	k, err := parseStudy(req.GetName())
	if err != nil {
		return err
	}
	files, warnings, err := v.s.Recording(stream.Context(), k)
	if err != nil {
		return err
	}
	if err := stream.Send(&gatewayv1.ExportRecordingResponse{Warnings: warnings}); err != nil {
		return err
	}
	for _, f := range files {
		path := f.Path
		if err := chunks(strings.NewReader(string(f.Data)), func(b []byte) error {
			err := stream.Send(&gatewayv1.ExportRecordingResponse{Chunk: &gatewayv1.FileChunk{Path: path, Data: b}})
			path = ""
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

func (v server) GetStatus(ctx context.Context, _ *gatewayv1.GetStatusRequest) (*gatewayv1.GetStatusResponse, error) {
	return v.s.Status(ctx), nil
}

// page cuts a list; the token is the index of the first element.
func page[T any](all []T, size, most int32, token string) (out []T, next string, err error) {
	if size < 0 {
		return nil, "", fault.New(fault.Invalid, "FIELD_INVALID", "page_size is %d; 0 to 1000 is allowed", size).WithField("page_size", "is negative")
	}
	if size == 0 {
		size = most
	}
	size = min(size, 1000)
	from := 0
	if token != "" {
		if from, err = strconv.Atoi(token); err != nil || from < 0 {
			return nil, "", fault.New(fault.Invalid, "FIELD_INVALID", "the page token is not one of ours").WithField("page_token", "unknown form")
		}
	}
	from = min(from, len(all))
	to := min(from+int(size), len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next, nil
}

// parseFilter reads "state=RUNNING"; more comes with its own work.
func parseFilter(filter string) (func(gatewayv1.IdeaState_Value) bool, error) {
	filter = strings.TrimSpace(filter)
	if filter == "" {
		return func(gatewayv1.IdeaState_Value) bool { return true }, nil
	}
	field, value, ok := strings.Cut(filter, "=")
	want, known := gatewayv1.IdeaState_Value_value[strings.Trim(strings.TrimSpace(value), `"`)]
	if !ok || strings.TrimSpace(field) != "state" || !known {
		return nil, fault.New(fault.Invalid, "FILTER_INVALID", "filter %q is not understood; state=RUNNING and the like are", filter).WithField("filter", "expected state=STATE")
	}
	return func(s gatewayv1.IdeaState_Value) bool { return s == gatewayv1.IdeaState_Value(want) }, nil
}
