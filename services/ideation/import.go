package ideation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"nullius.dev/kit/fault"

	"nullius.dev/services/ideation/internal/importer"
	"nullius.dev/services/ideation/internal/index"
	"nullius.dev/services/ideation/internal/paper"
)

// Imported says what a file of papers held.
type Imported struct {
	File    string         `json:"file"`
	Forms   map[string]int `json:"forms"`  // papers by form
	New     int            `json:"new"`    // papers that the list did not have
	Merged  int            `json:"merged"` // papers that it had, with what is new in them
	Dropped int            `json:"dropped"`
	Issues  []string       `json:"issues,omitempty"` // the first 20
	Total   int            `json:"total"`            // papers of the list afterwards
}

// Import puts the papers of a file into the user's list, which is made if need be. It may run while a service uses the list.
// An empty source is the file's name. Fails with FIELD_INVALID for a file that cannot be read, or that holds no paper.
func Import(ctx context.Context, list, file, source, licence string) (_ Imported, err error) {
	out := Imported{File: file}
	in, err := os.Open(file)
	if err != nil {
		return out, fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "%s cannot be opened: %s", file, plainly(err)).WithNext("nullius literature import --help")
	}
	defer func() { _ = in.Close() }() // it was only read
	if err := os.MkdirAll(filepath.Dir(list), 0o700); err != nil {
		return out, fault.Wrap(err, fault.Exhausted, "STORAGE_UNUSABLE", "the folder of the list of papers cannot be made")
	}
	x, err := index.Open(ctx, list)
	if err != nil {
		return out, fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "%s is no list of papers: %v", list, err).WithNext("nullius literature import --index FILE")
	}
	defer func() {
		if e := x.Close(); err == nil {
			err = e
		}
	}()
	if source == "" {
		source = filepath.Base(file)
	}
	s := &sink{x: x, source: source}
	rep, err := importer.Read(ctx, in, s)
	out.Forms, out.Dropped, out.New, out.Merged = rep.Forms, rep.Dropped+s.added.Skipped, s.added.New, s.added.Merged
	for _, i := range rep.Issues {
		out.Issues = append(out.Issues, lineIssue(i.Line, i.Text))
	}
	if err != nil {
		return out, fault.Wrap(err, fault.Invalid, "FIELD_INVALID", "%s was read up to an error: %s", file, plainly(err)).WithNext("nullius literature import FILE")
	}
	if len(rep.Forms) == 0 {
		why := "it holds no entry"
		if info, err := in.Stat(); err == nil && info.Size() == 0 {
			why = "it is empty"
		}
		if len(out.Issues) > 0 {
			why = out.Issues[0]
		}
		return out, fault.New(fault.Invalid, "FIELD_INVALID", "%s holds no paper that can be read: %s", file, why).
			WithNext("nullius literature import FILE with BibTeX, CSL-JSON or JSON lines")
	}
	if err := x.Describe(ctx, source, licence, s.added.New+s.added.Merged); err != nil {
		return out, err
	}
	out.Total, err = x.Count(ctx)
	return out, err
}

// plainly is why a file cannot be used, without its path.
func plainly(err error) string {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

func lineIssue(line int, text string) string { return fmt.Sprintf("line %d: %s", line, text) }

// sink puts what is read into a list.
type sink struct {
	x      *index.Index
	source string
	added  index.Added
}

func (s *sink) Papers(ctx context.Context, papers []paper.Paper) error {
	a, err := s.x.Add(ctx, s.source, papers)
	s.added.New += a.New
	s.added.Merged += a.Merged
	s.added.Skipped += a.Skipped
	return err
}

func (s *sink) Abstracts(ctx context.Context, of map[string]string) error {
	_, err := s.x.Abstracts(ctx, paper.SemanticScholar, of)
	return err
}
