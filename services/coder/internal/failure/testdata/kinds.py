"""Breaks further experiments, in the ways of newer Pythons and of tools that print tracebacks in forms of their own, and writes what they print to
kinds.json, for TestParse_RealOutputs.

Needs Python 3.13 with numpy, pandas, scipy, matplotlib, ipython, loguru and rich beside make.py; the cases of torch are run by /usr/bin/python3
(Debian: python3-torch).
"""

import make
from make import case, want

make.CASES.clear()
make.LIB.clear()
E = "experiment.py"
TORCH = "/usr/bin/python3"


def go(name, code, type, line=0, function="", text="", file=E, **more):
    case(name, code, want(type, line, function, text, file), **more)


# asyncio
go("one of several coroutines fails", "import asyncio\n\n\nasync def step(i):\n    await asyncio.sleep(0)\n    if i == 2:\n        raise ValueError(f'step {i} diverged')\n\n\nasync def main():\n    await asyncio.gather(*(step(i) for i in range(4)))\n\n\nasyncio.run(main())\n", "ValueError", 7, "step", "step 2 diverged")
go("a coroutine that takes too long", "import asyncio\n\n\nasync def train():\n    await asyncio.sleep(30)\n\n\nasync def main():\n    await asyncio.wait_for(train(), 0.1)\n\n\nasyncio.run(main())\n", "TimeoutError", 9, "main", "")
go("a group of tasks", "import asyncio\n\n\nasync def part(i):\n    raise KeyError(f'shard {i}')\n\n\nasync def main():\n    async with asyncio.TaskGroup() as g:\n        g.create_task(part(1))\n\n\nasyncio.run(main())\n", "ExceptionGroup", 9, "main", "unhandled errors in a TaskGroup", says="KeyError: 'shard 1'")
go("a coroutine that nobody awaited", "async def loss():\n    return 1.0\n\n\ndef main():\n    return loss() + 1\n\n\nmain()\n", "TypeError", 6, "main", "unsupported operand type(s) for +: 'coroutine' and 'int'")
go("a loop inside a loop", "import asyncio\n\n\nasync def inner():\n    return 1\n\n\nasync def outer():\n    return asyncio.run(inner())\n\n\nasyncio.run(outer())\n", "RuntimeError", 9, "outer", "asyncio.run() cannot be called from a running event loop")
# dataclasses and classes
go("a dataclass that lacks an argument", "from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    lr: float\n    steps: int\n\n\ndef main():\n    return Config(0.1)\n\n\nmain()\n", "TypeError", 11, "main", "missing 1 required positional argument: 'steps'")
go("a list as the default of a dataclass", "from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    sizes: list = [1, 2]\n", "ValueError", 4, "<module>", "mutable default <class 'list'> for field sizes is not allowed")
go("a field after one with a default", "from dataclasses import dataclass\n\n\n@dataclass\nclass Config:\n    lr: float = 0.1\n    steps: int\n", "TypeError", 4, "<module>", "non-default argument 'steps' follows default argument 'lr'")
go("an exception class of a function", "def main():\n    class Diverged(Exception):\n        pass\n\n    raise Diverged('at step 9')\n\n\nmain()\n", "main.<locals>.Diverged", 5, "main", "at step 9")
go("an exception class with letters that are not ASCII", "class Größenfehler(ValueError):\n    pass\n\n\nraise Größenfehler('3 statt 4')\n", "Größenfehler", 5, "<module>", "3 statt 4")
go("an exception that cannot say what it is", "class Bad(Exception):\n    def __str__(self):\n        return self.nothing\n\n\nraise Bad\n", "Bad", 6, "<module>", "str() failed")
go("an exception in a context manager of its own", "from contextlib import contextmanager\n\n\n@contextmanager\ndef timer():\n    yield\n    raise OSError('the clock stopped')\n\n\ndef main():\n    with timer():\n        pass\n\n\nmain()\n", "OSError", 7, "timer", "the clock stopped")
go("an error while cleaning up", "def main():\n    try:\n        raise ValueError('the loss is nan')\n    finally:\n        open('/proc/none/log', 'w')\n\n\nmain()\n", "FileNotFoundError", 5, "main", "/proc/none/log", says="ValueError: the loss is nan")
# numpy, pandas, matplotlib
go("shapes that numpy cannot broadcast", "import numpy as np\n\n\ndef residual(x, y):\n    return x - y\n\n\nresidual(np.ones((32, 10)), np.ones((32, 12)))\n", "ValueError", 5, "residual", "operands could not be broadcast together with shapes (32,10) (32,12)")
go("a name that numpy has no more", "import numpy as np\n\nx = np.zeros(3, dtype=np.float)\n", "AttributeError", 3, "<module>", "was a deprecated alias for the builtin `float`")
go("a column that a real table lacks", "import pandas as pd\n\n\ndef best(df):\n    return df['accuracy'].max()\n\n\nbest(pd.DataFrame({'acc': [1.0]}))\n", "KeyError", 5, "best", "accuracy")
go("a table in another encoding", "import pandas as pd\n\nopen('d.csv', 'wb').write(b'name,loss\\ncaf\\xe9,1\\n')\n\n\ndef load():\n    return pd.read_csv('d.csv')\n\n\nload()\n", "UnicodeDecodeError", 7, "load", "'utf-8' codec can't decode byte 0xe9")
go("tables that do not fit each other", "import pandas as pd\n\na = pd.DataFrame({'k': [1]})\nb = pd.DataFrame({'q': [1]})\nprint(a.merge(b, on='k'))\n", "KeyError", 5, "<module>", "k")
go("a window that no screen shows", "import matplotlib.pyplot as plt\n\nplt.switch_backend('TkAgg')\n", "ImportError", 3, "<module>", "Cannot load backend 'TkAgg'")
go("x and y of unlike length", "import matplotlib\n\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n\n\ndef draw():\n    plt.plot([1, 2, 3], [1, 2])\n\n\ndraw()\n", "ValueError", 8, "draw", "x and y must have same first dimension")
go("a number of numpy in JSON", "import json\n\nimport numpy as np\n\n\ndef save(loss):\n    return json.dumps({'loss': loss})\n\n\nsave(np.float32(1))\n", "TypeError", 7, "save", "Object of type float32 is not JSON serializable")
go("a matrix that is not positive definite", "import numpy as np\nfrom scipy.linalg import cholesky\n\n\ndef sample():\n    return cholesky(-np.eye(2))\n\n\nsample()\n", "numpy.linalg.LinAlgError", 6, "sample", "potrf return info")
# torch on the CPU
go("a class that the classifier does not have", "import torch\nimport torch.nn.functional as F\n\n\ndef loss():\n    return F.cross_entropy(torch.zeros(4, 10), torch.tensor([1, 2, 3, 10]))\n\n\nloss()\n", "IndexError", 6, "loss", "Target 10 is out of bounds", python=TORCH)
go("channels that a convolution does not take", "import torch\n\nnet = torch.nn.Conv2d(3, 8, 3)\n\n\ndef forward(x):\n    return net(x)\n\n\nforward(torch.zeros(2, 1, 28, 28))\n", "RuntimeError", 7, "forward", "to have 3 channels, but got 1 channels instead", python=TORCH)
go("a view of another size", "import torch\n\n\ndef flat(x):\n    return x.view(-1, 100)\n\n\nflat(torch.zeros(3, 7))\n", "RuntimeError", 5, "flat", "shape '[-1, 100]' is invalid for input of size 21", python=TORCH)
go("no GPU on this machine", "import torch\n\nx = torch.zeros(2).to('cuda')\n", "AssertionError|RuntimeError", 3, "<module>", "CUDA", python=TORCH)
go("a worker of a loader that is killed", "import os\nimport signal\n\nimport torch\nfrom torch.utils.data import DataLoader, Dataset\n\n\nclass Rows(Dataset):\n    def __len__(self):\n        return 4\n\n    def __getitem__(self, i):\n        os.kill(os.getpid(), signal.SIGKILL)\n\n\ndef main():\n    for batch in DataLoader(Rows(), num_workers=1):\n        print(batch)\n\n\nif __name__ == '__main__':\n    main()\n", "RuntimeError", 17, "main", "exited unexpectedly", says="Killed", python=TORCH)
# code that is made
go("a syntax error in code that is made", "def run(text):\n    exec(text)\n\n\nrun('x = = 1')\n", "SyntaxError", 2, "run", "invalid syntax")
go("made code under a name of its own", "code = compile('def f(x):\\n    return x.shape\\n', '<generated>', 'exec')\nspace = {}\nexec(code, space)\n\n\ndef use():\n    space['f'](3)\n\n\nuse()\n", "AttributeError", 7, "use", "'int' object has no attribute 'shape'")
go("a script that runs another", "import runpy\n\nrunpy.run_path('train.py', run_name='__main__')\n", "ZeroDivisionError", 2, "train", "division by zero", file="train.py", files={"train.py": "def train():\n    return 1 / 0\n\n\ntrain()\n"})
go("a folder and a file with blanks in their names", "import sys\n\nsys.path.insert(0, 'my lib')\nimport helper\n\nhelper.go()\n", "KeyError", 2, "go", "lr", file="my lib/helper.py", files={"my lib/helper.py": "def go():\n    return {}['lr']\n"})
# newer Pythons
go("an expression of many lines", "def loss(a,\n         b):\n    return (\n        a['x']\n        + b\n        + undefined_term(\n            a,\n            b,\n        )\n    )\n\n\nloss({'x': 1}, 2)\n", "NameError", 6, "loss", "undefined_term")
go("colours of Python 3.13", "def f(x):\n    return 1 / x\n\n\ntry:\n    f(0)\nexcept ZeroDivisionError as e:\n    raise RuntimeError('no mean') from e\n", "RuntimeError", 8, "<module>", "no mean", says="ZeroDivisionError", env={"FORCE_COLOR": "1"})
go("colours of a syntax error", "x = (1,\ny = 2\n", "SyntaxError", 1, "", "'(' was never closed", env={"FORCE_COLOR": "1"})
go("a file with the name of a module", "import random\n\nprint(random.randint(1, 2))\n", "AttributeError", 3, "<module>", "has no attribute 'randint'", files={"random.py": "x = 1\n"})
go("print as in Python 2", "print 'loss', 1\n", "SyntaxError", 1, "", "Missing parentheses in call to 'print'")
go("an import of what is nearly there", "from collections import OrderDict\n", "ImportError", 1, "<module>", "cannot import name 'OrderDict' from 'collections'")
# crashes, signals, encodings
go("a crash in an extension", "import faulthandler\n\nimport numpy as np\n\nfaulthandler.enable()\n\n\ndef read():\n    x = np.lib.stride_tricks.as_strided(np.zeros(1), shape=(1 << 40,), strides=(4096,))\n    return x.sum()\n\n\nread()\n", "Fatal Python error", 10, "read", "Segmentation fault")
go("a crash beside another thread", "import ctypes\nimport threading\nimport time\n\n\ndef idle():\n    time.sleep(20)\n\n\ndef main():\n    threading.Thread(target=idle, daemon=True).start()\n    time.sleep(0.2)\n    ctypes.string_at(0)\n\n\nmain()\n", "Fatal Python error", 13, "main", "Segmentation fault", env={"PYTHONFAULTHANDLER": "1"})
go("a watchdog beside another thread", "import faulthandler\nimport threading\nimport time\n\nfaulthandler.dump_traceback_later(0.4, exit=True)\n\n\ndef idle():\n    time.sleep(20)\n\n\ndef main():\n    threading.Thread(target=idle, daemon=True).start()\n    time.sleep(20)\n\n\nmain()\n", "Timeout", 14, "main", "0:00:00.4")
go("a watchdog of faulthandler", "import faulthandler\nimport time\n\nfaulthandler.dump_traceback_later(0.3, exit=True)\n\n\ndef wait():\n    time.sleep(20)\n\n\nwait()\n", "Timeout", 8, "wait", "0:00:00.3")
go("an alarm", "import signal\nimport time\n\nsignal.setitimer(signal.ITIMER_REAL, 0.3)\nprint('waiting', flush=True)\ntime.sleep(20)\n", "FAILED", says="SIGALRM")
go("half a character", "print('loss \\ud835')\n", "UnicodeEncodeError", 1, "<module>", "surrogates not allowed")
go("results that are there already", "import os\n\n\ndef main():\n    os.makedirs('run_1')\n    os.makedirs('run_1')\n\n\nmain()\n", "FileExistsError", 6, "main", "run_1")
go("a new process without the guard", "import multiprocessing as mp\n\ncontext = mp.get_context('spawn')\np = context.Process(target=print)\np.start()\np.join()\nraise SystemExit(p.exitcode)\n", "RuntimeError", 5, "<module>", "start a new process before")
# threads and processes
go("threads whose tracebacks mix", "import sys\nimport threading\nimport time\nimport traceback\n\n\ndef hook(args):\n    for line in traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback):\n        for part in line.splitlines():\n            sys.stderr.write(part + '\\n')\n            time.sleep(0.05)\n\n\nthreading.excepthook = hook\n\n\ndef work(i):\n    time.sleep(0.025 * i)\n    raise ValueError('bad row')\n\n\nts = [threading.Thread(target=work, args=(i,)) for i in range(2)]\nfor t in ts:\n    t.start()\nfor t in ts:\n    t.join()\nraise SystemExit(1)\n", "ValueError", 19, "work", "bad row")
go("tests with a long difference", "import unittest\n\n\nclass T(unittest.TestCase):\n    def test_rows(self):\n        self.maxDiff = None\n        self.assertEqual(list(range(300)), list(range(1, 301)))\n\n\nunittest.main()\n", "AssertionError", 7, "test_rows", "Lists differ")
# other forms
go("IPython's form", "def scale(x):\n    return x / 0\n\n\ndef main():\n    total = 3\n    return scale(total)\n\n\nmain()\n", "ZeroDivisionError", 2, "scale", "division by zero", argv=["-m", "IPython", "--no-banner", "--colors=NoColor", E])
go("IPython's form with a cause", "def load():\n    try:\n        return {}['w']\n    except KeyError as e:\n        raise RuntimeError('no weights') from e\n\n\nload()\n", "RuntimeError", 5, "load", "no weights", says="KeyError: 'w'", argv=["-m", "IPython", "--no-banner", "--colors=NoColor", E])
go("IPython's form, in colours, of a library's error", "import numpy as np\n\n\ndef solve():\n    return np.linalg.inv(np.zeros((2, 2)))\n\n\nsolve()\n", "LinAlgError", 5, "solve", "Singular matrix", argv=["-m", "IPython", "--no-banner", "--colors=Linux", E])
go("IPython's form of an error in two files", "import helper\n\n\ndef main():\n    helper.area(\n        2,\n        None,\n    )\n\n\nmain()\n", "TypeError", 2, "area", "unsupported operand type(s) for *: 'int' and 'NoneType'", file="helper.py", files={"helper.py": "def area(a, b):\n    return a * b\n"}, argv=["-m", "IPython", "--no-banner", "--colors=NoColor", E])
go("rich's form with a cause", "from rich.traceback import install\n\ninstall(show_locals=True)\n\n\ndef load():\n    try:\n        return {}['w']\n    except KeyError as e:\n        raise RuntimeError('no weights') from e\n\n\nload()\n", "RuntimeError", 10, "load", "no weights", says="KeyError: 'w'")
go("rich's form", "from rich.traceback import install\n\ninstall()\n\n\ndef scale(x):\n    return x / 0\n\n\nscale(3)\n", "ZeroDivisionError", 7, "scale", "division by zero")
go("loguru's form", "import sys\n\nfrom loguru import logger\n\n\ndef scale(x):\n    return x / 0\n\n\ntry:\n    scale(3)\nexcept ZeroDivisionError:\n    logger.exception('the run failed')\n    sys.exit(1)\n", "ZeroDivisionError", 7, "scale", "division by zero")

if __name__ == "__main__":
    make.main("kinds.json")
