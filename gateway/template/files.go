package template

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxText bounds a file that is parsed: the coder edits none above it either.
const maxText = 2 << 20

// Limits of names, as for every path that the blob store takes.
const (
	maxSegment = 255
	maxPath    = 4096
)

// coreFiles are those that a study cannot do without.
var coreFiles = []string{"experiment.py", "plot.py", "prompt.json", "seed_ideas.json"}

// checker walks through one template; its files share the report.
type checker struct {
	report
	fsys   fs.FS
	o      Options
	limits Limits
	t      *Template
	files  map[string]int64 // regular files and their sizes
	dirs   map[string]bool
	total  int64
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$`)

func (c *checker) name() {
	if c.o.Name != "" && !namePattern.MatchString(c.o.Name) {
		c.add(Finding{Rule: "template.name", Found: quote(c.o.Name),
			Expected: "letters, digits, - and _, at most 63, not beginning with -", Fix: quote(slug(c.o.Name))})
	}
}

func (c *checker) has(name string) bool { _, ok := c.files[name]; return ok }

// earlierRun is the folder of a run that a study made: only run_0 comes with a template.
var earlierRun = regexp.MustCompile(`^run_[1-9][0-9]*$`)

// Ignored reports whether a file or folder, by its path in the template, is no part
// of it: version control, byte code, virtual environments, editors' leavings, and
// runs of earlier studies, which would be drawn as if they had been measured now.
func Ignored(name string) bool {
	if earlierRun.MatchString(name) {
		return true
	}
	switch path.Base(name) {
	case ".git", ".hg", ".svn", "__pycache__", ".venv", "venv", ".ipynb_checkpoints", ".DS_Store",
		".mypy_cache", ".pytest_cache", ".ruff_cache", ".idea", ".vscode":
		return true
	}
	return strings.HasSuffix(name, ".pyc")
}

// walk lists the tree without following links and checks names, kinds and sizes.
func (c *checker) walk() {
	c.files, c.dirs = map[string]int64{}, map[string]bool{}
	folded := map[string]string{}
	err := fs.WalkDir(c.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			c.add(Finding{Rule: "file.unreadable", Path: cleanPath(name), Found: quote(reason(err)), Expected: "a file that can be read"})
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case name == ".":
			return nil
		case Ignored(name):
			if d.IsDir() {
				c.leftOver(name)
				return fs.SkipDir
			}
			return nil
		}
		if !c.nameFits(name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if twin, ok := folded[strings.ToLower(name)]; ok {
			c.strict(Finding{Rule: "file.twin", Path: name, Found: "a name that differs from " + quote(twin) + " only in case",
				Expected: "names that differ on every file system"})
		}
		folded[strings.ToLower(name)] = name
		if d.IsDir() {
			c.dirs[name] = true
			return nil
		}
		return c.file(name, d)
	})
	if err != nil {
		c.add(Finding{Rule: "file.unreadable", Found: quote(reason(err)), Expected: "a folder that can be read"})
	}
}

// leftOver tells once of runs that an earlier study left.
func (c *checker) leftOver(name string) {
	const rule = "run.left-over"
	if earlierRun.MatchString(name) && !slices.ContainsFunc(c.findings, func(f Finding) bool { return f.Rule == rule }) {
		c.warn(Finding{Rule: rule, Path: name, Found: "a run of an earlier study, which is left out", Expected: "no run but run_0", Fix: "removing it"})
	}
}

// file notes one file that is no folder; it ends the walk when there are too many.
func (c *checker) file(name string, d fs.DirEntry) error {
	if d.Type()&fs.ModeSymlink != 0 {
		c.add(Finding{Rule: "file.link", Path: name, Found: "a link", Expected: "a regular file: links could point outside the template",
			Fix: "a copy of what it points to"})
		return nil
	}
	if !d.Type().IsRegular() {
		c.add(Finding{Rule: "file.special", Path: name, Found: "a " + kindOf(d.Type()), Expected: "a regular file"})
		return nil
	}
	info, err := d.Info()
	if err != nil {
		c.add(Finding{Rule: "file.unreadable", Path: name, Found: quote(reason(err)), Expected: "a file that can be read"})
		return nil
	}
	if info.Size() > c.limits.FileBytes {
		c.add(Finding{Rule: "file.size", Path: name, Found: fmt.Sprintf("%d bytes", info.Size()),
			Expected: fmt.Sprintf("at most %d", c.limits.FileBytes), Fix: "declaring it under data: in template.yaml"})
	}
	c.files[name] = info.Size()
	before := c.total
	c.total += info.Size()
	if before <= c.limits.TotalBytes && c.total > c.limits.TotalBytes {
		c.add(Finding{Rule: "files.total", Found: "more than " + fmt.Sprint(c.limits.TotalBytes) + " bytes in all",
			Expected: "less", Fix: "declaring large files under data: in template.yaml"})
	}
	if len(c.files) > c.limits.Files {
		c.add(Finding{Rule: "files.count", Found: fmt.Sprintf("more than %d files", c.limits.Files), Expected: "fewer"})
		return fs.SkipAll
	}
	return nil
}

// nameFits refuses what cannot be a stored path.
func (c *checker) nameFits(name string) bool {
	base := path.Base(name)
	bad := Finding{Rule: "file.path", Path: cleanPath(name), Expected: "a short name of printable UTF-8 characters"}
	switch {
	case !utf8.ValidString(name):
		bad.Found = "a name that is not UTF-8"
	case strings.ContainsFunc(base, func(r rune) bool { return unicode.IsControl(r) || r == '\\' || unicode.Is(unicode.Bidi_Control, r) }):
		bad.Found = "control characters or a backslash in " + quote(base)
	case len(base) > maxSegment, len(name) > maxPath:
		bad.Found = fmt.Sprintf("a name of %d bytes, a path of %d", len(base), len(name))
		bad.Expected = fmt.Sprintf("at most %d and %d", maxSegment, maxPath)
	default:
		return true
	}
	c.add(bad)
	return false
}

// cleanPath makes a hostile path fit to be shown.
func cleanPath(name string) string {
	q := quote(name)
	return q[1 : len(q)-1]
}

func reason(err error) string {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err.Error() // without the machine's absolute path
	}
	return err.Error()
}

func kindOf(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "named pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// text reads a file that is to be parsed and checks its encoding. It reports
// false after adding a finding, or when the file is absent.
func (c *checker) text(name string) ([]byte, bool) {
	size, ok := c.files[name]
	if !ok {
		return nil, false
	}
	if size > maxText {
		c.add(Finding{Rule: "file.size", Path: name, Found: fmt.Sprintf("%d bytes", size), Expected: fmt.Sprintf("at most %d in a file that is read as text", maxText)})
		return nil, false
	}
	data, err := c.read(name, maxText)
	if err != nil {
		c.add(Finding{Rule: "file.unreadable", Path: name, Found: quote(reason(err)), Expected: "a file that can be read"})
		return nil, false
	}
	if at := badByte(data); at >= 0 {
		line, column := position(data, at)
		f := Finding{Rule: "file.encoding", Path: name, Line: line, Column: column, Found: fmt.Sprintf("the byte 0x%02x", data[at]),
			Expected: "UTF-8 text", Fix: "saving the file as UTF-8"}
		if c.foreign && !slices.Contains(coreFiles, name) {
			c.warn(f) // the writer reads latex/ as Latin-1, Python goes by a source's coding line
			return data, strings.HasPrefix(name, "latex/") || strings.HasSuffix(name, ".py")
		}
		c.add(f)
		return nil, false
	}
	if at := bytes.Index(data, []byte("\r\n")); at >= 0 {
		line, _ := position(data, at)
		c.warn(Finding{Rule: "file.crlf", Path: name, Line: line, Found: "CRLF line ends", Expected: "LF",
			Fix: "sed -i 's/\\r$//' " + name})
	}
	return data, true
}

// read returns a file's bytes, at most so many.
func (c *checker) read(name string, most int64) ([]byte, error) {
	f, err := c.fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: nothing is lost
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("it grew over %d bytes while it was read", most)
	}
	return data, err
}

// byteOrderMark is what some editors put before UTF-8. Python reads sources that begin with it, and no JSON that does.
var byteOrderMark = []byte("\ufeff")

// badByte finds the first byte that is not UTF-8, or a NUL; -1 if there is none.
func badByte(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == 0 || r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// required reads a file that every template has; it reports what is missing.
func (c *checker) required(name, what string, mayBeBlank bool) ([]byte, bool) {
	if !c.has(name) {
		f := Finding{Rule: "file.missing", Path: name, Found: "no such file", Expected: what, Fix: "nullius template init DIR for an example"}
		if c.dirs[name] {
			f.Found = "a folder"
		} else if twin := c.caseTwin(name); twin != "" {
			f.Found, f.Fix = "only "+quote(twin), "renaming it"
		}
		if !c.reported(name) {
			c.add(f)
		}
		return nil, false
	}
	data, ok := c.text(name)
	if ok && !mayBeBlank && len(bytes.TrimSpace(data)) == 0 {
		c.add(Finding{Rule: "file.empty", Path: name, Line: 1, Found: "an empty file", Expected: what})
		return nil, false
	}
	return data, ok
}

// reported tells whether a path was refused already, as a link is.
func (c *checker) reported(name string) bool {
	for _, f := range c.findings {
		if f.Path == name && f.Severity == Error {
			return true
		}
	}
	return false
}

func (c *checker) caseTwin(name string) string {
	for other := range c.files {
		if strings.EqualFold(other, name) {
			return other
		}
	}
	return ""
}

// slug turns a name into lower case, digits and underscores.
func slug(name string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
		if b.Len() >= 60 {
			break
		}
	}
	if s := strings.Trim(b.String(), "_"); s != "" {
		return s
	}
	return "my_idea"
}
