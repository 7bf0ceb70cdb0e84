package failure

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// frame is one level of a Python traceback.
type frame struct {
	path     string // as the project names it, or as printed
	line     int
	function string
	project  bool
	folder   string // what stood before the project's name, with its last slash
}

// trace is one exception with its frames.
type trace struct {
	frames  []frame
	typ     string
	message string
	linked  bool // raised while the one before it was handled, or because of it
	remote  bool // raised in another process, which sent its text
	side    bool // of a thread, a task, a clean-up: the program did not end by it
}

var (
	// loguru marks the frame that caught the exception.
	frameRE = regexp.MustCompile(`^(?:\s+|> )File "([^"]+)", line (\d+)(?:, in (.+))?$`)
	// faulthandler has no comma before the function.
	fatalFrameRE = regexp.MustCompile(`^\s+File "([^"]+)", line (\d+) in (.+)$`)
	exceptionRE  = regexp.MustCompile(`^((?:(?:[\pL_][\pL\pN_]*|<locals>)\.)*[\pL_][\pL\pN_]*)(?:: ?(.*))?$`)
	// faulthandler.dump_traceback_later says so before it ends the program.
	watchdogRE = regexp.MustCompile(`^Timeout \(([0-9:.]+)\)!$`)
)

const (
	traceHead = "Traceback (most recent call last):"
	fatalHead = "Fatal Python error: "
	maxTraces = 20
	maxFrames = 4 // project frames that are shown with their code
)

// sideHeads begin the line above a traceback by which the program did not end.
var sideHeads = []string{"Exception ignored ", "Exception in thread ", "Task exception was never retrieved", "future: <", "task: <", "handle: <", "--- Logging error ---"}

// remoteQuote stands above and below the traceback that another process sent.
const remoteQuote = `"""`

// tracebacks reads the exceptions of an output, causes first, and the one that ended the program last.
func tracebacks(lines []string, source func(string) []string) []trace {
	var all []trace
	remote := false
	for i := 0; i < len(lines); i++ {
		if lines[i] == remoteQuote {
			remote = !remote
			continue
		}
		if why, ok := strings.CutPrefix(lines[i], fatalHead); ok {
			t, next := readFatal(lines, i+1, why, source)
			all = append(all, t)
			i = max(i, next-1)
			continue
		}
		if m := watchdogRE.FindStringSubmatch(lines[i]); m != nil {
			t, next := readFatal(lines, i+1, m[1], source)
			t.typ = "Timeout"
			all = append(all, t)
			i = max(i, next-1)
			continue
		}
		isHead := strings.TrimSpace(lines[i]) == traceHead
		// A syntax error has frames but no head.
		if !isHead && frameRE.FindStringSubmatch(lines[i]) == nil {
			continue
		}
		t, next := readTrace(lines, i, isHead, source)
		t.remote = remote
		if i > 0 {
			t.linked = links(lines[i-1])
			t.side = slices.ContainsFunc(sideHeads, func(h string) bool { return strings.HasPrefix(lines[i-1], h) })
		}
		if t.typ != "" {
			all = append(all, t)
		}
		i = max(i, next-1)
	}
	if len(all) > maxTraces {
		all = all[len(all)-maxTraces:]
	}
	slices.SortStableFunc(all, func(a, b trace) int { // what ended the program goes last
		switch {
		case a.side == b.side:
			return 0
		case a.side:
			return -1
		}
		return 1
	})
	return all
}

// links says whether a line ties the traceback below it to the one above.
func links(l string) bool {
	return strings.HasPrefix(l, "During handling of") || strings.HasPrefix(l, "The above exception")
}

// origin is where the last exception of a chain was raised: in the process that sent it, or where it shows.
func origin(chain []trace) (frame, bool) {
	last := chain[len(chain)-1]
	if n := len(chain); n > 1 && last.linked && chain[n-2].remote && chain[n-2].typ == last.typ && chain[n-2].message == last.message {
		if f, ok := chain[n-2].deepest(); ok && f.project {
			return f, true
		}
	}
	return last.deepest()
}

// unreadableRE is how Python says that it could not even read a source; there is no frame then.
var unreadableRE = regexp.MustCompile(`^(SyntaxError): (.* in file (.+) on line (\d+).*)$`)

func unreadable(lines []string, source func(string) []string) []trace {
	if len(lines) == 0 {
		return nil
	}
	m := unreadableRE.FindStringSubmatch(lines[len(lines)-1])
	if m == nil {
		return nil
	}
	n, _ := strconv.Atoi(m[4])
	return []trace{{typ: m[1], message: m[2], frames: []frame{place(m[3], n, "", source)}}}
}

// threadRE begins the frames of a thread: the current one, or another.
var threadRE = regexp.MustCompile(`^(Current thread|Thread) 0x[0-9a-f]+.*\(most recent call first\):$`)

// readFatal reads what faulthandler prints when the interpreter itself dies: the frames, the deepest first. Of several threads the current one counts;
// where none is, the last, by which the program began.
func readFatal(lines []string, i int, why string, source func(string) []string) (trace, int) {
	t := trace{typ: strings.TrimSuffix(fatalHead, ": "), message: why}
	current, done := false, false
	for ; i < len(lines); i++ {
		if m := fatalFrameRE.FindStringSubmatch(lines[i]); m != nil {
			if n, _ := strconv.Atoi(m[2]); !done && len(t.frames) < 200 {
				t.frames = append([]frame{place(m[1], n, m[3], source)}, t.frames...)
			}
			continue
		}
		if m := threadRE.FindStringSubmatch(lines[i]); m != nil {
			if done = current; !done {
				t.frames, current = nil, m[1] == "Current thread"
			}
			continue
		}
		if len(t.frames) > 0 {
			break
		}
	}
	return t, i
}

func readTrace(lines []string, i int, isHead bool, source func(string) []string) (trace, int) {
	var t trace
	if isHead {
		i++
	}
	for ; i < len(lines); i++ {
		l := lines[i]
		if m := frameRE.FindStringSubmatch(l); m != nil {
			n, _ := strconv.Atoi(m[2])
			t.frames = append(t.frames, place(m[1], n, m[3], source))
			continue
		}
		if strings.HasPrefix(l, " ") || strings.HasPrefix(l, "\t") {
			continue // code, carets, "[Previous line repeated …]"
		}
		m := exceptionRE.FindStringSubmatch(l)
		if m == nil {
			return t, i
		}
		t.typ, t.message = strings.TrimPrefix(m[1], "__main__."), m[2]
		i++
		// A message may go on; a new traceback or a known sentence ends it.
		for k := 0; i < len(lines) && k < 6; k++ {
			l := strings.TrimSpace(lines[i])
			if l == traceHead || l == remoteQuote || links(l) || frameRE.MatchString(lines[i]) || slices.ContainsFunc(sideHeads, func(h string) bool { return strings.HasPrefix(l, h) }) {
				break
			}
			t.message += " " + l
			i++
		}
		return t, i
	}
	return t, i
}

// place finds the project's name of a file: a job sees it under some folder of its own.
func place(path string, line int, function string, source func(string) []string) frame {
	f := frame{path: path, line: line, function: function}
	if strings.Contains(path, "site-packages") || strings.Contains(path, "dist-packages") || strings.Contains(path, "/lib/python") || strings.HasPrefix(path, "<") {
		return f
	}
	rest := strings.TrimPrefix(strings.ReplaceAll(path, "\\", "/"), "./")
	for rest != "" {
		if source(rest) != nil {
			f.path, f.project, f.folder = rest, true, path[:max(0, len(path)-len(rest))]
			return f
		}
		_, after, ok := strings.Cut(rest, "/")
		if !ok {
			return f
		}
		rest = after
	}
	return f
}

// deepest is the project frame that is nearest to the exception, else the last frame.
func (t trace) deepest() (frame, bool) {
	for i := len(t.frames) - 1; i >= 0; i-- {
		if t.frames[i].project {
			return t.frames[i], true
		}
	}
	if n := len(t.frames); n > 0 {
		f := t.frames[n-1]
		f.path = f.path[strings.LastIndexAny(f.path, `/\`)+1:]
		return f, true
	}
	return frame{}, false
}

func (t trace) describe(source func(string) []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", t.typ, clip(oneLine(t.message), 400))
	var own []frame
	library, last := 0, frame{}
	for _, f := range t.frames {
		if f.project {
			own = append(own, f)
		} else {
			library, last = library+1, f
		}
	}
	if len(own) > maxFrames {
		fmt.Fprintf(&b, "(%d outer frames of the project left out)\n", len(own)-maxFrames)
		own = own[len(own)-maxFrames:]
	}
	for _, f := range own {
		in := ""
		if f.function != "" {
			in = ", in " + clip(f.function, 80)
		}
		fmt.Fprintf(&b, "%s line %d%s:\n%s", f.path, f.line, in, around(source(f.path), f.line))
	}
	if library > 0 {
		fmt.Fprintf(&b, "(%d frames of libraries; the deepest is %s line %d)\n", library, clip(last.path, 120), last.line)
	}
	return b.String()
}

// around shows a line with two before and after.
func around(lines []string, n int) string {
	var b strings.Builder
	for i := max(1, n-2); i <= min(len(lines), n+2); i++ {
		mark := "  "
		if i == n {
			mark = "> "
		}
		fmt.Fprintf(&b, "%s%s\n", mark, clip(strings.TrimRight(lines[i-1], "\r"), 200))
	}
	return b.String()
}
