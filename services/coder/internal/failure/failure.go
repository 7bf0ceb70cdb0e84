// Package failure reads how an experiment failed from its end reason and its output, instead of cutting
// the output's tail: the last exception and its causes, the project's own frames with the code around them,
// what was printed last. It is pure.
package failure

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxText bounds the description of a failure.
const maxText = 3000

// Input is what is known of a failed try.
type Input struct {
	EndReason   string // of the executor; wins over the exit code, which a job can forge
	ExitCode    int
	Message     string // one line by the executor
	Stdout      []byte
	Stderr      []byte
	Smoke       bool
	TimeLimit   string // for people
	MissingKeys []string
	// Source gives the lines of a project file, nil for other files.
	Source func(path string) []string
}

// Failure is a try's end as the model is told it.
type Failure struct {
	// Signature is equal for failures that are the same to a person: type, file, function and the
	// message without numbers, paths and addresses.
	Signature string
	Text      string
	Type      string // ValueError, or the end reason
	File      string
	Line      int // 0: unknown
	Function  string
	Message   string
}

// Parse never fails: what it cannot read it shows.
func Parse(in Input) Failure {
	if in.Source == nil {
		in.Source = func(string) []string { return nil }
	}
	stderr, stdout := ungroup(usual(clean(in.Stderr))), ungroup(usual(clean(in.Stdout)))
	chain := tracebacks(stderr, in.Source)
	if len(chain) == 0 {
		chain = tracebacks(stdout, in.Source)
	}
	if len(chain) == 0 {
		chain = unreadable(stderr, in.Source)
	}
	f := Failure{Type: in.EndReason}
	if f.Type == "" {
		f.Type = "FAILED"
	}
	if n := len(chain); n > 0 && usesTraceback(in.EndReason) {
		last := chain[n-1]
		f.Type, f.Message = last.typ, last.message
		if p, ok := origin(chain); ok {
			f.File, f.Line, f.Function = p.path, p.line, p.function
		}
	} else if f.Message = in.Message; f.Message == "" && f.Type == "FAILED" {
		f.Message = lastWords(stderr)
	}
	// Where the job ran is no news, and differs from job to job.
	f.Message = withoutFolder(f.Message, chain)
	f.Signature = signature(f, in.MissingKeys)
	f.Text = clip(withoutFolder(describe(in, chain, stdout, stderr), chain), maxText-len("…"))
	return f
}

// lastWords is the last line of stderr that is neither a warning nor a progress bar.
func lastWords(stderr []string) string {
	for _, l := range slices.Backward(stderr) {
		if !strings.Contains(l, "Warning") && !strings.Contains(l, "%|") && !strings.Contains(l, "it/s") {
			return clip(strings.TrimSpace(l), 200)
		}
	}
	return ""
}

// withoutFolder drops the job's folder, as the frames show it, from a text.
func withoutFolder(s string, chain []trace) string {
	for _, t := range chain {
		for _, f := range t.frames {
			if len(f.folder) > 1 {
				s = strings.ReplaceAll(s, f.folder, "")
			}
		}
	}
	return s
}

// usesTraceback says whether an exception explains the end; a limit that was hit explains itself.
func usesTraceback(end string) bool {
	switch end {
	case "TIMEOUT", "OOM", "DISK", "PROTECTED_TOUCHED", "NOT_FINITE":
		return false
	}
	return true
}

var (
	addressRE = regexp.MustCompile(`0x[0-9a-fA-F]+`)
	pathRE    = regexp.MustCompile(`(?:[A-Za-z]:)?(?:[\w.~-]*[/\\])+[\w.~-]*`)
	numberRE  = regexp.MustCompile(`[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?`)
	spaceRE   = regexp.MustCompile(`\s+`)
)

func signature(f Failure, missing []string) string {
	m := addressRE.ReplaceAllString(f.Message, "@")
	m = pathRE.ReplaceAllString(m, "/")
	m = numberRE.ReplaceAllString(m, "#")
	m = spaceRE.ReplaceAllString(strings.TrimSpace(m), " ")
	if len(missing) > 0 {
		m += " missing " + strings.Join(missing, ",")
	}
	return strings.Join([]string{f.Type, f.File, f.Function, clip(m, 160)}, "|")
}

func describe(in Input, chain []trace, stdout, stderr []string) string {
	var b strings.Builder
	b.WriteString(ending(in) + "\n")
	if in.Message != "" && usesTraceback(in.EndReason) && len(chain) == 0 || in.EndReason == "PROTECTED_TOUCHED" && in.Message != "" {
		fmt.Fprintf(&b, "The executor says: %s\n", clip(oneLine(in.Message), 300))
	}
	if len(in.MissingKeys) > 0 {
		fmt.Fprintf(&b, "final_info.json lacks keys that the baseline has: %s\n", clip(strings.Join(in.MissingKeys, ", "), 400))
	}
	if isCUDAMemory(stderr) {
		b.WriteString("The GPU's memory ran out: use a smaller batch or model.\n")
	}
	for i := len(chain) - 1; i >= 0 && i >= len(chain)-3; i-- {
		switch {
		case i == len(chain)-1:
		case chain[i+1].linked:
			b.WriteString("It was raised while this was handled, or because of it:\n")
		case chain[i].side:
			b.WriteString("Beside that, in a thread, a task or a clean-up:\n")
		default:
			b.WriteString("Printed before that:\n")
		}
		b.WriteString(chain[i].describe(in.Source))
	}
	if len(chain) == 0 && len(stderr) > 0 {
		b.WriteString("Last lines of stderr:\n" + tail(stderr, 15, 900))
	}
	if len(stdout) > 0 {
		room := maxText - b.Len() - 60
		if room > 80 {
			b.WriteString("Last lines of stdout:\n" + tail(stdout, 15, min(room, 900)))
		}
	}
	return b.String()
}

func ending(in Input) string {
	what := "The run"
	if in.Smoke {
		what = "The short trial run"
	}
	switch in.EndReason {
	case "TIMEOUT":
		s := what + " was stopped: it reached its time limit"
		if in.TimeLimit != "" && !in.Smoke {
			s += " of " + in.TimeLimit
		}
		return s + "."
	case "OOM":
		return what + " was stopped: it used more memory than it may."
	case "DISK":
		return what + " was stopped: it wrote more than it may."
	case "OUTPUT":
		return what + " ended, but final_info.json is missing or has the wrong shape."
	case "NOT_FINITE":
		return what + " ended, but its main metric is not a finite number."
	case "PROTECTED_TOUCHED":
		return what + " changed files that it must leave alone; such a run does not count."
	}
	return fmt.Sprintf("%s failed with exit code %d%s.", what, in.ExitCode, signalOf(in.ExitCode))
}

// signalOf names the signal that an exit code above 128 stands for.
func signalOf(code int) string {
	names := map[int]string{1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL, an instruction that the processor does not know", 6: "SIGABRT, it aborted itself", 7: "SIGBUS", 8: "SIGFPE",
		9: "SIGKILL", 11: "SIGSEGV, a crash in native code", 10: "SIGUSR1", 12: "SIGUSR2", 13: "SIGPIPE", 14: "SIGALRM, an alarm that it had set", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ, a file that grew too large"}
	if name, ok := names[code-128]; ok {
		return ", as after " + name
	}
	return ""
}

func isCUDAMemory(lines []string) bool {
	for _, l := range lines {
		if strings.Contains(l, "CUDA out of memory") || strings.Contains(l, "OutOfMemoryError") {
			return true
		}
	}
	return false
}

func oneLine(s string) string { return spaceRE.ReplaceAllString(strings.TrimSpace(s), " ") }

func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
