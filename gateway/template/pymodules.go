package template

import (
	"slices"
	"strings"
)

// standardModules are the top-level modules of Python 3.9 to 3.14's library.
const standardModules = `
__future__ abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64
bdb binascii bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop
collections colorsys compileall concurrent configparser contextlib contextvars copy copyreg crypt
csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest email encodings
ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc
genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib
imaplib imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale
logging lzma mailbox mailcap marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing
netrc nis nntplib nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev pathlib pdb
pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty
pwd py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib resource
rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtpd smtplib
sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics
string stringprep struct subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib
tempfile termios textwrap this threading time timeit tkinter token tokenize tomllib trace traceback
tracemalloc tty turtle turtledemo types typing unicodedata unittest urllib uu uuid venv warnings
wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib
zoneinfo`

func standardModule(name string) bool {
	return strings.HasPrefix(name, "_") || slices.Contains(strings.Fields(standardModules), name)
}

// installHint names the Debian and the Python package of a module.
func installHint(module string) string {
	packages := map[string][2]string{
		"numpy": {"python3-numpy libopenblas0-pthread", "numpy"}, "scipy": {"python3-scipy", "scipy"},
		"matplotlib": {"python3-matplotlib", "matplotlib"}, "torch": {"python3-torch", "torch"},
		"sklearn": {"python3-sklearn", "scikit-learn"}, "pandas": {"python3-pandas", "pandas"},
		"tqdm": {"python3-tqdm", "tqdm"}, "PIL": {"python3-pil", "pillow"}, "yaml": {"python3-yaml", "pyyaml"},
		"cv2": {"python3-opencv", "opencv-python-headless"}, "seaborn": {"python3-seaborn", "seaborn"},
		"networkx": {"python3-networkx", "networkx"}, "sympy": {"python3-sympy", "sympy"},
		"torchvision": {"python3-torchvision", "torchvision"}, "h5py": {"python3-h5py", "h5py"},
		"statsmodels": {"python3-statsmodels", "statsmodels"}, "einops": {"", "einops"},
		"transformers": {"", "transformers"}, "datasets": {"", "datasets"}, "ase": {"python3-ase", "ase"}, "mace": {"", "mace-torch"},
		"skimage": {"python3-skimage", "scikit-image"}, "configargparse": {"python3-configargparse", "ConfigArgParse"}, "transformer_lens": {"", "transformer-lens"},
		"ema_pytorch": {"", "ema-pytorch"}, "Bio": {"python3-biopython", "biopython"}, "dateutil": {"python3-dateutil", "python-dateutil"}, "joblib": {"python3-joblib", "joblib"},
	}
	top := topModule(module)
	p, known := packages[top]
	switch {
	case known && p[0] != "":
		return "apt-get install " + p[0] + ", or " + p[1] + " in requirements.txt"
	case known:
		return p[1] + " in requirements.txt"
	}
	return top + " in requirements.txt"
}
