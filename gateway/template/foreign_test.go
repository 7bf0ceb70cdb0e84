package template_test

import (
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"nullius.dev/gateway/template"
	"nullius.dev/kit/sandbox"
)

// foreign is a folder in AI-Scientist's format with one of its known oddities, in our own words.
type foreign struct {
	name     string
	files    map[string]string // beside or instead of foreignBase's
	without  []string
	modules  []string // that it imports from elsewhere
	warnings []string // rules that must be warned of
	baseline bool     // its run_0 can be used
}

// foreignBase has what all of them share.
func foreignBase() map[string]string {
	return map[string]string{
		"experiment.py": "import argparse, json, os\n\nimport numpy as np\n\nparser = argparse.ArgumentParser(description='Run = it')\n" +
			"parser.add_argument('--out_dir', type=str, default='run_0', help='Output directory')\nargs = parser.parse_args()\n" +
			"num_seeds = {'a': 2}\nos.makedirs(args.out_dir, exist_ok=True)\n" +
			"json.dump({'a': {'means': {'val_loss': 1.0}}}, open(f\"{args.out_dir}/final_info.json\", 'w'))\n",
		"plot.py": "import json, os\nimport matplotlib.pyplot as plt\nfolders = [d for d in os.listdir('./') if d.startswith('run') and os.path.isdir(d)]\n" +
			"labels = {'run_0': 'Baselines'}\nplt.savefig(f'loss_{len(folders)}.png')\n",
		"prompt.json":     `{"system": "You are an ambitious student.", "task_description": "A file is given."}`,
		"seed_ideas.json": `[{"Name": "first_idea", "Title": "A title", "Experiment": "Change it.", "Interestingness": 5, "Feasibility": 8, "Novelty": 3}]`,
		"latex/template.tex": "\\documentclass{article}\n\\usepackage{iclr2024_conference,times}\n\\begin{filecontents}{references.bib}\n" +
			strings.Repeat("@article{key, title={A title}, year={2020}}\n", 400) + "\\end{filecontents}\n\\begin{document}\nTITLE HERE\n\\end{document}\n",
		"latex/iclr2024_conference.sty": "% a style\n", "latex/iclr2024_conference.bst": "ENTRY {}\n", "latex/fancyhdr.sty": "% caf\xe9\n", "latex/natbib.sty": "% a style\n",
		"run_0/final_info.json": `{"a": {"means": {"val_loss_mean": 1.4697}, "stderrs": {"val_loss_stderr": 0.01}, "final_info_dict": {"val_loss": [1.46, 1.48]}}}`,
	}
}

var foreigners = []foreign{
	{name: "nanoGPT", modules: []string{"matplotlib", "numpy", "torch"}, baseline: true, files: map[string]string{
		"experiment.py": "import os, pickle, argparse\nfrom contextlib import nullcontext\nimport numpy as np\nimport torch\n" +
			"def train(dataset='shakespeare_char', out_dir='run_0', seed_offset=0):\n\tdata_dir = os.path.join('../../data', dataset) if out_dir == 'run_0' else os.path.join('../../../data', dataset)\n" +
			"\tx = torch.zeros(1).cuda()\n\treturn pickle.load(open(os.path.join(data_dir, 'meta.pkl'), 'rb'))\n" +
			"parser = argparse.ArgumentParser(description='Run experiment')\nparser.add_argument(\"--out_dir\", type=str, default=\"run_0\", help=\"Output directory\")\nargs = parser.parse_args()\nnum_seeds = {'shakespeare_char': 3}\n",
		"run_0/all_results.npy": "\x93NUMPY\x01\x00v\x00pickled", "run_0/final_info.json": `{"shakespeare_char": {"means": {"final_train_loss_mean": 0.81, "best_val_loss_mean": 1.47, "total_train_time_mean": 77.2},
			"stderrs": {"final_train_loss_stderr": 0.01, "best_val_loss_stderr": 0.002, "total_train_time_stderr": 0.1}, "final_info_dict": {"final_train_loss": [0.8, 0.82]}}}`,
	}, warnings: []string{"python.pickle", "python.cuda", "metric.time"}},
	{name: "nanoGPT_lite", modules: []string{"matplotlib", "numpy"}, baseline: true, files: map[string]string{
		"ideas.json": `[{"Name": "An idea", "Novelty": 99, "novel": true, "anything": {}}]`, ".gitignore": "run_*\n*.pkl\n", "__pycache__/experiment.cpython-311.pyc": "\x00\x01",
	}},
	{name: "2d_diffusion", modules: []string{"accelerate", "matplotlib", "numpy", "torch"}, baseline: true, files: map[string]string{
		"experiment.py": "import argparse\nimport numpy as np\nimport torch\nfrom ema_pytorch import EMA\nfrom datasets import get_dataset\n" +
			"parser = argparse.ArgumentParser()\nparser.add_argument(\"--train_batch_size\", type=int, default=256)\nparser.add_argument(\"--beta_schedule\", type=str, default=\"linear\", choices=[\"linear\", \"quadratic\"])\n" +
			"parser.add_argument(\"--out_dir\", type=str, default=\"run_0\")\nconfig = parser.parse_args()\nfor dataset in ['circle', 'dino']:\n    eval_loss = 1\n",
		"ema_pytorch.py": "import torch\nfrom accelerate import Accelerator\n", "datasets.py": "import numpy as np\n", "run_0/train_loss.png": "\x89PNG\r\n", "run_0/all_results.pkl": "\x80\x04",
		"run_0/final_info.json": `{"circle": {"means": {"training_time": 37.4, "eval_loss": 0.43, "kl_divergence": 0.35}}, "dino": {"means": {"training_time": 36.7, "eval_loss": 0.66}}}`,
	}, warnings: []string{"metric.time", "experiment.one-seed"}},
	{name: "grokking", modules: []string{"einops", "matplotlib", "numpy"}, baseline: true, files: map[string]string{
		"experiment.py":         "import abc\nimport random\nfrom itertools import islice, permutations\nimport numpy as np\nfrom einops import rearrange, repeat\nimport argparse\nimport os\n\nclass A(abc.ABC):\n    pass\n\nif __name__ == \"__main__\":\n    num_seeds = 3\n    parser = argparse.ArgumentParser(description=\"Run experiment\")\n    parser.add_argument(\n        \"--out_dir\",\n        type=str,\n        default=\"run_0\",\n    )\n    val = parser.parse_args()\n",
		"run_0/final_info.json": `{"x_div_y": {"means": {"final_val_loss_mean": 0.006, "step_val_acc_99_mean": 4200.0}, "stderrs": {"final_val_loss_stderr": 0.0004, "step_val_acc_99_stderr": 191.4}}}`,
	}},
	{name: "probes", modules: []string{"pandas", "torch", "transformer_lens"}, without: []string{"latex/", "run_0/final_info.json", "plot.py"}, files: map[string]string{
		"experiment.py": "import pandas as pd\nimport torch\nfrom transformer_lens import HookedTransformer\nfrom typing import Callable\nimport argparse\n\ndef prompts(data: pd.DataFrame, separator: str = ', ') -> list[str]:\n" +
			"    r\"\"\"\n    Of the form \"a:b{separator}c:\\nd\".\n    \"\"\"\n    return [f\"{data.iloc[i]['input']}:\" for i in range(3)]\n\n# seeds are splits, tested\nif __name__ == \"__main__\":\n    parser = argparse.ArgumentParser()\n    parser.add_argument(\"--out_dir\", type=str, default=\"run_0\", help=\"Directory = results\")\n",
		"antonyms.json": "[]", "run_0/predictions_0_11_1.csv": "prompt,prediction\n", "results_2025-03-30/ideas.json": "{",
	}, warnings: []string{"plot.empty", "latex.missing", "run_0.results"}},
	{name: "probes with results", modules: []string{"numpy"}, without: []string{"latex/"}, baseline: true, files: map[string]string{
		"plot.py": "", "run_0/final_info.json": `{"layer_9.0_beta_1.0": {"means": 0.05, "stds": 0.01}, "layer_9.0_beta_3.0": {"means": 0.16, "stds": 0.02}}`,
	}, warnings: []string{"plot.empty", "latex.missing"}},
	{name: "seir", modules: []string{"matplotlib", "numpy", "scipy"}, baseline: true, files: map[string]string{
		"experiment.py":         "import numpy as np\nfrom scipy.integrate import odeint\nimport argparse\nparser = argparse.ArgumentParser(description=\"Run experiment\")\nparser.add_argument(\"--out_dir\", type=str, default=\"run_0\")\nargs = parser.parse_args()\n",
		"run_0/final_info.json": `{"SEIR": {"solution": [[1.0, 2.0], [0.5, "a"]], "means": {"infected_peak_day": 51, "infected_peak": 0.15, "total_infected": 0.9}}}`,
	}, warnings: []string{"experiment.one-seed", "experiment.held-out"}},
	{name: "mobilenetV3", modules: []string{"matplotlib", "torch", "torchvision"}, baseline: true, files: map[string]string{
		"experiment.py": "import argparse\nfrom dataclasses import dataclass\nimport torch, torchvision\nimport torchvision.transforms as transforms\n@dataclass\nclass Config:\n    data_path: str = './data'\n    dataset: str = 'cifar10'\n    seed: int = 0\n" +
			"parser = argparse.ArgumentParser(description=\"Train MobileNetV3\")\nparser.add_argument('--data_path', type=str, default='./data', help='Path to save/load the dataset')\nparser.add_argument('--out_dir', type=str, default='run_0')\nbest_test_acc = 0\ntorch.save({}, 'best.pth')\n",
		"run_0/best_model.pth": "PK\x03\x04", "run_0/final_info.json": `{"cifar10": {"means": {"best_val_acc_mean": 91.4}, "stderrs": {"best_val_acc_stderr": 0.2}, "final_info_dict": {"best_val_acc": [91.2, 91.6], "config": ["a", {"b": 1}]}}}`,
	}, warnings: []string{"python.pickle"}},
	{name: "sketch_rnn", modules: []string{"PIL", "matplotlib", "numpy", "torch"}, baseline: true, files: map[string]string{
		"experiment.py": "import numpy as np\nimport matplotlib.pyplot as plt\nimport PIL\nimport torch\nfrom torch import nn\nimport argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--data_root', type=str, default='datasets')\nparser.add_argument('--out_dir', type=str, default='run_0')\nclass HParams(): # test\n\tdef __init__(self):\n\t\tself.seed = 1\n",
		"plot.py":       "import matplotlib.pyplot as plt\r\nplt.savefig('a.png')\r\n",
	}, warnings: []string{"file.crlf"}},
	{name: "MACE", modules: []string{"MDAnalysis", "ase", "matplotlib", "numpy"}, baseline: true, files: map[string]string{
		"experiment.py": "import argparse, subprocess\nimport numpy as np\nfrom ase.io import read\nfrom MDAnalysis.analysis import rms\nparser = argparse.ArgumentParser()\nparser.add_argument('--out_dir', type=str, default='run_0')\nargs = parser.parse_args()\nsubprocess.run(['mace_run_train', '--seed=123', f'--model_dir={args.out_dir}', '--test_file=a.xyz'])\n",
		"ethanol/ethanol_test.xyz:Zone.Identifier": "[ZoneTransfer]\r\n", "ethanol/ethanol_train.xyz": "9\n",
		"seed_ideas.json":       `[{"Name": "number of interactions", "Title": "T", "Experiment": "E", "Interestingness": 7, "Feasibility": 7, "Novelty": 5, "Overall Score": 6}, {"Name": "number of interactions", "Title": "T", "Experiment": "E"}]`,
		"run_0/final_info.json": `{"MACE": {"means": {"ethanol": {"val": {"mae_e": 1.2, "mae_f": "12.1 meV"}, "log": "text", "list": [1]}, "aspirin": {"val": {"mae_e": 2.0}}}}}`,
	}, warnings: []string{"seed-idea.name", "seed-idea.unknown-key"}},
	{name: "earthquake-prediction", modules: []string{"geopy", "matplotlib", "numpy"}, baseline: true, files: map[string]string{
		"experiment.py":         "import numpy as np\nfrom geopy.distance import geodesic\nimport argparse\nparser = argparse.ArgumentParser(description='Run experiment')\nparser.add_argument('--out_dir', type=str, default='run_0', help='Output directory')\nargs = parser.parse_args()\nnp.random.seed(1)\ny_test = 0\nprint(f'{y_test:.3f} {args.out_dir!r}')\n",
		"prompt.json":           `{"system": "s", "task_description": "t", "author": "somebody", "version": 2}`,
		"run_0/final_info.json": `{"japan": {"means": {"roc_auc": 0.7, "nan_metric": NaN}, "stderrs": {"roc_auc": 0.0}, "final_info_dict": {"roc_auc": [0.7], "model": ["lstm"]}}}`,
	}, warnings: []string{"prompt.unknown-key"}},
	{name: "tensorf", modules: []string{"configargparse", "matplotlib", "torch", "tqdm"}, baseline: true, files: map[string]string{
		"experiment.py": "import os\nfrom tqdm.auto import tqdm\nfrom opt import config_parser\nfrom renderer import *\nfrom utils import *\nfrom dataLoader import dataset_dict\nimport sys\nfor seed in range(2):\n    args = config_parser()\n    PSNRs_test = evaluation()\n",
		"opt.py": "import configargparse\n\ndef config_parser(cmd=None):\n    parser = configargparse.ArgumentParser()\n    parser.add_argument('--config', is_config_file=True,\n                        default=\"configs/base_config.txt\",\n\n                        help='config file path')\n" +
			"    parser.add_argument(\"--out_dir\", type=str, default='./log',\n                        help='where to store ckpts and logs')\n    parser.add_argument('--with_depth', action='store_true')\n    parser.add_argument(\"--upsamp_list\", type=int, action=\"append\")\n    return parser.parse_args(cmd)\n",
		"renderer.py": "import torch\nfrom dataLoader.ray_utils import get_rays\n", "utils.py": "import torch\n", "configs/base_config.txt": "a = 1\n",
		"dataLoader/__init__.py": "from .llff import LLFF\ndataset_dict = {}\n", "dataLoader/llff.py": "import torch\nLLFF = 1\n", "dataLoader/ray_utils.py": "get_rays = 1\n",
		// A tool that nothing calls: it has arguments of its own, and needs Python 2.
		"dataLoader/colmap2nerf.py": "import argparse\np = argparse.ArgumentParser()\np.add_argument('scene')\np.add_argument('--images', required=True)\nprint 'done'\n",
		"notes.ipynb":               "{\"cells\": [", ".ipynb_checkpoints/notes.ipynb": "{",
	}, warnings: []string{"python.syntax"}},
	{name: "arguments in a package of its own", modules: []string{"matplotlib"}, baseline: true, files: map[string]string{
		"experiment.py": "from tools.arguments import parse\nfor seed in range(3):\n    test = parse()\n", "tools/__init__.py": "",
		"tools/arguments.py": "import argparse\ndef parse():\n    p = argparse.ArgumentParser()\n    p.add_argument('--out_dir')\n    return p.parse_args()\n",
	}},
	{name: "a search path and optional modules", modules: []string{"matplotlib", "numpy", "treesearch"}, baseline: true, files: map[string]string{
		"experiment.py": "import argparse, sys\nfrom pathlib import Path\nfrom typing import TYPE_CHECKING\n\nsys.path.append(str(Path(__file__).parent / 'src'))\nfrom arcs.tasks \\\n    import Task\nimport handler\nfrom treesearch import Tree\n" +
			"try:\n    from torch.utils.tensorboard import SummaryWriter\n    FOUND = True\nexcept ImportError:\n    FOUND = False\ntry:\n    import fused\nexcept:\n    fused = None\n" +
			"if TYPE_CHECKING:\n    import pandas as pd\ntry:\n    import numpy\nexcept ImportError as missing:\n    raise SystemExit('install numpy') from missing\n" +
			"def late():\n    try:\n        import tomllib_old\n    except (ImportError, OSError):\n        import tomli_old\n" +
			"parser = argparse.ArgumentParser()\nparser.add_argument('--out_dir', required=True)\nseeds = 3  # tests\n",
		"src/arcs/tasks.py": "from .base import Task\n", "src/arcs/base.py": "Task = 1\n", "tools/deep/handler.py": "x = 1\n",
	}, warnings: nil},
	{name: "clients of servers and lists as means", modules: []string{"matplotlib", "openai", "pandas"}, baseline: true, files: map[string]string{
		"experiment.py":         "import argparse\nimport openai, pandas\nparser = argparse.ArgumentParser()\nparser.add_argument('--out_dir', default='run_0')\nparser.add_argument('--gpu', type=int)\nseed = open('../../data/personal/test.csv')\n",
		"run_0/final_info.json": `{"(530.1, 2.4)": {"means": 0.5}, "sphere": {"means": {"accuracy": 0.9, "training_time": 3.1, "confusion": [[1, 2], [3, 4]]}, "diagnostics": {"names": ["a"], "gate": [NaN]}}}`,
	}, warnings: []string{"python.network", "metric.time"}},
	{name: "drawn in a package of its own", modules: []string{"matplotlib", "numpy"}, baseline: true, files: map[string]string{
		"plot.py": "from figures import draw\ndraw()\n", "figures/__init__.py": "import matplotlib.pyplot as plt\ndef draw():\n    plt.gcf().savefig('a' + '.p' + 'ng')\n",
	}},
}

func TestLoad_takes_folders_in_the_shapes_of_AI_Scientist_without_an_error(t *testing.T) {
	s, err := sandbox.New(t.Context(), sandbox.Config{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("sandbox: %v (install: sudo apt-get install -y bubblewrap python3)", err)
	}
	t.Cleanup(func() { _ = s.Close() })
	python := template.NewInterpreter(s, nil)
	for _, tt := range foreigners {
		t.Run(tt.name, func(t *testing.T) {
			files := foreignBase()
			for _, gone := range tt.without {
				maps.DeleteFunc(files, func(name, _ string) bool {
					return name == gone || strings.HasSuffix(gone, "/") && strings.HasPrefix(name, gone)
				})
			}
			maps.Copy(files, tt.files)
			got, findings := template.Load(tree(files), template.Options{Name: strings.ReplaceAll(tt.name, " ", "_"),
				ParsePython: func(sources map[string][]byte) map[string]template.Syntax { return python.Parse(t.Context(), sources) }})
			if got == nil {
				t.Fatalf("refused: %v", template.Errors(findings))
			}
			if !slices.Equal(got.Python.Modules, tt.modules) {
				t.Errorf("modules %q, want %q", got.Python.Modules, tt.modules)
			}
			if got.HasBaseline != tt.baseline || !got.Foreign {
				t.Errorf("baseline %t, foreign %t", got.HasBaseline, got.Foreign)
			}
			for _, rule := range tt.warnings {
				if !slices.ContainsFunc(findings, func(f template.Finding) bool { return f.Rule == rule }) {
					t.Errorf("no warning %s in %v", rule, findings)
				}
			}
			for _, f := range findings {
				if f.Rule == "python.unchecked" {
					t.Errorf("not every file was parsed: %s", f)
				}
			}
		})
	}
}

// TestInterpreter_goes_on_after_a_source_that_kills_it: an answer that never comes is told of that file alone.
func TestInterpreter_goes_on_after_a_source_that_kills_it(t *testing.T) {
	got := template.NewInterpreter(dying{}, nil).Parse(t.Context(), map[string][]byte{"a.py": nil, "b.py": nil, "c.py": nil})
	if got["a.py"].Err != nil || got["b.py"].Err == nil || got["c.py"].Err != nil || got["c.py"].Message != "broken" {
		t.Errorf("%+v", got)
	}
	m := tree(good())
	_, findings := template.Load(m, template.Options{Name: "small", ParsePython: func(sources map[string][]byte) map[string]template.Syntax {
		out := map[string]template.Syntax{}
		for name := range sources {
			out[name] = template.Syntax{Err: fs.ErrClosed}
		}
		return out
	}})
	unchecked := slices.DeleteFunc(findings, func(f template.Finding) bool { return f.Rule != "python.unchecked" })
	if len(unchecked) != 1 || !strings.Contains(unchecked[0].Found, "2 more") || !strings.Contains(unchecked[0].Found, "may be sound") {
		t.Errorf("one trouble, told so: %v", unchecked)
	}
}
