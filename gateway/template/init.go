package template

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"nullius.dev/kit/fault"
)

// Reasons of this package's faults.
const (
	ReasonInvalid   = "TEMPLATE_INVALID" // the template has errors; violations list them
	ReasonPreflight = "PREFLIGHT_FAILED" // the template is good, but not on this machine
	ReasonExists    = "TEMPLATE_EXISTS"  // Init would write over something
	ReasonWrite     = "TEMPLATE_WRITE"   // the folder cannot be written
)

//go:embed all:starter
var starter embed.FS

// Init writes a starter template that needs only Python's standard library into
// a folder that is empty or not there yet.
func Init(dir string) error {
	source, err := fs.Sub(starter, "starter")
	if err != nil {
		return fmt.Errorf("embedded starter: %w", err)
	}
	return InitFrom(dir, source)
}

// InitFrom writes a copy of a template, without its runs, into a folder that is
// empty or not there yet.
func InitFrom(dir string, source fs.FS) error {
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return fault.New(fault.Exists, ReasonExists, "%s is not empty", dir).WithNext("name another folder")
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fault.Wrap(err, fault.Precondition, ReasonWrite, "%s cannot be written: %s", dir, reason(err)).WithNext("name another folder")
	}
	err = fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != "." && (Ignored(name) || GlobMatch("run_*", name)):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(dir, filepath.FromSlash(name)), 0o755)
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is a link or a special file, of which a template has none", name)
		}
		return copyFile(filepath.Join(dir, filepath.FromSlash(name)), source, name)
	})
	if err != nil {
		return fault.Wrap(err, fault.Precondition, ReasonWrite, "%s cannot be written: %s", dir, reason(err)).WithNext("name another folder")
	}
	return nil
}

// Refusal turns the errors of a template into one fault with a violation each; nil when there is none.
func Refusal(name string, findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	return refusal(fault.Invalid, ReasonInvalid, "", name, findings)
}

// Stop turns the findings that stop a study on this machine into one fault with a violation each; pass what Blocking gives.
func Stop(name string, findings []Finding) error {
	if len(Errors(findings)) > 0 {
		return Refusal(name, findings)
	}
	return refusal(fault.Precondition, ReasonPreflight, "the study cannot start here, nothing was spent: ", name, findings)
}

// maxViolations bounds what travels: peers may refuse trailers over 8 KiB. The command that is named next lists all.
const maxViolations = 20

func refusal(kind fault.Kind, reason, what, name string, findings []Finding) error {
	message := fmt.Sprintf("%stemplate %s: %s", what, name, findings[0])
	if n := len(findings) - 1; n > 0 {
		message += fmt.Sprintf(" (and %d more)", n)
	}
	e := fault.New(kind, reason, "%s", message).WithNext("nullius template check " + name)
	for _, f := range findings[:min(len(findings), maxViolations)] {
		e = e.WithField(f.Place(), f.Rule+": "+f.Text())
	}
	return e
}
