"""Checks Python files without running or importing them.

Reads /in/request.json: {"files": [{"path", "old", "new"}], "read": {digest: text}}, the texts as
base64, old null for a new file. Prints two JSON objects: path to {"line", "error"} or {}, as soon as that
is known; then path to {"undefined", "required", "gone"} where the file is sound, and digest to {"code"}.
"""

import ast
import base64
import builtins
import hashlib
import json
import re
import sys
import warnings

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LITERALS = (ast.Constant, ast.Dict, ast.List, ast.Set, ast.Tuple)
# With these a program can look at its own names.
WATCHERS = {"exec", "eval", "globals", "locals", "vars", "dir"}
# Modules of which an import alone does nothing.
STANDARD = set(getattr(sys, "stdlib_module_names", ())) - {"__future__", "antigravity", "this"}
KNOWN = set(dir(builtins)) | {
    "__file__", "__name__", "__doc__", "__builtins__", "__spec__", "__loader__", "__package__",
    "__annotations__", "__class__", "__path__", "__qualname__", "__module__", "WindowsError",
}


def parse(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(data)


def walk(tree):
    """All nodes of a tree, breadth first, but for the contexts of names. Twice as fast as ast.walk."""
    nodes = [tree]
    for node in nodes:
        for field in node._fields:
            if field == "ctx":
                continue
            value = getattr(node, field, None)
            if isinstance(value, ast.AST):
                nodes.append(value)
            elif isinstance(value, list):
                nodes.extend(v for v in value if isinstance(v, ast.AST))
    return nodes


def bound_names(nodes):
    """Every name that is bound anywhere, in whatever scope; None when that cannot be known."""
    names = set()
    for node in nodes:
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


def undefined(nodes):
    names = bound_names(nodes)
    if names is None:
        return {}
    found = {}
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in WATCHERS - {"dir"}:
                return {}
            if node.id not in names and node.id not in KNOWN:
                found.setdefault(node.id, node.lineno)
    return found


def required(nodes):
    """Command line arguments that have to be given."""
    found = set()
    for node in nodes:
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


def blocks(node):
    """The lists of statements in a node."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield field, block


def code(data):
    """A digest that is equal for texts that execute alike.

    Comments, layout, docstrings, hints of types, imports of the standard library that nothing uses,
    and the names of local variables do not count.
    """
    try:
        tree = parse(data)
        nodes = walk(tree)
        watched = {n.id for n in nodes if isinstance(n, ast.Name)} & WATCHERS or bound_names(nodes) is None
        for node in nodes:
            plain(node)
        if not watched:
            nodes = walk(tree)
            used = {n.id for n in nodes if isinstance(n, ast.Name)} | words_of(tree, "__all__")
            for node in nodes:
                drop_imports(node, used)
            outer = bound_outside(tree) | KNOWN
            for function in outermost_functions(tree):
                number_locals(function, outer)
        return hashlib.sha256(ast.dump(tree).encode("utf-8", "surrogatepass")).hexdigest()
    except Exception:
        return ""


def plain(node):
    """Drops what does nothing: constants alone, pass, hints of types in functions that nothing decorates."""
    for field, block in blocks(node):
        setattr(node, field, [s for s in block if not isinstance(s, ast.Pass) and not (
            isinstance(s, ast.Expr) and all(isinstance(n, LITERALS) for n in walk(s.value)))])
    if isinstance(node, FUNCTIONS) and not node.decorator_list:
        node.returns = None
        a = node.args
        for arg in a.posonlyargs + a.args + a.kwonlyargs + [a.vararg, a.kwarg]:
            if arg is not None:
                arg.annotation = None
    if isinstance(node, FUNCTIONS):
        node.body = [ast.Assign([s.target], s.value, lineno=0) if isinstance(s, ast.AnnAssign)
                     and s.value is not None and isinstance(s.target, ast.Name) else s for s in node.body]


def words_of(tree, name):
    """The strings in what a name is bound to."""
    return {c.value for s in tree.body if isinstance(s, (ast.Assign, ast.AugAssign))
            and name in {getattr(t, "id", "") for t in getattr(s, "targets", None) or [s.target]}
            for c in walk(s.value) if isinstance(c, ast.Constant)}


def drop_imports(node, used):
    for field, block in blocks(node):
        kept = []
        for s in block:
            if isinstance(s, ast.Import):
                s.names = [a for a in s.names if not idle(a.name, a.asname or a.name, used)]
            elif isinstance(s, ast.ImportFrom) and not s.level:
                s.names = [a for a in s.names if not idle(s.module, a.asname or a.name, used)]
            if not isinstance(s, (ast.Import, ast.ImportFrom)) or s.names:
                kept.append(s)
        setattr(node, field, kept)


def idle(module, name, used):
    return module.split(".")[0] in STANDARD and name.split(".")[0] not in used


def bound_outside(tree):
    """Names that are bound outside of functions: to modules and classes, or by "global"."""
    names, todo = set(), [tree]
    while todo:
        for child in ast.iter_child_nodes(todo.pop()):
            if isinstance(child, FUNCTIONS + (ast.ClassDef,)):
                names.add(child.name)
            if not isinstance(child, FUNCTIONS):
                todo.append(child)
            if isinstance(child, ast.Name) and not isinstance(child.ctx, ast.Load):
                names.add(child.id)
    return names


def outermost_functions(tree):
    todo = [tree]
    while todo:
        for child in ast.iter_child_nodes(todo.pop(0)):
            if isinstance(child, FUNCTIONS):
                yield child
            else:
                todo.append(child)


def number_locals(function, outer):
    """Numbers the local variables of a function that are bound by assignment and in no other way."""
    order, otherwise = {}, set(outer)
    nodes = walk(function)
    for node in nodes:
        if isinstance(node, ast.ClassDef):
            return  # its names are attributes
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                order.setdefault(node.id, str(len(order)))
        elif isinstance(node, ast.arg):
            otherwise.add(node.arg)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            otherwise.update(node.names)
        elif isinstance(node, ast.alias):
            otherwise.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str):  # pandas and numexpr find variables by what strings say
                otherwise.update(re.findall(r"\w+", node.value))
        else:  # functions, handlers, patterns
            for field in ("name", "rest"):
                value = getattr(node, field, None)
                if isinstance(value, str):
                    otherwise.add(value)
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in order and node.id not in otherwise:
            node.id = order[node.id]


SEEDERS = {"seed", "manual_seed", "manual_seed_all", "set_seed", "seed_everything", "default_rng", "RandomState",
           "SeedSequence", "PRNGKey"}


def relied_on(nodes):
    """What every run relies on, of what a program does: knows --out_dir, writes final_info.json, sets a seed."""
    found = set()
    said = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}  # docstrings
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            if node.value.startswith("--out_dir"):
                found.add("out_dir")
            if "final_info" in node.value:
                found.add("final_info")
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in SEEDERS:
                found.add("seed")
    return found


def sound(data):
    """Why a text does not parse, or {}."""
    try:
        try:
            parse(data)
        except RecursionError:  # the interpreter itself may go deeper
            compile(data, "file", "exec", dont_inherit=True)
    except SyntaxError as error:
        return {"line": error.lineno or 0, "error": "%s: %s" % (type(error).__name__, error.msg)}
    except Exception as error:  # NUL bytes, nesting that is too deep
        return {"line": 0, "error": "%s: %s" % (type(error).__name__, error)}
    return {}


def doubts(old, new):
    """What is worth a question about a sound text."""
    try:
        nodes = walk(parse(new))
    except (RecursionError, MemoryError):
        return {}
    before = []
    if old is not None:
        try:
            before = walk(parse(old))
        except Exception:
            pass
    names, had = undefined(nodes), undefined(before)
    return {
        "undefined": [[n, names[n]] for n in sorted(names) if n not in had][:20],
        "required": sorted(required(nodes) - required(before))[:20] if old is not None else [],
        "gone": sorted(relied_on(before) - relied_on(nodes)),
    }


def main():
    with open("/in/request.json", encoding="utf-8") as source:
        request = json.load(source)
    texts = {f["path"]: (None if f["old"] is None else base64.b64decode(f["old"]), base64.b64decode(f["new"]))
             for f in request["files"]}
    out = {path: sound(new) for path, (_, new) in texts.items()}
    print(json.dumps(out), flush=True)
    for path, (old, new) in texts.items():
        if not out[path]:
            out[path] = doubts(old, new)
    for digest, text in request["read"].items():
        out[digest] = {"code": code(base64.b64decode(text))}
    print(json.dumps(out))


main()
