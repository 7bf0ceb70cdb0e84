package template

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nullius.dev/kit/sandbox"
)

// Lab runs a template's own scripts in the sandbox: on a private copy, without network.
type Lab struct {
	Runner sandbox.Runner
	Finder Finder
}

// plotLimit is that of plot.py in a study.
const plotLimit = 10 * time.Minute

// Trial is what a run of the template's scripts showed.
type Trial struct {
	Size    string // of the run; empty: the template has none
	Wall    time.Duration
	Memory  uint64   // peak, in bytes
	Figures []string // that plot.py drew; empty where it is left to the study
}

// Try runs the experiment at its smallest size, reads its results and draws its figures, as a study would. What the template does wrong is a finding; the
// error is for a machine that cannot run it.
func (l Lab) Try(ctx context.Context, dir string, t *Template) (Trial, []Finding, error) {
	r := &report{}
	trial := Trial{}
	if _, ok := t.Sizes["smoke"]; ok {
		trial.Size = "smoke"
	}
	b, err := l.open(ctx, dir, t)
	if err != nil {
		return trial, nil, err
	}
	defer b.remove()
	const out = "run_0"
	if err := b.fresh(out); err != nil {
		return trial, nil, err
	}
	res, said, err := b.run(ctx, script{argv: []string{"experiment.py", "--out_dir=" + out}, size: trial.Size, wall: t.TimeLimit, writable: writable(t, out)})
	if err != nil {
		return trial, nil, err
	}
	trial.Wall, trial.Memory = res.Wall, res.PeakMemoryBytes
	if !b.ended(r, "experiment.py", t.TimeLimit, res, said) {
		return trial, r.findings, nil
	}
	if b.results(r, t); len(Errors(r.findings)) > 0 || t.EmptyPlot {
		return trial, r.sorted(), nil
	}
	before := b.figures()
	if res, said, err = b.run(ctx, script{argv: []string{"plot.py"}, size: trial.Size, wall: plotLimit, writable: []string{"."}}); err != nil {
		return trial, nil, err
	}
	if b.ended(r, "plot.py", plotLimit, res, said) {
		if trial.Figures = drawn(before, b.figures()); len(trial.Figures) == 0 {
			r.add(Finding{Rule: "plot.no-figure", Path: "plot.py", Found: "no figure after it ran", Expected: "PNG or PDF files in the template's root",
				Fix: `plt.savefig("NAME.png")`})
		}
	}
	return trial, r.sorted(), nil
}

// writable are the folders that an experiment may write, as in a study.
func writable(t *Template, out string) []string {
	if slices.Contains(t.Writable, ".") {
		return []string{"."}
	}
	return append([]string{out}, t.Writable...)
}

// results reads what the experiment left.
func (b *bench) results(r *report, t *Template) {
	const name = "run_0/final_info.json"
	if info, err := os.Lstat(filepath.Join(b.tree, name)); err != nil || !info.Mode().IsRegular() {
		r.add(Finding{Rule: "run.results", Path: "experiment.py", Found: "no " + name + " after it ended well", Expected: "results in --out_dir",
			Fix: `json.dump(results, open(os.path.join(args.out_dir, "final_info.json"), "w"))`})
		return
	}
	facts := *t
	c := &checker{fsys: os.DirFS(b.tree), limits: DefaultLimits(), t: &facts}
	c.walk()
	c.baseline()
	r.findings = append(r.findings, c.findings...)
}

// figures are the images in the tree's root, with what tells whether they were drawn anew.
func (b *bench) figures() map[string]string {
	found := map[string]string{}
	entries, err := os.ReadDir(b.tree)
	if err != nil {
		return nil // then none is drawn
	}
	for _, e := range entries {
		info, err := e.Info()
		if ext := path.Ext(e.Name()); err == nil && info.Mode().IsRegular() && info.Size() > 0 && (ext == ".png" || ext == ".pdf") {
			found[e.Name()] = fmt.Sprint(info.Size(), info.ModTime())
		}
	}
	return found
}

func drawn(before, after map[string]string) []string {
	return slices.DeleteFunc(mapKeys(after), func(name string) bool { return before[name] == after[name] })
}

// ended adds a finding unless a script ended well.
func (b *bench) ended(r *report, name string, limit time.Duration, res sandbox.Result, said string) bool {
	f := Finding{Rule: "run.failed", Path: name, Expected: "a script that ends with code 0"}
	switch {
	case res.End == sandbox.TimedOut:
		f.Rule, f.Found, f.Expected = "run.time", "no end within "+limit.String(), "a shorter run, or a longer time_limit"
	case res.End == sandbox.OutOfMemory:
		f.Rule, f.Found, f.Expected = "run.memory", fmt.Sprintf("more than %d MiB of memory", res.Limits.MemoryBytes>>20), "a smaller run"
	case res.End != sandbox.Exited:
		f.Found = "a run that was " + res.End.String()
	case res.Signal != 0:
		f.Found = fmt.Sprintf("an end by signal %d", res.Signal)
	case res.ExitCode != 0:
		lines := strings.Split(strings.TrimSpace(said), "\n")
		last := lines[len(lines)-1]
		f.Found, f.Fix = fmt.Sprintf("exit code %d", res.ExitCode), remedyFor(last)
		if last != "" {
			f.Found += ": " + quoteUpTo(last, 200)
		}
		if at := b.lastPlace(said); at != nil {
			f.Path = at[1]
			f.Line, _ = strconv.Atoi(at[2]) // digits only
		}
	default:
		return true
	}
	r.add(f)
	return false
}

// remedyFor tells what to do about errors that the sandbox makes of what works elsewhere.
func remedyFor(said string) string {
	for part, fix := range map[string]string{
		"Read-only file system":  "writing under --out_dir, or with tempfile",
		"Name or service":        "files in the template, or under data: in template.yaml: a run has no network",
		"name resolution":        "files in the template, or under data: in template.yaml: a run has no network",
		"Network is unreachable": "files in the template, or under data: in template.yaml: a run has no network",
		"no display name":        `matplotlib.use("Agg"): a run has no display`,
	} {
		if strings.Contains(said, part) {
			return fix
		}
	}
	return ""
}

var tracePlace = regexp.MustCompile(`(?m)^\s*File "(?:` + mountRoot + `/[^/"]+/|\./)?([^"/<][^"<]*)", line ([0-9]{1,7})`)

// lastPlace finds the last line of the template's own code in a traceback.
func (b *bench) lastPlace(said string) []string {
	all := tracePlace.FindAllStringSubmatch(said, -1)
	for i := len(all) - 1; i >= 0; i-- {
		if _, err := fs.Stat(os.DirFS(b.tree), all[i][1]); err == nil {
			return all[i]
		}
	}
	return nil
}
