"""Checks Python files without running or importing them.

Reads /in/request.json: {"files": [{"path", "old", "new"}], "read": {digest: text}}, the texts as
base64, old null for a new file. Prints one JSON object: path to {"line", "error"} or {"undefined",
"required"}, digest to {"code"}.
"""

import ast
import base64
import builtins
import hashlib
import json
import sys
import warnings

KNOWN = set(dir(builtins)) | {
    "__file__", "__name__", "__doc__", "__builtins__", "__spec__", "__loader__", "__package__",
    "__annotations__", "__class__", "__path__", "__qualname__", "__module__", "WindowsError",
}


def parse(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(data)


def bound_names(tree):
    """Every name that is bound anywhere, in whatever scope; None when that cannot be known."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            names.update(node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                if alias.name == "*":
                    return None
                names.add((alias.asname or alias.name).split(".")[0])
        else:  # names that patterns and type parameters bind
            for field in ("name", "rest"):
                value = getattr(node, field, None)
                if isinstance(value, str):
                    names.add(value)
    return names


def undefined(tree):
    names = bound_names(tree)
    if names is None:
        return {}
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in ("exec", "eval", "globals", "locals", "vars"):
                return {}
            if node.id not in names and node.id not in KNOWN:
                found.setdefault(node.id, node.lineno)
    return found


def required(tree):
    """Command line arguments that have to be given."""
    found = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
                and node.func.attr == "add_argument" and node.args
                and isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)):
            continue
        name = node.args[0].value
        given = {k.arg: k.value for k in node.keywords}
        optional = name.startswith("-")
        if not optional:
            nargs = given.get("nargs")
            optional = isinstance(nargs, ast.Constant) and nargs.value in ("?", "*")
        else:
            value = given.get("required")
            optional = not (isinstance(value, ast.Constant) and value.value is True)
        if not optional:
            found.add(name)
    return found


def code(data):
    """A digest that is equal for texts that execute alike: without comments, layout and docstrings."""
    try:
        tree = parse(data)
        for node in ast.walk(tree):
            for field in ("body", "orelse", "finalbody"):
                block = getattr(node, field, None)
                if isinstance(block, list):
                    setattr(node, field, [s for s in block if not isinstance(s, ast.Pass) and not (
                        isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))])
        return hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass")).hexdigest()
    except Exception:
        return ""


def check(old, new):
    try:
        tree = parse(new)
    except SyntaxError as error:
        return {"line": error.lineno or 0, "error": "%s: %s" % (type(error).__name__, error.msg)}
    except Exception as error:  # NUL bytes, nesting that is too deep
        return {"line": 0, "error": "%s: %s" % (type(error).__name__, error)}
    before = ast.Module(body=[], type_ignores=[])
    if old is not None:
        try:
            before = parse(old)
        except Exception:
            pass
    names, had = undefined(tree), undefined(before)
    return {
        "undefined": [[n, names[n]] for n in sorted(names) if n not in had][:20],
        "required": sorted(required(tree) - required(before))[:20] if old is not None else [],
    }


def main():
    with open("/in/request.json", encoding="utf-8") as source:
        request = json.load(source)
    out = {d: {"code": code(base64.b64decode(text))} for d, text in request["read"].items()}
    for f in request["files"]:
        old = None if f["old"] is None else base64.b64decode(f["old"])
        try:
            out[f["path"]] = check(old, base64.b64decode(f["new"]))
        except (RecursionError, MemoryError) as error:
            out[f["path"]] = {"line": 0, "error": type(error).__name__}
    json.dump(out, sys.stdout)


main()
