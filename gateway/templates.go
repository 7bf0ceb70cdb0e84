package gateway

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nullius.dev/gateway/internal/result"
	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
	"nullius.dev/kit/store"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	recordv1 "nullius.dev/proto/gen/nullius/record/v1"
	"nullius.dev/proto/subject"
)

// templates keeps which snapshot each template's name stands for now.
type templates struct {
	kv      jetstream.KeyValue
	blobs   store.Blobs
	parse   func(sources map[string][]byte) map[string]template.Syntax
	missing func(modules []string) ([]string, error)
	version func(modules []string) string
}

func newTemplates(ctx context.Context, d Deps) (*templates, error) {
	kv, err := d.Bus.KV(ctx, jetstream.KeyValueConfig{Bucket: subject.BucketTemplates, MaxBytes: 64 << 20})
	if err != nil {
		return nil, err
	}
	return &templates{kv: kv, blobs: d.Blobs, parse: d.CheckPython, missing: d.MissingModules, version: d.PythonVersion}, nil
}

func (t *templates) get(ctx context.Context, name string) (*gatewayv1.Template, error) {
	e, err := t.kv.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fault.New(fault.NotFound, "TEMPLATE_UNKNOWN", "there is no template %s", name).WithNext("nullius list templates, or nullius template add DIR")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "templates cannot be read")
	}
	out := &gatewayv1.Template{}
	return out, protojson.Unmarshal(e.Value(), out)
}

func (t *templates) list(ctx context.Context) ([]*gatewayv1.Template, error) {
	keys, err := t.kv.Keys(ctx)
	if errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "templates cannot be read")
	}
	slices.Sort(keys)
	var out []*gatewayv1.Template
	for _, k := range keys {
		tpl, err := t.get(ctx, k)
		if err != nil {
			return nil, err
		}
		out = append(out, tpl)
	}
	return out, nil
}

// add checks a folder and keeps it under a name. Nothing is kept of one that breaks the contract.
func (t *templates) add(ctx context.Context, name, dir string, bundled bool) (*gatewayv1.Template, []*recordv1.Warning, error) {
	tpl, findings := template.Load(os.DirFS(dir), template.Options{Name: name, ParsePython: t.parse, MissingModules: t.missing, PythonVersion: t.version})
	if tpl == nil {
		return nil, nil, template.Refusal(name, findings)
	}
	digest, err := store.PutTree(ctx, t.blobs, dir)
	if err != nil {
		return nil, nil, err
	}
	facts := factsOf(tpl)
	if file := tpl.Python.Requirements; file != "" {
		lines, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file)))
		if err != nil {
			return nil, nil, err
		}
		d, err := store.PutBytes(ctx, t.blobs, lines)
		if err != nil {
			return nil, nil, err
		}
		facts.Requirements, facts.SystemPackages = string(d), len(tpl.Debian) > 0
	}
	out := &gatewayv1.Template{Name: "templates/" + name, Snapshot: string(digest), Facts: facts, Uploaded: timestamppb.New(time.Now()), Bundled: bundled}
	data, err := protojson.Marshal(out)
	if err != nil {
		return nil, nil, err
	}
	if _, err := t.kv.Put(ctx, name, data); err != nil {
		return nil, nil, fault.Wrap(err, fault.Unavailable, "BUS_UNAVAILABLE", "the template cannot be kept")
	}
	var warnings []*recordv1.Warning
	for _, f := range findings {
		warnings = append(warnings, &recordv1.Warning{Code: f.Rule, Text: f.String()})
	}
	return out, warnings, nil
}

// preflight runs the check again for a study of a size, since what only warns of a template stops its study: modules and data that are not here. The syntax
// was checked when the snapshot came in.
func (t *templates) preflight(ctx context.Context, name string, tpl *gatewayv1.Template, size string) error {
	tree, err := store.FS(ctx, t.blobs, store.Digest(tpl.GetSnapshot()))
	if err != nil {
		return err
	}
	loaded, findings := template.Load(tree, template.Options{Name: name, Size: or(size, tpl.GetFacts().GetSize()), MissingModules: t.missing, PythonVersion: t.version})
	if blocking := template.Blocking(findings); len(blocking) > 0 {
		return template.Stop(name, blocking)
	}
	if _, ok := loaded.Sizes[size]; size != "" && len(loaded.Sizes) > 0 && !ok {
		have := strings.Join(slices.Sorted(maps.Keys(loaded.Sizes)), ", ")
		return fault.New(fault.Invalid, "FIELD_INVALID", "template %s has no size %s; it has %s", name, size, have).WithField("settings.size", "one of "+have).
			WithNext("nullius run " + name + " --size " + tpl.GetFacts().GetSize())
	}
	return nil
}

// manifest lists a template's files as they were uploaded last.
func (t *templates) manifest(ctx context.Context, resource string) (store.Manifest, error) {
	name, err := parseTemplate("name", resource)
	if err != nil {
		return store.Manifest{}, err
	}
	tpl, err := t.get(ctx, name)
	if err != nil {
		return store.Manifest{}, err
	}
	return store.LoadManifest(ctx, t.blobs, store.Digest(tpl.GetSnapshot()))
}

func (t *templates) files(ctx context.Context, resource string) ([]*gatewayv1.FileInfo, error) {
	m, err := t.manifest(ctx, resource)
	if err != nil {
		return nil, err
	}
	infos := make([]*gatewayv1.FileInfo, len(m))
	for i, f := range m {
		infos[i] = &gatewayv1.FileInfo{Path: f.Path, SizeBytes: f.Size, Digest: string(f.Digest), MediaType: mediaType(f.Path), Executable: f.Mode&0o111 != 0}
	}
	return infos, nil
}

// file finds templates/{t}/files/{path}.
func (t *templates) file(ctx context.Context, name string) (*file, error) {
	p := strings.SplitN(name, "/", 4)
	if len(p) != 4 || p[2] != "files" {
		return nil, nameInvalid("name", name, "templates/{template}/files/{path}")
	}
	m, err := t.manifest(ctx, "templates/"+p[1])
	if err != nil {
		return nil, err
	}
	f, ok := m.Find(p[3])
	if !ok {
		return nil, fault.New(fault.NotFound, "FILE_UNKNOWN", "template %s has no file %q", p[1], p[3]).WithNext("nullius template check " + p[1])
	}
	return &file{File: result.File{Path: f.Path, Digest: f.Digest, Size: f.Size}}, nil
}

// factsOf freezes what the pipeline needs of a template.
func factsOf(t *template.Template) *gatewayv1.TemplateFacts {
	f := &gatewayv1.TemplateFacts{
		Title: t.Title, System: t.Prompt.System, TaskDescription: t.Prompt.Task, Pool: t.Pool, TimeLimitSeconds: int64(t.TimeLimit.Seconds()),
		Modules: t.Python.Modules, Editable: append(slices.Clone(t.Editable), "notes.txt"), Protected: t.Protected, Env: t.Env, HasBaseline: t.HasBaseline,
		PairedSeeds: t.PairedSeeds, Foreign: t.Foreign,
	}
	f.Size = t.DefaultSize()
	if _, ok := t.Sizes["smoke"]; ok {
		f.SmokeSeconds = max(1, int32(math.Ceil(t.SmokeSeconds()))) // a size may leave out how long it takes
	}
	if p := t.Primary; p != nil {
		f.Primary = &recordv1.Metric{Dataset: p.Dataset, Name: p.Metric, Direction: direction(p.Direction)}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Metrics)) {
		m := t.Metrics[name]
		f.Metrics = append(f.Metrics, &recordv1.Metric{Name: name, Direction: direction(m.Direction), Label: m.Label, Unit: m.Unit})
	}
	for _, i := range t.Ideas {
		f.SeedIdeas = append(f.SeedIdeas, &recordv1.Idea{
			Name: i.Name, Title: i.Title, Experiment: i.Experiment, Interestingness: int32(i.Interestingness), Feasibility: int32(i.Feasibility),
			Novelty: int32(i.Novelty), Hypothesis: i.Hypothesis, Risks: i.Risks,
		})
	}
	return f
}

func direction(d template.Direction) recordv1.Direction_Value {
	switch d {
	case template.Minimize:
		return recordv1.Direction_MINIMIZE
	case template.Maximize:
		return recordv1.Direction_MAXIMIZE
	case template.NoDirection:
		return recordv1.Direction_NONE
	}
	return recordv1.Direction_UNSPECIFIED
}

// inbox receives an uploaded folder under the limits of reliability.md section 7; it is removed whatever happens.
type inbox struct {
	dir   string
	root  *os.Root
	open  *os.File
	files int
	bytes int64
	limit template.Limits
}

func newInbox() (*inbox, error) {
	dir, err := os.MkdirTemp("", "nullius-upload-*")
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &inbox{dir: dir, root: root, limit: template.DefaultLimits()}, nil
}

func (b *inbox) chunk(c *gatewayv1.FileChunk) error {
	if p := c.GetPath(); p != "" {
		if err := b.begin(p, c.GetExecutable()); err != nil {
			return err
		}
	}
	if b.open == nil {
		return fault.New(fault.Invalid, "FIELD_INVALID", "the first chunk names no path").WithField("chunk.path", "is empty")
	}
	if b.bytes += int64(len(c.GetData())); b.bytes > b.limit.TotalBytes {
		return fault.New(fault.Exhausted, "PAYLOAD_TOO_LARGE", "the upload is over the limit of %d MiB", b.limit.TotalBytes>>20)
	}
	_, err := b.open.Write(c.GetData())
	return err
}

func (b *inbox) begin(p string, executable bool) error {
	if err := store.CheckPath(p); err != nil {
		return err
	}
	if b.files++; b.files > b.limit.Files {
		return fault.New(fault.Exhausted, "PAYLOAD_TOO_LARGE", "the upload has more than %d files", b.limit.Files)
	}
	if err := b.closeFile(); err != nil {
		return err
	}
	if dir := filepath.Dir(p); dir != "." {
		if err := b.root.MkdirAll(dir, 0o755); err != nil {
			return fault.Wrap(err, fault.Invalid, "PATH_INVALID", "path %q is both a file and a folder", p)
		}
	}
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	f, err := b.root.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "PATH_INVALID", "path %q comes twice", p)
	}
	b.open = f
	return nil
}

func (b *inbox) closeFile() error {
	if b.open == nil {
		return nil
	}
	err := b.open.Close()
	b.open = nil
	return err
}

func (b *inbox) remove() error {
	return errors.Join(b.closeFile(), b.root.Close(), os.RemoveAll(b.dir))
}
