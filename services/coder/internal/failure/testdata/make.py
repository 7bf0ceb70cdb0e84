"""Breaks small experiments in many ways and writes what they print to outputs.json, for TestParse_RealOutputs.

Each script is really run by this interpreter (3.11 or later). Modules called torch, numpy and pandas are stand-ins with frames like
those of the real ones, in a folder site-packages. "want" is what the parser must find.
"""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile

CASES = []


def case(name, code, want, end="FAILED", files=None, kill=0, strip=True, **extra):
    CASES.append(dict(name=name, code=code.lstrip("\n") if strip else code, want=want, end=end, files=files or {}, kill=kill, **extra))


def want(type, line=0, function="", message="", file="experiment.py"):
    return dict(type=type, file=file if line else "", line=line, function=function, message=message)


LIB = {
    "site-packages/numpy/__init__.py": """
def ones(n):
    return Array(n)


class Array:
    def __init__(self, n):
        self.n = n

    def __add__(self, other):
        return _add(self, other)


def _add(a, b):
    raise ValueError(f"operands could not be broadcast together with shapes ({a.n},) ({b.n},) ")


class LinAlgError(ValueError):
    __module__ = "numpy.linalg"


def inv(a):
    raise LinAlgError("Singular matrix")
""",
    "site-packages/torch/__init__.py": """
class OutOfMemoryError(RuntimeError):
    __module__ = "torch.cuda"


class Linear:
    def __call__(self, x):
        return self._call_impl(x)

    def _call_impl(self, x):
        return self.forward(x)

    def forward(self, x):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (32x784 and 512x10)")


def big():
    raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 15.77 GiB of which 1.12 GiB is free. Process 4711 has 14.65 GiB memory in use.")


def device_assert():
    raise RuntimeError("CUDA error: device-side assert triggered\\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.\\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.\\n")


def load(net):
    raise RuntimeError("Error(s) in loading state_dict for Net:\\n\\tMissing key(s) in state_dict: \\"fc3.weight\\", \\"fc3.bias\\". \\n\\tsize mismatch for fc1.weight: copying a param with shape torch.Size([64, 10]) from checkpoint, the shape in current model is torch.Size([32, 10]).")
""",
    "site-packages/pandas/__init__.py": """
class Index:
    def get_loc(self, key):
        try:
            return {}[key]
        except KeyError as err:
            raise KeyError(key) from err


class DataFrame:
    def __getitem__(self, key):
        return Index().get_loc(key)
""",
}

case("a syntax error with a caret", "def train(x:\n    return x\n", want("SyntaxError", 1, "", "'(' was never closed"))
case("an indentation error", "def train(x):\nreturn x\n", want("IndentationError", 2, "", "expected an indented block"))
case("tabs and spaces mixed", "def f():\n    x = 1\n\ty = 2\n", want("TabError", 3, "", "inconsistent use of tabs"))
case("a syntax error in an imported module", "import helper\n", want("SyntaxError", 2, "", "invalid syntax", "helper.py"), files={"helper.py": "x = 1\ny = = 2\n"})
case("an f-string that is not closed", "x = f'{1\n", want("SyntaxError", 1))
case("a module that is not there", "import flash_attention\n", want("ModuleNotFoundError", 1, "<module>", "No module named 'flash_attention'"))
case("a name that a module lacks", "from math import squareroot\n", want("ImportError", 1, "<module>", "cannot import name 'squareroot'"))
case("an import in a circle", "import helper\nVALUE = 1\n", want("ImportError", 1, "<module>", "cannot import name 'LATER'", "other.py"),
     files={"helper.py": "import other\nLATER = 2\n", "other.py": "from helper import LATER\n"})
case("an undefined name in a function", "\ndef train():\n    return steps + 1\n\n\ntrain()\n", want("NameError", 2, "train", "name 'steps' is not defined"))
case("a local before its assignment", "def f():\n    print(x)\n    x = 1\n\n\nf()\n", want("UnboundLocalError", 2, "f", "'x'"))
case("a missing attribute", "class Net:\n    pass\n\n\nNet().forward(1)\n", want("AttributeError", 5, "<module>", "has no attribute 'forward'"))
case("a missing key", "d = {'a': 1}\n\n\ndef get(k):\n    return d[k]\n\n\nget('noise_0.3')\n", want("KeyError", 5, "get", "noise_0.3"))
case("an index out of range", "def last(x):\n    return x[len(x)]\n\n\nlast([1, 2])\n", want("IndexError", 2, "last", "list index out of range"))
case("a division by zero in a method", "class Meter:\n    def mean(self):\n        return 1 / 0\n\n\nMeter().mean()\n", want("ZeroDivisionError", 3, "mean", "division by zero"))
case("a wrong argument", "def f(a):\n    return a\n\n\nf(b=2)\n", want("TypeError", 5, "<module>", "unexpected keyword argument 'b'"))
case("an assertion without words", "def check(x):\n    assert x > 0\n\n\ncheck(-1)\n", want("AssertionError", 2, "check"))
case("an assertion with a number", "loss = float('nan')\nassert loss == loss, f'loss is {loss} at step 17'\n", want("AssertionError", 2, "<module>", "loss is nan at step 17"))
case("shapes in numpy", "import numpy as np\n\n\ndef add(n):\n    return np.ones(n) + np.ones(n + 1)\n\n\nadd(3)\n", want("ValueError", 5, "add", "shapes (3,) (4,)"))
case("an exception of a library's own", "import numpy as np\n\n\ndef solve():\n    np.inv([[0]])\n\n\nsolve()\n", want("numpy.linalg.LinAlgError", 5, "solve", "Singular matrix"))
case("shapes in torch, four library frames", "import torch\n\nnet = torch.Linear()\n\n\ndef forward(x):\n    return net(x)\n\n\nforward(1)\n", want("RuntimeError", 7, "forward", "mat1 and mat2 shapes"))
case("the GPU's memory", "import torch\n\n\ndef train():\n    torch.big()\n\n\ntrain()\n", want("torch.cuda.OutOfMemoryError", 5, "train", "CUDA out of memory"), says="GPU's memory ran out")
case("a device-side assert of several lines", "import torch\n\ntorch.device_assert()\n", want("RuntimeError", 3, "<module>", "device-side assert triggered"))
case("weights that do not fit", "import torch\n\n\ndef restore():\n    torch.load(1)\n\n\nrestore()\n", want("RuntimeError", 5, "restore", "fc3.weight"))
case("a missing column in pandas, chained", "import pandas as pd\n\n\ndef column(df):\n    return df['acc']\n\n\ncolumn(pd.DataFrame())\n", want("KeyError", 5, "column", "acc"))
case("raised from another", "def load():\n    try:\n        return {}['w']\n    except KeyError as e:\n        raise RuntimeError('no weights') from e\n\n\nload()\n", want("RuntimeError", 5, "load", "no weights"), says="KeyError: 'w'")
case("raised while another was handled", "def load():\n    try:\n        return int('x')\n    except ValueError:\n        return undefined_name\n\n\nload()\n", want("NameError", 5, "load", "undefined_name"), says="ValueError: invalid literal")
case("three in a chain", "def a():\n    try:\n        1 / 0\n    except ZeroDivisionError as e:\n        raise ValueError('second') from e\n\n\ntry:\n    a()\nexcept ValueError as e:\n    raise RuntimeError('third') from e\n", want("RuntimeError", 11, "<module>", "third"), says="ZeroDivisionError")
case("an exception group", "def work():\n    raise ExceptionGroup('two tasks failed', [ValueError('bad batch 7'), TypeError('bad type')])\n\n\nwork()\n", want("ExceptionGroup", 2, "work", "two tasks failed"), says="bad batch 7")
case("a group whose parts have frames", "def part():\n    raise ValueError('bad batch')\n\n\ntry:\n    part()\nexcept ValueError as e:\n    raise ExceptionGroup('tasks', [e])\n", want("ExceptionGroup", 8, "<module>", "tasks"), says="bad batch")
case("an exception with a note", "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    e.add_note('while averaging seeds')\n    raise\n", want("ZeroDivisionError", 2, "<module>", "division by zero"), says="while averaging seeds")
case("an exception of the experiment's own", "class Diverged(Exception):\n    pass\n\n\ndef train():\n    raise Diverged('loss 1e9 > 100')\n\n\ntrain()\n", want("Diverged", 6, "train", "loss 1e9"))
case("a message of many lines", "def f():\n    raise ValueError('first\\nsecond\\n\\nthird')\n\n\nf()\n", want("ValueError", 2, "f", "second"))
case("an empty message", "def f():\n    raise RuntimeError\n\n\nf()\n", want("RuntimeError", 2, "f"))
case("a message of 20 kB", "raise ValueError('x' * 20000)\n", want("ValueError", 1, "<module>", "xxx"))
case("endless recursion", "def grow(n):\n    return grow(n + 1)\n\n\ngrow(0)\n", want("RecursionError", 2, "grow", "maximum recursion depth"))
case("recursion in a circle of two", "def a(n):\n    return b(n)\n\n\ndef b(n):\n    return a(n)\n\n\na(0)\n", want("RecursionError", 2, "a|b", "maximum recursion depth"))
case("a child of multiprocessing fails", "import multiprocessing as mp\n\n\ndef work(x):\n    return 1 // x\n\n\nif __name__ == '__main__':\n    with mp.Pool(1) as pool:\n        pool.map(work, [0])\n", want("ZeroDivisionError", 5, "work", "integer"), says="line 5")
case("a process that died without a word", "import concurrent.futures as cf\nimport os\n\n\ndef work(x):\n    os._exit(3)\n\n\nif __name__ == '__main__':\n    with cf.ProcessPoolExecutor(1) as pool:\n        print(pool.submit(work, 1).result())\n", want("concurrent.futures.process.BrokenProcessPool", 11, "<module>", "terminated abruptly"))
case("a thread fails and the run goes on to fail", "import threading\n\n\ndef work():\n    raise ValueError('in a thread')\n\n\nt = threading.Thread(target=work)\nt.start()\nt.join()\nraise SystemExit(1)\n", want("ValueError", 5, "work", "in a thread"))
case("a subprocess fails", "import subprocess\nimport sys\n\nsubprocess.run([sys.executable, '-c', 'raise ValueError(1)'], check=True)\n", want("subprocess.CalledProcessError", 4, "<module>", "non-zero exit status 1"))
case("a file that is not there", "def load():\n    return open('data/train.csv')\n\n\nload()\n", want("FileNotFoundError", 2, "load", "data/train.csv"))
case("a folder opened as a file", "open('.', 'w').write('x')\n", want("IsADirectoryError", 1, "<module>", "Is a directory"))
case("bytes that are no UTF-8", "open('d', 'wb').write(b'\\xff\\xfe\\x00')\n\n\ndef read():\n    return open('d', encoding='utf-8').read()\n\n\nread()\n", want("UnicodeDecodeError", 5, "read", "invalid start byte"))
case("an output that ASCII cannot hold", "print('η = 0.1')\n", want("UnicodeEncodeError", 1, "<module>", "'ascii' codec can't encode"), env={"PYTHONIOENCODING": "ascii"})
case("bytes that are no text in the message", "import sys\nsys.stderr.buffer.write(b'\\xff\\xfe broken \\x00\\n')\nsys.stderr.flush()\nraise ValueError('after')\n", want("ValueError", 4, "<module>", "after"))
case("a function whose name is not ASCII", "def größe(x):\n    raise ValueError('ungültig: ü')\n\n\ngröße(1)\n", want("ValueError", 2, "größe", "ungültig"))
case("JSON that is none", "import json\n\n\ndef parse():\n    return json.loads('{\"a\": }')\n\n\nparse()\n", want("json.decoder.JSONDecodeError", 5, "parse", "Expecting value"))
case("arguments that argparse does not know", "import argparse\n\np = argparse.ArgumentParser()\np.add_argument('--lr', required=True)\np.parse_args()\n", want("FAILED", 0, "", ""), says="the following arguments are required: --lr")
case("an exit with words", "import sys\n\nsys.exit('no GPU was found')\n", want("FAILED"), says="no GPU was found")
case("a flood of warnings before the error", "import warnings\n\nfor i in range(400):\n    warnings.warn_explicit(f'overflow encountered in exp {i}', RuntimeWarning, 'experiment.py', i)\nraise FloatingPointError('nan')\n", want("FloatingPointError", 5, "<module>", "nan"))
case("a progress bar before the error", "import sys\n\nfor i in range(101):\n    sys.stderr.write(f'\\rtrain: {i:3d}%|{\"#\" * (i // 10):10s}| {i}/100 [00:01<00:00, 99.9it/s]')\nsys.stderr.write('\\n')\nraise ValueError('after the bar')\n", want("ValueError", 6, "<module>", "after the bar"))
case("a progress bar that the error follows on its line", "import sys\n\nsys.stderr.write('\\rtrain:  40%|####      | 40/100')\nsys.stderr.flush()\nraise ValueError('on the bar')\n", want("ValueError", 5, "<module>", "on the bar"))
case("colours", "import sys\n\nsys.stderr.write('\\x1b[31mERROR\\x1b[0m starting\\n')\nraise ValueError('\\x1b[1mbold\\x1b[0m')\n", want("ValueError", 4, "<module>", "bold"))
case("a traceback that the program printed and lived on", "import traceback\n\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    traceback.print_exc()\nraise ValueError('the real one')\n", want("ValueError", 7, "<module>", "the real one"))
case("a traceback on stdout", "import sys\nimport traceback\n\ntry:\n    {}['k']\nexcept KeyError:\n    traceback.print_exc(file=sys.stdout)\n    sys.exit(1)\n", want("KeyError", 5, "<module>", "k"))
case("an error in a lambda in a comprehension", "f = lambda x: 1 / x\nprint([f(x) for x in (1, 0)])\n", want("ZeroDivisionError", 1, "<lambda>", "division by zero"))
case("an error in exec", "code = 'x = 1\\ny = undefined_thing'\n\n\ndef run():\n    exec(code)\n\n\nrun()\n", want("NameError", 5, "run", "undefined_thing"))
case("stopped by hand", "def wait():\n    raise KeyboardInterrupt\n\n\nwait()\n", want("KeyboardInterrupt", 2, "wait"))
case("a time limit", "import time\n\nprint('epoch 3, loss 0.25', flush=True)\ntime.sleep(30)\n", want("TIMEOUT", 0, "", ""), end="TIMEOUT", kill=9, says="epoch 3, loss 0.25", time_limit="10 minutes")
case("killed for its memory", "print('allocating', flush=True)\nimport time\ntime.sleep(30)\n", want("OOM"), end="OOM", kill=9, says="more memory than it may")
case("an exit code that looks like a kill", "import sys\n\nprint('Killed', file=sys.stderr)\nsys.exit(137)\n", want("FAILED"), says="exit code 137")
case("Python's own memory error", "x = bytearray(1 << 62)\n", want("MemoryError|OverflowError", 1, "<module>"))
case("a missing result file", "print('done')\n", want("OUTPUT", 0, "", "final_info.json is missing"), end="OUTPUT", message="final_info.json is missing", says="missing or has the wrong shape")
case("keys that the baseline has", "print('done')\n", want("OUTPUT", 0, "", "lacks"), end="OUTPUT", message="final_info.json lacks noise_0.3/mse", missing=["noise_0.3/mse"], says="lacks keys that the baseline has: noise_0.3/mse")
case("a metric that is no number", "print('loss nan')\n", want("NOT_FINITE"), end="NOT_FINITE", says="not a finite number")
case("a crash of the interpreter", "import ctypes\n\nctypes.string_at(0)\n", want("Fatal Python error", 3, "<module>", "Segmentation fault"), says="Segmentation fault", env={"PYTHONFAULTHANDLER": "1"})
case("no output at all", "import os\n\nos._exit(7)\n", want("FAILED"), says="exit code 7")


def run(c):
    # A short folder whose name is cut from the output below: where it ran must not matter.
    with tempfile.TemporaryDirectory() as top:
        folder = os.path.join(top, "work")
        for path, text in {**LIB, **c["files"], "experiment.py": c["code"]}.items():
            full = os.path.join(folder, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8", errors="surrogateescape") as f:
                f.write(text.lstrip("\n") if path in LIB else text)
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.path.join(folder, "site-packages"), "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", **c.get("env", {})}
        p = subprocess.Popen([c.get("python", sys.executable), *c.get("argv", ["experiment.py"])], cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = p.communicate(timeout=1.5 if c["kill"] else 60)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL)
            out, err = p.communicate()
        libraries = {os.path.dirname(os.__file__): b"/usr/lib/python3.11", sysconfig.get_paths()["purelib"]: b"/usr/lib/python3/dist-packages"}

        def clean(b):
            for path, short in [(folder, b"/job/work"), *libraries.items()]:
                b = b.replace(path.encode(), short)
            return b
        sources = {"experiment.py": c["code"], **c["files"]}
        result = {"name": c["name"], "sources": sources, "end": c["end"], "exit": p.returncode if p.returncode >= 0 else 128 - p.returncode,
                  "stdout": clean(out).decode("utf-8", "surrogateescape"), "stderr": clean(err).decode("utf-8", "surrogateescape"), "want": c["want"]}
        for key in ("says", "message", "missing", "time_limit"):
            if key in c:
                result[key] = c[key]
        for key in ("stdout", "stderr"):  # bytes that are no text, and floods, travel as they are
            result[key] = result[key].encode("utf-8", "surrogateescape").decode("latin-1")
        return result


def main(name="outputs.json"):
    results = [run(c) for c in CASES]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), name), "w", encoding="ascii") as f:
        json.dump(results, f, indent=1)
        f.write("\n")
    print(len(results), "outputs")


if __name__ == "__main__":
    main()
