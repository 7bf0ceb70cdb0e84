"""Breaks further experiments, also within real libraries, and writes what they print to libraries.json, for TestParse_RealOutputs.

Needs numpy, scipy, scikit-learn, joblib, tqdm and torch beside make.py (Debian: python3-numpy python3-scipy python3-sklearn python3-joblib
python3-tqdm python3-torch).
"""

import make
from make import case, want

make.CASES.clear()
make.LIB.clear()
E = "experiment.py"


def go(name, code, type, line=0, function="", text="", file=E, **more):
    case(name, code, want(type, line, function, text, file), **more)


go("three modules that import each other", "import a\n", "ImportError", 1, "<module>", "partially initialized module 'a'", file="c.py",
   files={"a.py": "import b\nx = 1\n", "b.py": "import c\n", "c.py": "from a import x\n"})
go("a curly quote in the code", "name = “loss”\n", "SyntaxError", 1, "", "invalid character '“' (U+201C)")
go("an indent that matches no outer one", "def f():\n        x = 1\n    return x\n", "IndentationError", 3, "", "unindent does not match")
go("a source in Latin-1", "# caf\udce9\nprint(1)\n", "SyntaxError", 1, "", "Non-UTF-8 code starting with")
go("a missing colon in an imported module of a folder", "import lib.model\n", "SyntaxError", 2, "", "expected ':'", file="lib/model.py",
   files={"lib/__init__.py": "", "lib/model.py": "x = 1\ndef f()\n    pass\n"})
go("a group in a group, raised again", "def work():\n    raise ExceptionGroup('outer', [ValueError('bad lr'), ExceptionGroup('inner', [KeyError('k'), OSError('disk')])])\n\n\ntry:\n    work()\nexcept* ValueError as e:\n    raise\n",
   "ExceptionGroup", 2, "work", "outer")
go("raised from none", "def f():\n    try:\n        {}['a']\n    except KeyError:\n        raise ValueError('no such key: a') from None\n\n\nf()\n", "ValueError", 5, "f", "no such key: a")
go("causes in three files", "import data\n\n\ndef main():\n    try:\n        data.load()\n    except RuntimeError as e:\n        raise SystemError('cannot start') from e\n\n\nmain()\n", "SystemError", 8, "main", "cannot start",
   files={"data.py": "import raw\n\n\ndef load():\n    try:\n        raw.read()\n    except OSError as e:\n        raise RuntimeError('no data') from e\n", "raw.py": "def read():\n    open('/nonexistent/x.csv')\n"}, says="raw.py line 2")
go("a layer that is too narrow", "import torch\nfrom torch import nn\n\nnet = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(32, 10))\n\n\ndef train(x):\n    return net(x).sum()\n\n\ntrain(torch.zeros(8, 784))\n", "RuntimeError", 8, "train", "mat1 and mat2 shapes cannot be multiplied (8x64 and 32x10)")
go("doubles for floats", "import numpy as np\nimport torch\n\nnet = torch.nn.Linear(3, 1)\nx = torch.from_numpy(np.ones((2, 3)))\nprint(net(x))\n", "RuntimeError", 6, "<module>", "dtype")
go("a gradient through a changed value", "import torch\n\n\ndef loss(w):\n    y = w.exp()\n    y += 1\n    return y.sum()\n\n\nw = torch.ones(3, requires_grad=True)\nloss(w).backward()\n", "RuntimeError", 11, "<module>", "modified by an inplace operation")
go("a worker of a data loader fails", "import torch\nfrom torch.utils.data import DataLoader, Dataset\n\n\nclass Rows(Dataset):\n    def __len__(self):\n        return 8\n\n    def __getitem__(self, i):\n        if i == 5:\n            raise ValueError(f'row {i} is empty')\n        return torch.zeros(2)\n\n\ndef main():\n    for batch in DataLoader(Rows(), batch_size=4, num_workers=1):\n        print(batch.shape)\n\n\nif __name__ == '__main__':\n    main()\n",
   "ValueError", 11, "__getitem__", "row 5 is empty", says="DataLoader")
go("tensors that cannot be stacked, in a loader", "import torch\nfrom torch.utils.data import DataLoader\n\nrows = [torch.zeros(2), torch.zeros(3)]\nfor b in DataLoader(rows, batch_size=2):\n    print(b)\n", "RuntimeError", 5, "<module>", "stack expects each tensor to be equal size")
go("a model that was not fitted", "from sklearn.linear_model import Ridge\n\nprint(Ridge().predict([[1.0]]))\n", "sklearn.exceptions.NotFittedError", 3, "<module>", "not fitted yet")
go("not a number in the features", "import numpy as np\nfrom sklearn.linear_model import LogisticRegression\n\n\ndef fit(x, y):\n    return LogisticRegression().fit(x, y)\n\n\nfit(np.array([[1.0], [np.nan]]), [0, 1])\n", "ValueError", 6, "fit", "Input X contains NaN")
go("unlike numbers of samples", "import numpy as np\nfrom sklearn.metrics import accuracy_score\n\naccuracy_score(np.zeros(3), np.zeros(4))\n", "ValueError", 4, "<module>", "inconsistent numbers of samples: [3, 4]")
go("a root that is not bracketed", "from scipy.optimize import brentq\n\nbrentq(lambda x: x * x + 1, 0, 1)\n", "ValueError", 3, "<module>", "must have different signs")
go("a singular matrix", "import numpy as np\n\n\ndef solve():\n    return np.linalg.inv(np.zeros((2, 2)))\n\n\nsolve()\n", "numpy.linalg.LinAlgError", 5, "solve", "Singular matrix")
go("arrays that are not close", "import numpy as np\n\nnp.testing.assert_allclose(np.arange(2000.0), np.arange(2000.0) + 1, err_msg='losses')\n", "AssertionError", 3, "<module>", "Not equal to tolerance")
go("an assertion with long arrays", "a = list(range(3000))\nassert a == a[1:], (a, a[1:])\n", "AssertionError", 2, "<module>", "([0, 1, 2, 3")
go("warnings that are errors", "import warnings\nimport traceback\n\nimport numpy as np\n\nwarnings.simplefilter('error')\n\n\ndef norm(x):\n    return x / np.float64(0)\n\n\ntry:\n    norm(np.ones(2))\nexcept RuntimeWarning:\n    traceback.print_exc()\nnorm(np.ones(2))\n", "RuntimeWarning", 10, "norm", "divide by zero encountered in divide")
go("a warning before the error says the same", "import warnings\n\nwarnings.warn('loss is 17')\nwarnings.warn('loss is 18')\nraise UserWarning('loss is 19')\n", "UserWarning", 5, "<module>", "loss is 19")
go("interrupted while it sleeps", "import os\nimport signal\nimport threading\nimport time\n\n\ndef wait():\n    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n    time.sleep(5)\n\n\nwait()\n", "KeyboardInterrupt", 9, "wait")
go("a representation that calls itself", "class Net:\n    def __repr__(self):\n        return f'Net({self!r})'\n\n\nprint(Net())\n", "RecursionError", 3, "__repr__", "maximum recursion depth exceeded")
go("an error at exit, and no result", "import atexit\n\n\ndef save():\n    raise OSError('the folder is gone')\n\n\natexit.register(save)\nprint('trained')\n", "OSError", 5, "save", "the folder is gone", end="OUTPUT", message="final_info.json is missing", says="the folder is gone")
go("an error at exit behind the real one", "import atexit\n\n\ndef save():\n    raise OSError('the folder is gone')\n\n\natexit.register(save)\nraise ValueError('the loss is negative')\n", "ValueError", 9, "<module>", "the loss is negative")
go("an object that cannot be cleaned up, behind the real error", "class Pool:\n    def __del__(self):\n        raise AttributeError('no handle')\n\n\npool = Pool()\nraise ValueError('the loss is negative')\n", "ValueError", 7, "<module>", "the loss is negative")
go("an object that cannot be cleaned up, before the real error", "class Pool:\n    def __del__(self):\n        raise AttributeError('no handle')\n\n\npool = Pool()\ndel pool\nraise ValueError('the loss is negative')\n", "ValueError", 8, "<module>", "the loss is negative")
go("a thread fails and no result comes", "import threading\n\n\ndef work():\n    return 1 / 0\n\n\nt = threading.Thread(target=work)\nt.start()\nt.join()\n", "ZeroDivisionError", 5, "work", "division by zero", end="OUTPUT", message="final_info.json is missing")
go("a child of a pool of processes fails", "from concurrent.futures import ProcessPoolExecutor\n\n\ndef score(x):\n    return 1 / x\n\n\ndef main():\n    with ProcessPoolExecutor(2) as pool:\n        print(list(pool.map(score, [1, 0])))\n\n\nif __name__ == '__main__':\n    main()\n", "ZeroDivisionError", 5, "score", "division by zero")
go("a job of joblib fails", "from joblib import Parallel, delayed\n\n\ndef score(x):\n    return 1 / x\n\n\ndef main():\n    return Parallel(n_jobs=2)(delayed(score)(x) for x in (1, 0))\n\n\nif __name__ == '__main__':\n    main()\n", "ZeroDivisionError", 5, "score", "division by zero")
go("a worker of joblib is killed", "import os\nimport signal\n\nfrom joblib import Parallel, delayed\n\n\ndef score(x):\n    os.kill(os.getpid(), signal.SIGKILL)\n\n\nif __name__ == '__main__':\n    Parallel(n_jobs=2)(delayed(score)(x) for x in (1, 0))\n", "joblib.externals.loky.process_executor.TerminatedWorkerError", 12, "<module>", "A worker process managed by the executor was unexpectedly terminated")
go("something that cannot be pickled", "from concurrent.futures import ProcessPoolExecutor\n\n\ndef main():\n    with ProcessPoolExecutor(1) as pool:\n        print(pool.submit(lambda: 1).result())\n\n\nif __name__ == '__main__':\n    main()\n", "AttributeError|_pickle.PicklingError", 6, "main", "Can't pickle")
go("a program that it starts fails", "import subprocess\nimport sys\n\nsubprocess.run([sys.executable, 'prepare.py'], check=True)\n", "subprocess.CalledProcessError", 4, "<module>", "returned non-zero exit status 1", files={"prepare.py": "raise KeyError('train')\n"}, says="KeyError: 'train'")
go("an argument that is no number", "import argparse\n\np = argparse.ArgumentParser()\np.add_argument('--lr', type=float, default='fast')\np.parse_args()\n", "FAILED", text="argument --lr: invalid float value: 'fast'", says="invalid float value: 'fast'")
go("an exit with code 2 and words on stdout", "import sys\n\nprint('no data for run 3')\nsys.exit(2)\n", "FAILED", says="no data for run 3")
go("a bar of tqdm that an error cuts", "from tqdm import tqdm\n\n\ndef train():\n    for i in tqdm(range(300), desc='train', mininterval=0):\n        if i == 150:\n            raise FloatingPointError(f'loss is nan at step {i}')\n\n\ntrain()\n", "FloatingPointError", 7, "train", "loss is nan at step 150")
go("two bars and a warning in between", "import warnings\n\nfrom tqdm import tqdm\n\nfor e in range(2):\n    for i in tqdm(range(50), desc=f'epoch {e}', mininterval=0):\n        pass\n    warnings.warn(f'slow epoch {e}')\nraise StopIteration\n", "StopIteration", 9, "<module>", "")
go("a coloured traceback", "import sys\nimport traceback\n\n\ndef show(t, v, tb):\n    for line in traceback.format_exception(t, v, tb):\n        sys.stderr.write('\\x1b[31m' + line.rstrip('\\n') + '\\x1b[0m\\n')\n\n\nsys.excepthook = show\n\n\ndef f():\n    raise ValueError('red')\n\n\nf()\n", "ValueError", 14, "f", "red")
go("a message in Latin-1", "import sys\n\nsys.stderr.reconfigure(encoding='latin-1')\n\n\ndef f():\n    raise ValueError('caf\u00e9 is closed')\n\n\nf()\n", "ValueError", 7, "f", "is closed")
go("killed by itself", "import os\nimport signal\n\nprint('epoch 3', flush=True)\nos.kill(os.getpid(), signal.SIGKILL)\n", "FAILED", says="SIGKILL")
go("a segmentation fault without a word", "import ctypes\n\nprint('loading', flush=True)\nctypes.string_at(0)\n", "FAILED", says="SIGSEGV")
go("aborted", "import os\n\nos.abort()\n", "FAILED", says="SIGABRT")
go("a segmentation fault in a thread", "import ctypes\nimport threading\nimport time\n\n\ndef crash():\n    ctypes.string_at(0)\n\n\ndef main():\n    threading.Thread(target=crash).start()\n    time.sleep(2)\n\n\nmain()\n", "Fatal Python error", 7, "crash", "Segmentation fault", env={"PYTHONFAULTHANDLER": "1"})
go("a device that is full", "def save(x):\n    with open('/dev/full', 'w') as f:\n        f.write(x)\n\n\nsave('x' * 100000)\n", "OSError", 3, "save", "No space left on device")
go("an array that does not fit", "import resource\n\nimport numpy as np\n\nresource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n\n\ndef make():\n    return np.ones((1 << 16, 1 << 16))\n\n\nmake()\n", "numpy.core._exceptions._ArrayMemoryError|numpy._core._exceptions._ArrayMemoryError", 9, "make", "Unable to allocate 32.0 GiB")
go("a generator that stops too early", "def rows():\n    yield next(iter([]))\n\n\nfor r in rows():\n    print(r)\n", "RuntimeError", 5, "<module>", "generator raised StopIteration")
go("logged, then left", "import logging\nimport sys\n\n\ndef f():\n    raise KeyError('loss')\n\n\ntry:\n    f()\nexcept KeyError:\n    logging.exception('run failed')\n    sys.exit(1)\n", "KeyError", 6, "f", "loss")
go("a task whose error nobody fetched, before the real one", "import asyncio\n\n\nasync def side():\n    raise OSError('side')\n\n\nasync def main():\n    t = asyncio.ensure_future(side())\n    await asyncio.sleep(0.01)\n    del t\n    raise ValueError('main')\n\n\nasyncio.run(main())\n", "ValueError", 12, "main", "main")
go("a semaphore that leaks behind the error", "import multiprocessing as mp\nimport os\nimport sys\nimport traceback\n\nlock = mp.get_context('spawn').Lock()\ntry:\n    [][1]\nexcept IndexError:\n    traceback.print_exc()\nsys.stderr.flush()\nos._exit(1)\n", "IndexError", 8, "<module>", "list index out of range")
go("a message with a line like an exception", "raise ValueError('the config is wrong\\nModel: resnet\\nError: too deep')\n", "ValueError", 1, "<module>", "the config is wrong")
go("a decorator between", "import functools\n\n\ndef timed(f):\n    @functools.wraps(f)\n    def inner(*a):\n        return f(*a)\n    return inner\n\n\n@timed\ndef train(x):\n    return x.missing\n\n\ntrain(3)\n", "AttributeError", 13, "train", "'int' object has no attribute 'missing'")
go("a class that is not complete", "from abc import ABC, abstractmethod\n\n\nclass M(ABC):\n    @abstractmethod\n    def f(self): ...\n\n\nclass N(M):\n    pass\n\n\nN()\n", "TypeError", 13, "<module>", "Can't instantiate abstract class N")
go("a dictionary that changes while it is read", "d = {i: i for i in range(3)}\nfor k in d:\n    d[k + 10] = 1\n", "RuntimeError", 2, "<module>", "dictionary changed size during iteration")

if __name__ == "__main__":
    make.main("libraries.json")
