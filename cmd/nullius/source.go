package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
	"nullius.dev/templates"
)

// reasonTemplateUnknown is of a name that no template has.
const reasonTemplateUnknown = "TEMPLATE_UNKNOWN"

// bundledPrefix before a name means the bundled template, whatever else has that name.
const bundledPrefix = "bundled/"

// source is where the files of a template are.
type source struct {
	arg       string // as it was asked for
	dir, name string
	bundled   bool         // they came with this command line
	explicit  bool         // asked for as bundled/NAME
	remove    func() error // to be called when they are no longer needed
}

// templateFolder finds a template: a folder, or the name of a bundled one. remove is to be called when it is no longer needed.
func templateFolder(arg string) (dir, name string, remove func() error, err error) {
	none := func() error { return nil }
	if isFolder(arg) {
		abs, err := filepath.Abs(arg)
		return abs, templateName(filepath.Base(abs)), none, err
	}
	name = nameOf(arg)
	files, ok := bundled(name)
	if !ok {
		return "", "", none, fault.New(fault.NotFound, reasonTemplateUnknown, "%s is neither a folder nor a bundled template (%s)", arg, strings.Join(templates.Names(), ", ")).
			WithNext("nullius template init DIR")
	}
	dir, err = os.MkdirTemp("", "nullius-template-*")
	if err != nil {
		return "", "", none, err
	}
	remove = func() error { return os.RemoveAll(dir) }
	return dir, name, remove, unpack(dir, files)
}

// refusal says what is wrong with a template, and how it is checked as it was asked for: its name alone may not find it. Nil without findings.
func (s source) refusal(findings []template.Finding) error {
	err := template.Refusal(s.name, findings)
	if e, ok := fault.As(err); ok && s.arg != "" {
		return e.WithNext("nullius template check " + shellWord(s.arg))
	}
	return err
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./][A-Za-z0-9_./@%+,:=-]*$`)

// shellWord writes a path so that a shell, and the command that it is given to, takes it for one.
func shellWord(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	if plainWord.MatchString(path) {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// nameOf drops what may stand before a template's name.
func nameOf(arg string) string {
	return strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(arg, "/"), "templates/"), bundledPrefix)
}

// findTemplate finds a template as findSource does.
func (c *cli) findTemplate(ctx context.Context, arg string) (dir, name string, remove func() error, err error) {
	s, err := c.findSource(ctx, arg)
	return s.dir, s.name, s.remove, err
}

// findSource finds a template: a folder, else what somebody added to the server, if one answers, else a bundled one. Where one name has two, it says which it
// takes.
func (c *cli) findSource(ctx context.Context, arg string) (source, error) {
	s := source{arg: arg}
	var err error
	s.dir, s.name, s.remove, err = templateFolder(arg)
	switch {
	case err != nil && fault.ReasonOf(err) != reasonTemplateUnknown:
		return s, err
	case err == nil && isFolder(arg):
		if _, twin := bundled(arg); twin {
			c.note("%s is the folder here; %s%s names the bundled template", arg, bundledPrefix, arg)
		}
		return s, nil
	case err == nil:
		s.bundled, s.explicit = true, strings.HasPrefix(arg, bundledPrefix)
	}
	if s.explicit || !reachable(c.address) {
		return s, err
	}
	if s.bundled {
		if !c.addedOverBundled(ctx, s.name) {
			return s, nil
		}
		if err := s.remove(); err != nil {
			return source{}, err
		}
	}
	return c.fromServer(ctx, arg)
}

// fromServer fetches the files that were uploaded last under a name.
func (c *cli) fromServer(ctx context.Context, arg string) (source, error) {
	none := func() error { return nil }
	dir, err := os.MkdirTemp("", "nullius-template-*")
	if err != nil {
		return source{remove: none}, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	name := nameOf(arg)
	err = c.with(ctx, func(cl *client) error { return cl.download(ctx, "templates/"+name, dir) })
	if err != nil {
		err = errors.Join(err, remove())
		if r := fault.ReasonOf(err); r == reasonTemplateUnknown || r == "NAME_INVALID" {
			err = fault.New(fault.NotFound, reasonTemplateUnknown, "%s is neither a folder nor a template that is bundled (%s) or known to the server at %s", arg, strings.Join(templates.Names(), ", "), c.address).
				WithNext("nullius list templates, or nullius template init DIR")
		}
		return source{remove: none}, err
	}
	return source{arg: arg, dir: dir, name: name, remove: remove}, nil
}

// note says something once, however often a command comes by.
func (c *cli) note(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	if c.noted[text] {
		return
	}
	if c.noted == nil {
		c.noted = map[string]bool{}
	}
	c.noted[text] = true
	fmt.Fprintln(c.err, "note:", text)
}

// addedOverBundled tells whether somebody added a template of a bundled one's name to the server at --address, and says so. A server that does not answer
// in time, or is none of ours, has none.
func (c *cli) addedOverBundled(ctx context.Context, name string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var t *gatewayv1.Template
	err := c.with(ctx, func(cl *client) error {
		t = cl.added(ctx, name)
		return nil
	})
	if err != nil || t == nil {
		return false
	}
	c.noteAdded(t, name)
	return true
}

func (c *cli) noteAdded(t *gatewayv1.Template, name string) {
	c.note("%s is the template that was added to the server on %s; %s%s names the bundled one", name, t.GetUploaded().AsTime().Local().Format(time.DateTime), bundledPrefix, name)
}

// added gives the template of a name that somebody added to the server; nil where there is none, or only the copy of a bundled one.
func (cl *client) added(ctx context.Context, name string) *gatewayv1.Template {
	got, err := cl.GetTemplate(ctx, &gatewayv1.GetTemplateRequest{Name: "templates/" + name})
	if err != nil || got.GetTemplate().GetBundled() {
		return nil
	}
	return got.GetTemplate()
}

// besideAdded gives a bundled template another name on a server to which somebody added one of its name: that one stays.
func (c *cli) besideAdded(ctx context.Context, cl *client, src source) source {
	if src.bundled && cl.added(ctx, src.name) != nil {
		c.note("the bundled %s is %s-bundled on this server, where somebody's own has its name", src.name, src.name)
		src.name += "-bundled"
	}
	return src
}

// uploadTemplate sends somebody's own folder.
func (cl *client) uploadTemplate(ctx context.Context, dir, name string) (*gatewayv1.UploadTemplateResponse, error) {
	return cl.upload(ctx, source{dir: dir, name: name})
}

// upload sends a template that keeps the contract; the server checks it again, and its Python too.
func (cl *client) upload(ctx context.Context, src source) (*gatewayv1.UploadTemplateResponse, error) {
	if _, findings := template.Load(os.DirFS(src.dir), template.Options{Name: src.name}); len(template.Errors(findings)) > 0 {
		return nil, src.refusal(template.Errors(findings))
	}
	s, err := cl.UploadTemplate(ctx)
	if err != nil {
		return nil, err
	}
	header := &gatewayv1.TemplateHeader{Name: src.name, Bundled: src.bundled}
	if err := s.Send(&gatewayv1.UploadTemplateRequest{Part: &gatewayv1.UploadTemplateRequest_Header{Header: header}}); err != nil {
		return nil, err
	}
	err = sendFolder(src.dir, notTemplate, func(c *gatewayv1.FileChunk) error {
		return s.Send(&gatewayv1.UploadTemplateRequest{Part: &gatewayv1.UploadTemplateRequest_Chunk{Chunk: c}})
	})
	if err != nil && !errors.Is(err, io.EOF) { // EOF: the server has refused; its answer says why
		return nil, err
	}
	return s.CloseAndRecv()
}
