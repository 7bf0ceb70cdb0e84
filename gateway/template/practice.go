package template

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	bareCUDA   = regexp.MustCompile(`\.cuda\s*\(`)
	namedCUDA  = regexp.MustCompile(`^cuda(:[0-9]+)?$`)
	guarded    = regexp.MustCompile(`is_available\s*\(`)
	pickling   = regexp.MustCompile(`\b(pickle\.(dump|load)s?|torch\.save|joblib\.dump)\s*\(`)
	oneSeed    = regexp.MustCompile(`(?m)\b(num_seeds|n_seeds|NUM_SEEDS|N_SEEDS|SEEDS|seeds)\s*=\s*(1\s*$|range\(\s*1\s*\)|\[\s*[0-9]+\s*\])`)
	seedWord   = regexp.MustCompile(`(?i)seed`)
	heldOut    = regexp.MustCompile(`(?i)(test|valid|val_|_val|held|holdout|optim|oracle|regret|floor|ground_truth)`)
	figureOnly = regexp.MustCompile(`(^|/)plot[^/]*\.py$`)
)

// practice warns of habits that make numbers hard to trust.
func (c *checker) practice(sources map[string]*pySource) {
	seeds, splits, experiments := false, false, 0
	for _, name := range mapKeys(sources) {
		s := sources[name]
		c.elsewhere(s)
		if figureOnly.MatchString(name) {
			continue
		}
		experiments++
		seeds = seeds || seedWord.Match(s.data)
		splits = splits || heldOut.Match(s.data)
		c.cuda(s)
		if m := pickling.FindIndex(s.masked); m != nil {
			c.warn(at(Finding{Rule: "python.pickle", Path: name, Found: quote(string(s.masked[m[0] : m[1]-1])), Expected: "results as JSON: pickles run code when they are read"}, s.data, m[0]))
		}
		if m := oneSeed.FindIndex(s.masked); m != nil {
			c.warn(at(Finding{Rule: "experiment.one-seed", Path: name, Found: "one seed", Expected: "at least three, so that there is a standard error"}, s.data, m[0]))
		}
	}
	if experiments == 0 {
		return
	}
	if !seeds {
		c.warn(Finding{Rule: "experiment.one-seed", Path: "experiment.py", Found: "no seed", Expected: "at least three seeds, so that there is a standard error"})
	}
	if !splits {
		c.warn(Finding{Rule: "experiment.held-out", Path: "experiment.py", Found: "no held-out metric", Expected: "a metric on data that training never saw"})
	}
}

// cuda warns of a device that is used without asking whether it is there.
func (c *checker) cuda(s *pySource) {
	if guarded.Match(s.masked) {
		return
	}
	f := Finding{Rule: "python.cuda", Path: s.name, Expected: "a run on the CPU where there is no GPU", Fix: `device = "cuda" if torch.cuda.is_available() else "cpu"`}
	if m := bareCUDA.FindIndex(s.masked); m != nil {
		f.Found = ".cuda() without a guard"
		c.warn(at(f, s.data, m[0]))
		return
	}
	for _, str := range s.strings {
		if namedCUDA.MatchString(str.text) {
			f.Found = "the device " + quote(str.text) + " without a guard"
			c.warn(at(f, s.data, str.offset))
			return
		}
	}
}

var (
	// elsewherePath begins where only the author's machine has something: a home, a mounted disk, a drive.
	elsewherePath = regexp.MustCompile(`^(/(home|Users|root|mnt|media|data|scratch|workspace|content|kaggle|Volumes|srv)/|~/|[A-Z]:(/|\\\\)\w)`)
	download      = regexp.MustCompile(`\b(urlopen|urlretrieve|from_pretrained|load_dataset|hf_hub_download|snapshot_download|fetch_openml|requests\.(get|post))\s*\(|\bdownload\s*=\s*True\b`)
	windowing     = regexp.MustCompile(`\b(matplotlib|mpl)\s*\.\s*use\s*\(|\bswitch_backend\s*\(`)
	// windowBackends are those of matplotlib that need a display, in lower case.
	windowBackends = []string{"tkagg", "tkcairo", "qtagg", "qtcairo", "qt5agg", "qt5cairo", "qt4agg", "gtk3agg", "gtk3cairo", "gtk4agg", "gtk4cairo", "wxagg", "wx", "wxcairo",
		"macosx", "nbagg", "webagg", "notebook", "widget", "ipympl"}
	// networkModules ask servers as soon as they are used.
	networkModules = []string{"requests", "httpx", "aiohttp", "openai", "anthropic", "ollama", "wandb", "gdown", "kaggle", "boto3", "huggingface_hub", "comet_ml", "neptune"}
)

// elsewhere warns of what a run in the sandbox does not find: absolute paths, a network, a display; and of a module that hides one of Python's own.
func (c *checker) elsewhere(s *pySource) {
	for _, str := range s.strings {
		if elsewherePath.MatchString(str.text) {
			c.warn(at(Finding{Rule: "python.absolute-path", Path: s.name, Found: "the path " + quote(str.text) + ", which a run does not see",
				Expected: "files of the template, by a path such as data/train.bin"}, s.data, str.offset))
			break
		}
	}
	network := Finding{Rule: "python.network", Path: s.name, Expected: "no network: a run has none", Fix: "files in the template, or under data: in template.yaml"}
	if m := download.FindIndex(s.masked); m != nil {
		network.Found = quote(strings.TrimRight(string(s.masked[m[0]:m[1]]), "( \t\r\n")) + ", which may download"
		c.warn(at(network, s.data, m[0]))
	} else if i := slices.IndexFunc(s.imports, func(i pyImport) bool { return !i.optional && slices.Contains(networkModules, i.module) }); i >= 0 {
		network.Found = "an import of " + quote(s.imports[i].module) + ", which asks servers"
		c.warn(at(network, s.data, s.imports[i].offset))
	}
	if m := windowing.FindIndex(s.masked); m != nil {
		for _, str := range s.strings {
			if str.offset >= m[1] && str.offset < closing(s.masked, m[1]) && slices.Contains(windowBackends, strings.ToLower(str.text)) {
				c.warn(at(Finding{Rule: "plot.window", Path: s.name, Found: "the backend " + quote(str.text) + ", which needs a display", Expected: "figures that are saved",
					Fix: `matplotlib.use("Agg")`}, s.data, str.offset))
			}
		}
	}
	if module, ok := strings.CutSuffix(s.name, ".py"); ok && path.Dir(s.name) == "." && standardModule(module) && !strings.HasPrefix(module, "_") {
		c.warn(Finding{Rule: "python.shadow", Path: s.name, Found: "a module that hides Python's own " + quote(module), Expected: "another name"})
	}
}

var dots = regexp.MustCompile(`^from\s+\.+([A-Za-z_])`)

// relativeImports refuses imports that a script which is run by its path cannot make.
func (c *checker) relativeImports(scripts ...*pySource) {
	for _, s := range scripts {
		if s == nil || len(s.relative) == 0 {
			continue
		}
		start := bytes.LastIndexByte(s.masked[:s.relative[0]], '\n') + 1
		line := strings.TrimSpace(string(s.masked[start:lineEnd(s.masked, start)]))
		f := Finding{Rule: "python.relative-import", Path: s.name, Found: quote(line) + " in a script that is run by its path", Expected: "an import by name"}
		if by := dots.ReplaceAllString(line, "from $1"); by != line {
			f.Fix = by
		}
		c.strict(at(f, s.data, s.relative[0]))
	}
}
