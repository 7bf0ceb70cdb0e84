package gateway_test

import (
	"errors"
	"io"
	"testing"

	"nullius.dev/kit/fault"
	gatewayv1 "nullius.dev/proto/gen/nullius/gateway/v1"
)

// TestTemplateFiles: an uploaded template can be read file by file; what is not there is refused with a reason.
func TestTemplateFiles(t *testing.T) {
	w := newWorld(t)
	files := toy()
	files["tools/more.py"] = "x = 1\n"
	if _, err := w.upload("read_me", files); err != nil {
		t.Fatal(err)
	}
	l, err := w.api.ListFiles(t.Context(), &gatewayv1.ListFilesRequest{Parent: "templates/read_me"})
	if err != nil || len(l.GetFiles()) != len(files) {
		t.Fatalf("%d files, want %d: %v", len(l.GetFiles()), len(files), err)
	}
	read := func(name string) (string, error) {
		s, err := w.api.ReadFile(t.Context(), &gatewayv1.ReadFileRequest{Name: name})
		for text := ""; ; {
			if err != nil {
				return text, err
			}
			var m *gatewayv1.ReadFileResponse
			if m, err = s.Recv(); errors.Is(err, io.EOF) {
				return text, nil
			}
			text += string(m.GetData())
		}
	}
	for _, f := range l.GetFiles() {
		if text, err := read("templates/read_me/files/" + f.GetPath()); err != nil || text != files[f.GetPath()] || f.GetSizeBytes() != int64(len(text)) || f.GetExecutable() {
			t.Errorf("%v holds %q: %v", f, text, err)
		}
	}
	for name, reason := range map[string]string{
		"templates/read_me/files/none.py": "FILE_UNKNOWN", "templates/none/files/plot.py": "TEMPLATE_UNKNOWN", "templates/read_me": "NAME_INVALID", "templates/a b/files/plot.py": "NAME_INVALID",
		"templates/read_me/blobs/plot.py": "NAME_INVALID", "templates/read_me/files/../plot.py": "FILE_UNKNOWN",
	} {
		if _, err := read(name); fault.ReasonOf(err) != reason {
			t.Errorf("%s: %v, want %s", name, err, reason)
		}
	}
	if _, err := w.api.ListFiles(t.Context(), &gatewayv1.ListFilesRequest{Parent: "templates/none"}); fault.ReasonOf(err) != "TEMPLATE_UNKNOWN" {
		t.Errorf("a template that is not there: %v", err)
	}
}
