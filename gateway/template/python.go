package template

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"nullius.dev/kit/fault"
	"nullius.dev/kit/sandbox"
)

// python checks the scripts without running them.
func (c *checker) python() {
	c.declaredTimes()
	sources := map[string]*pySource{}
	experiment := c.script("experiment.py", "the experiment", false, sources)
	plot := c.script("plot.py", "the script that draws the figures", true, sources)
	for _, name := range mapKeys(c.files) {
		if path.Ext(name) == ".py" && sources[name] == nil && !strings.HasPrefix(name, "run_") && strings.Count(name, "/") <= 2 {
			if data, ok := c.text(name); ok {
				c.source(name, data, sources)
			}
		}
	}
	c.syntax(sources)
	if experiment != nil {
		c.arguments(experiment, sources)
	}
	if plot != nil {
		c.figures(plot, sources)
	}
	c.relativeImports(experiment, plot)
	c.practice(sources)
	c.modules(sources)
}

func (c *checker) script(name, what string, mayBeBlank bool, sources map[string]*pySource) *pySource {
	if mayBeBlank && c.foreign && !c.has(name) && !c.dirs[name] && c.caseTwin(name) == "" && !c.reported(name) {
		c.t.EmptyPlot = true
		c.warn(Finding{Rule: "plot.empty", Path: name, Found: "no such file", Expected: what, Fix: "nothing: it is written during the study"})
		return nil
	}
	data, ok := c.required(name, what, mayBeBlank)
	if !ok {
		return nil
	}
	if mayBeBlank && len(bytes.TrimSpace(data)) == 0 {
		c.t.EmptyPlot = true
		c.warn(Finding{Rule: "plot.empty", Path: name, Line: 1, Found: "an empty file", Expected: what, Fix: "nothing: it is written during the study"})
		return nil
	}
	return c.source(name, data, sources)
}

func (c *checker) source(name string, data []byte, sources map[string]*pySource) *pySource {
	s := scanPython(name, data)
	sources[name] = s
	return s
}

// Syntax is what a parser says of one source.
type Syntax struct {
	Line    int    // of the first error
	Message string // empty: it parses
	Err     error  // the parser did not answer
}

// syntax has all sources parsed.
func (c *checker) syntax(sources map[string]*pySource) {
	if c.o.ParsePython == nil || len(sources) == 0 {
		return
	}
	data := map[string][]byte{}
	for name, s := range sources {
		data[name] = s.data
	}
	said := c.o.ParsePython(data)
	unchecked := map[string][]string{} // the files that one trouble left unchecked
	for _, name := range mapKeys(sources) {
		found := said[name]
		switch {
		case found.Err != nil:
			unchecked[found.Err.Error()] = append(unchecked[found.Err.Error()], name)
		case found.Message != "":
			f := Finding{Rule: "python.syntax", Path: name, Line: found.Line, Found: quote(found.Message), Expected: "Python 3"}
			if name == "experiment.py" || name == "plot.py" {
				c.add(f)
			} else {
				c.strict(f) // a foreign template may carry files that nothing imports
			}
		}
	}
	for _, trouble := range mapKeys(unchecked) {
		names := unchecked[trouble]
		found := "no answer about its syntax, which may be sound: "
		if len(names) > 1 {
			found = fmt.Sprintf("no answer about the syntax of this and %d more files, which may be sound: ", len(names)-1)
		}
		c.warn(Finding{Rule: "python.unchecked", Path: names[0], Found: found + quote(trouble), Expected: "a check of the syntax",
			Fix: "the check again; if it stays, nullius doctor"})
	}
}

var (
	addArgument   = regexp.MustCompile(`\badd_argument\s*\(`)
	addGroup      = regexp.MustCompile(`\badd_(subparsers|mutually_exclusive_group)\s*\(`)
	requiredTrue  = regexp.MustCompile(`\brequired\s*=\s*True\b`)
	nargs         = regexp.MustCompile(`\bnargs\s*=\s*([A-Za-z_.]*)`)
	optionalNargs = regexp.MustCompile(`(OPTIONAL|ZERO_OR_MORE|REMAINDER)$`)
	notebook      = regexp.MustCompile(`^\s*\{[^=]*"(cells|nbformat)"\s*:`)
	outDirAlias   = regexp.MustCompile(`--(out-dir|outdir|output_dir|output-dir|output|out)$`)
)

// arguments checks that `python experiment.py --out_dir=run_i` can work.
func (c *checker) arguments(experiment *pySource, sources map[string]*pySource) {
	found, alias, aliasAt := false, "", pyString{}
	for _, s := range readBy(experiment, sources) {
		for _, str := range s.strings {
			found = found || str.text == "--out_dir" || strings.HasPrefix(str.text, "--out_dir=")
			if alias == "" && s == experiment && outDirAlias.MatchString(str.text) {
				alias, aliasAt = str.text, str
			}
		}
		found = found || derivesArguments(s)
	}
	c.otherArguments(experiment)
	if found {
		return
	}
	f := Finding{Rule: "experiment.out-dir", Path: experiment.name, Line: 1, Found: "no --out_dir",
		Expected: "the argument --out_dir, the folder for the results", Fix: `parser.add_argument("--out_dir", default="run_0")`}
	if notebook.Match(experiment.data) {
		f.Found, f.Expected, f.Fix = "a Jupyter notebook", "a Python script with the argument --out_dir", "jupyter nbconvert --to script, then the argument"
	}
	if alias != "" {
		f.Found = quote(alias)
		f = at(f, experiment.data, aliasAt.offset)
	}
	c.add(f)
}

// readBy gives a script and what it imports from the template itself, modules and all files of packages, one step deep: arguments are often read there.
func readBy(script *pySource, sources map[string]*pySource) []*pySource {
	read := []*pySource{script}
	for _, name := range mapKeys(sources) {
		s := sources[name]
		if s != script && slices.ContainsFunc(script.imports, func(i pyImport) bool {
			return name == i.module+".py" || strings.HasPrefix(name, i.module+"/")
		}) {
			read = append(read, s)
		}
	}
	return read
}

var outDirWord = regexp.MustCompile(`\bout_dir\b`)

// derivesArguments recognises libraries that make --out_dir from a name in the code.
func derivesArguments(s *pySource) bool {
	return outDirWord.Match(s.masked) && slices.ContainsFunc(s.imports, func(i pyImport) bool {
		return slices.Contains([]string{"click", "fire", "tyro", "typer", "simple_parsing", "jsonargparse", "tap", "absl"}, i.module)
	})
}

// otherArguments refuses arguments that the command line does not give.
func (c *checker) otherArguments(s *pySource) {
	for _, m := range addArgument.FindAllIndex(s.masked, -1) {
		end := closing(s.masked, m[1])
		call := s.masked[m[1]:end]
		var names []string
		for _, str := range s.strings {
			// Names come first; strings after a keyword are help and choices.
			if str.offset >= m[1] && str.offset < end && !bytes.Contains(s.masked[m[1]:str.offset], []byte("=")) {
				names = append(names, str.text)
			}
		}
		if len(names) == 0 || slices.Contains(names, "--out_dir") {
			continue
		}
		positional := !strings.HasPrefix(names[0], "-")
		if requiredTrue.Match(call) || positional && !s.mayBeMissing(call, m[1]) {
			c.requiredArgument(s, m[0], quote(names[0]))
		}
	}
	for _, m := range addGroup.FindAllSubmatchIndex(s.masked, -1) {
		if requiredTrue.Match(s.masked[m[1]:closing(s.masked, m[1])]) {
			c.requiredArgument(s, m[0], strings.ReplaceAll(string(s.masked[m[2]:m[3]]), "_", " "))
		}
	}
}

func (c *checker) requiredArgument(s *pySource, offset int, name string) {
	c.add(at(Finding{Rule: "experiment.required-argument", Path: s.name, Found: "the required argument " + name,
		Expected: "no required argument but --out_dir", Fix: `an option with a default, such as "--data"`}, s.data, offset))
}

// mayBeMissing tells whether a positional argument, of a call that begins at an offset, may be left out: only some counts allow that, and a default alone does not.
func (s *pySource) mayBeMissing(call []byte, offset int) bool {
	m := nargs.FindSubmatchIndex(call)
	if m == nil {
		return false
	}
	for _, str := range s.strings {
		if str.offset >= offset+m[0] {
			return str.offset <= offset+m[1] && (str.text == "?" || str.text == "*") || optionalNargs.Match(call[m[2]:m[3]])
		}
	}
	return optionalNargs.Match(call[m[2]:m[3]])
}

// closing returns the offset of the bracket that closes a call, or the end.
func closing(masked []byte, from int) int {
	depth := 1
	for i := from; i < len(masked); i++ {
		switch masked[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(masked)
}

var figureCall = regexp.MustCompile(`\b(savefig|imsave|write_image|save)\s*\(`)

func (c *checker) figures(plot *pySource, sources map[string]*pySource) {
	draws := slices.ContainsFunc(readBy(plot, sources), func(s *pySource) bool { return figureCall.Match(s.masked) })
	for _, s := range plot.strings {
		draws = draws || strings.HasSuffix(s.text, ".png") || strings.HasSuffix(s.text, ".pdf")
	}
	if !draws {
		c.warn(Finding{Rule: "plot.no-figure", Path: plot.name, Line: 1, Found: "no figure that is saved", Expected: "PNG or PDF files in the template's root"})
	}
}

// modules lists what must be importable: as declared, else as found in imports.
func (c *checker) modules(sources map[string]*pySource) {
	places := map[string]Finding{}
	local := c.localModules(sources)
	for _, name := range mapKeys(sources) {
		s := sources[name]
		for _, imported := range s.imports {
			if !imported.optional && !local(imported.module, name) && !standardModule(imported.module) {
				if _, ok := places[imported.module]; !ok {
					places[imported.module] = at(Finding{Path: name}, s.data, imported.offset)
				}
			}
		}
	}
	for _, module := range mapKeys(places) {
		if file := module + ".py"; slices.Contains(c.t.Editable, file) || slices.Contains(c.t.Protected, file) {
			c.add(Finding{Rule: "file.missing", Path: file, Found: "no such file", Expected: "the module that " + places[module].Place() + " imports"})
			delete(places, module)
		}
	}
	if c.t.Python.Declared {
		for _, module := range mapKeys(places) {
			if !slices.ContainsFunc(c.t.Python.Modules, func(m string) bool { return topModule(m) == module }) {
				f := places[module]
				f.Rule, f.Found, f.Expected = "python.undeclared", "an import of "+quote(module), "every module under python.modules"
				c.warn(f)
			}
		}
	} else {
		c.t.Python.Modules = mapKeys(places)
	}
	if c.o.MissingModules == nil || c.t.Python.Requirements != "" { // packages of requirements are installed before the first run and tried there
		return
	}
	missing, err := c.o.MissingModules(c.t.Python.Modules)
	if err == nil && len(missing) == 0 {
		c.version()
	}
	switch {
	case fault.ReasonOf(err) == sandbox.ReasonNoPython:
		c.warn(Finding{Rule: "python.interpreter", BlocksStart: true, Path: "experiment.py", Found: quote(err.Error()), Expected: "one of Python 3", Fix: fault.NextOf(err)})
		return
	case err != nil:
		c.warn(Finding{Rule: "python.unchecked", Path: "experiment.py", Found: "an interpreter that did not answer", Expected: "a check of its modules", Fix: "nullius doctor"})
		return
	}
	for _, module := range missing {
		f := Finding{Rule: "python.module", BlocksStart: true, Path: "experiment.py"}
		if place, ok := places[topModule(module)]; ok {
			f.Path, f.Line, f.Column = place.Path, place.Line, place.Column
		}
		f.Found, f.Expected, f.Fix = "a module that cannot be imported here: "+quote(module), "every module the template imports", installHint(module)
		if len(c.t.Debian) > 0 {
			f.Fix = "nullius template prepare " + c.o.Name + " --install, or " + f.Fix
		}
		c.warn(f)
	}
}

// version compares the interpreter that has all modules with the least one that template.yaml asks for.
func (c *checker) version() {
	if c.o.PythonVersion == nil || c.t.Python.Min == "" {
		return
	}
	if have := c.o.PythonVersion(c.t.Python.Modules); have != "" && olderVersion(have, c.t.Python.Min) {
		c.warn(Finding{Rule: "python.version", BlocksStart: true, Path: settingsFile, Found: "Python " + have, Expected: "Python " + c.t.Python.Min + " or later",
			Fix: "nullius doctor"})
	}
}

// olderVersion compares dotted numbers; what is no number counts as 0.
func olderVersion(have, least string) bool {
	a, b := strings.Split(have, "."), strings.Split(least, ".")
	for i := range b {
		x := 0
		if i < len(a) {
			x, _ = strconv.Atoi(a[i])
		}
		if y, _ := strconv.Atoi(b[i]); x != y {
			return x < y
		}
	}
	return false
}

var searchPath = regexp.MustCompile(`\bsys\s*\.\s*path\s*(\.\s*(append|insert|extend)\s*\(|\+?=|\[)`)

// localModules gives a function that tells whether a module lies in the template: at its root, beside the importer or, where a script adds folders to Python's
// search path, in any of them.
func (c *checker) localModules(sources map[string]*pySource) func(module, importer string) bool {
	anywhere := map[string]bool{}
	for _, s := range sources {
		if !searchPath.Match(s.masked) {
			continue
		}
		for file := range c.files {
			if module, ok := strings.CutSuffix(path.Base(file), ".py"); ok {
				anywhere[module] = true
			}
		}
		for dir := range c.dirs {
			anywhere[path.Base(dir)] = true
		}
		break
	}
	return func(module, importer string) bool {
		for _, dir := range []string{".", path.Dir(importer)} {
			p := path.Join(dir, module)
			if c.has(p+".py") || c.dirs[p] {
				return true
			}
		}
		return anywhere[module]
	}
}

func topModule(m string) string { top, _, _ := strings.Cut(m, "."); return top }
