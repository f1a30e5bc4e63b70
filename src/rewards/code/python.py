"""Unit tests of Python code in two processes, each in a sandbox of its own: `tests` runs the tests of the row and tells the verdict;
`candidate` runs the completion and answers the calls of the tests with plain data. So nothing that the completion does to its process
(exits, patches, objects that equal everything) reaches the place where results are compared. Started by `unitTests.ts`.

Values are pickled. What is neither plain data nor of a known class of the library stays where it is, and the other side holds a `Remote`
of it: functions of the tests that are passed to the code, objects of the code's own classes. Equality and order are asked of such an
object only about another one; with plain data it has none.
"""
import ast
import builtins
import io
import json
import math
import operator
import os
import pickle
import re
import struct
import sys
import types

NAME = "solution"
LIMIT = 64 * 2**20
PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice, type(Ellipsis))
ABLE = {
    "collections": ("OrderedDict", "Counter", "defaultdict", "deque"),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "numpy": ("ndarray", "dtype"),
    "builtins": ("int", "float", "complex", "str", "bytes", "bytearray", "list", "tuple", "dict", "set", "frozenset", "range", "slice"),
}
# What a pickle of these classes calls.
MAKERS = {"_reconstruct", "_frombuffer", "scalar"}
# Between two objects of the other side.
OPERATORS = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift lt le gt ge eq ne".split()

class Gone(BaseException):
    """The other process ended, or said something that nobody may say."""

class Peer:
    def __init__(self, read, write, trusting):
        self.read, self.write, self.trusting = read, write, trusting
        self.held, self.errors = {}, {}

    def dumps(self, value):
        stream = io.BytesIO()
        pickler = Pickler(stream, 5)
        pickler.peer = self
        pickler.dump(value)
        return stream.getvalue()

    def name(self, value):
        """How a pickle names a value that is not copied; None of a value that is."""
        kind = type(value)
        if kind is Remote:
            return ("yours", object.__getattribute__(value, "_id"))
        if kind in PLAIN or is_able(kind) or kind.__module__ == "numpy":
            return None
        if isinstance(value, PLAIN) and (kind.__module__ != NAME or hasattr(kind, "_fields") or hasattr(kind, "_member_map_")):
            return None
        if kind is type and is_able(value):
            return None
        self.held[id(value)] = value
        return ("mine", id(value))

    def loads(self, data):
        unpickler = Unpickler(io.BytesIO(data))
        unpickler.peer = self
        return unpickler.load()

    def send(self, *message):
        try:
            data = self.dumps(message)
        except Exception as error:
            data = self.dumps(("raise", ["TypeError"], (f"cannot be passed: {error}",)))
        view = memoryview(struct.pack("<Q", len(data)) + data)
        try:
            while view:
                view = view[os.write(self.write, view):]
        except OSError:
            raise Gone() from None

    def take(self, count):
        parts = []
        while count > 0:
            part = os.read(self.read, min(count, 2**20))
            if not part:
                raise Gone()
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def receive(self):
        (count,) = struct.unpack("<Q", self.take(8))
        if count > LIMIT:
            raise Gone()
        data = self.take(count)
        try:
            message = self.loads(data)
            if not isinstance(message, tuple) or not isinstance(message[0], str):
                raise Gone()
            return message
        except Exception:
            raise Gone() from None

    def ask(self, *message):
        """Asks, and answers until the other side does."""
        self.send(*message)
        while True:
            reply = self.receive()
            if reply[0] == "value":
                return reply[1:]
            if reply[0] == "raise":
                raise self.error(*reply[1:])
            self.answer(reply)

    def error(self, names, args):
        """An error of the class of the same name on this side."""
        kind = self.kind(names)
        error = kind.__new__(kind)
        error.args = args if isinstance(args, tuple) else ()
        return error

    def kind(self, names):
        """A class of errors by its name and those of its bases: Python's own, or else one that extends the nearest of Python's."""
        first, *bases = names
        known = getattr(builtins, str(first), None)
        if isinstance(known, type) and issubclass(known, Exception):
            return known
        if first not in self.errors:
            base = self.kind(bases) if bases else RuntimeError
            self.errors[first] = type(str(first), (base,), {})
        return self.errors[first]

    def answer(self, message):
        try:
            result = self.handle(*message)
        except Gone:
            raise
        except BaseException as error:
            names = [kind.__name__ for kind in type(error).__mro__]
            try:
                self.dumps(error.args)
                self.send("raise", names, error.args)
            except (Gone, KeyboardInterrupt):
                raise
            except BaseException:
                self.send("raise", names, ())
        else:
            self.send("value", *result)

    def handle(self, what, *rest):
        if what == "call":
            value, args, named = rest
            # The arguments go back with the result: the call may have changed them.
            return value(*args, **named), args
        if what == "operator" and rest[0] in METHODS:
            return (METHODS[rest[0]](*rest[1:]),)
        if what == "instance":
            return (isinstance(*rest),)
        value, name, *new = rest
        # Objects of the tests have attributes for the completion, but nothing that leads to the tests themselves.
        if not self.trusting and (INNER.match(name) or isinstance(value, (type, types.FunctionType, types.MethodType))):
            raise AttributeError(name)
        if what == "get":
            return (getattr(value, name),)
        if what == "set":
            return (setattr(value, name, *new),)
        raise Gone()

def is_able(kind):
    return kind.__name__ in ABLE.get(kind.__module__.partition(".")[0], ())

# Attributes of Python itself: of functions, frames, generators, errors.
INNER = re.compile(r"_|(f|gi|cr|ag|tb|co)_")
METHODS = {name: getattr(operator, f"__{name}__") for name in OPERATORS}
METHODS |= {name: getattr(builtins, name) for name in "len iter next str repr bool int float complex abs hash round reversed".split()}
METHODS |= {name: getattr(operator, name) for name in "index neg pos invert getitem setitem delitem".split()}
METHODS |= {name: getattr(math, name) for name in "trunc floor ceil".split()}
METHODS |= {
    "enter": lambda value: type(value).__enter__(value),
    "exit": lambda value: type(value).__exit__(value, None, None, None),
}

class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return self.peer.name(value)

    def reducer_override(self, value):
        """An object of a class that extends a plain one is sent as the plain one."""
        kind = type(value)
        if kind in PLAIN or not isinstance(value, PLAIN) or is_able(kind):
            return NotImplemented
        base = next(one for one in PLAIN if isinstance(value, one))
        return base, (list(value) if base in (tuple, list, set, frozenset) else base(value),)

class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        root = module.partition(".")[0]
        if not self.peer.trusting and (name not in ABLE.get(root, ()) and not (root == "numpy" and name in MAKERS)):
            raise pickle.UnpicklingError(name)
        found = super().find_class(module, name)
        # A pickle can set attributes of a class that it names, so it gets no class that has any.
        return found if self.peer.trusting or root in ("builtins", "numpy") else lambda *args: found(*args)

    def persistent_load(self, named):
        side, number = named
        return self.peer.held[number] if side == "yours" else remote(self.peer, number)

class Remote:
    """An object of the other process."""

    def __getattr__(self, name):
        if name.startswith("__") and name.endswith("__") and name not in ("__name__", "__doc__", "__dict__"):
            raise AttributeError(name)
        return peer_of(self).ask("get", self, name)[0]

    def __setattr__(self, name, value):
        peer_of(self).ask("set", self, name, value)

    def __call__(self, *args, **named):
        reply = peer_of(self).ask("call", self, args, named)
        if len(reply) != 2 or type(reply[1]) is not tuple or len(reply[1]) != len(args):
            raise Gone()
        result, after = reply
        for before, now in zip(args, after):
            if type(before) is not type(now):
                continue
            if result is now and type(before) in (list, dict, set, bytearray):
                result = before
            if type(before) in (list, bytearray):
                before[:] = now
            elif type(before) in (dict, set):
                before.clear()
                before.update(now)
        return result

    def __contains__(self, value):
        return any(value is one or value == one for one in self)

    def __instancecheck__(self, value):
        return type(value) is Remote and peer_of(self).ask("instance", value, self)[0] is True

def peer_of(value):
    return object.__getattribute__(value, "_peer")

def remote(peer, number):
    made = object.__new__(Remote)
    object.__setattr__(made, "_peer", peer)
    object.__setattr__(made, "_id", number)
    return made

def asks(name, binary):
    def method(self, *others):
        if binary and type(others[0]) is not Remote:
            return NotImplemented
        values = () if name == "exit" else others
        return peer_of(self).ask("operator", name, self, *values)[0]
    return method

for each in METHODS:
    setattr(Remote, f"__{each}__", asks(each, each in OPERATORS))

class Candidate(Peer):
    """The side of the completion."""

    names = {}

    def handle(self, what, *rest):
        if what == "load":
            module = types.ModuleType(NAME)
            sys.modules[NAME] = module
            self.names = module.__dict__
            for text in rest:
                exec(compile(text, NAME, "exec"), self.names)
            return (None,)
        if what == "find":
            if rest[0] not in self.names:
                return (False, None)
            found = self.names[rest[0]]
            is_error = isinstance(found, type) and issubclass(found, BaseException)
            return (True, [kind.__name__ for kind in found.__mro__] if is_error else found)
        return super().handle(what, *rest)

class Names(dict):
    """The names of the tests: their own, then Python's, then those of the completion."""

    def __init__(self, peer):
        super().__init__(__name__="tests", __builtins__=builtins)
        self.peer = peer

    def __missing__(self, name):
        if hasattr(builtins, name):
            raise KeyError(name)
        self[name] = self.find(name)
        return self[name]

    def find(self, name):
        found, value = self.peer.ask("find", name)
        if found is not True:
            raise KeyError(name)
        if type(value) is list:
            # A class of errors: one of the same name here, so that tests can catch it.
            return self.peer.kind(value)
        return value

class Solution(types.ModuleType):
    """For tests that import the completion as the module `solution`."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.names.find(name)
        except KeyError:
            raise AttributeError(name) from None

def counted(body, first=0):
    """The statements, with each that asserts as a test of its own; and the number of these. `check` is a list of tests itself."""
    made = []
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            node.body, first = counted(node.body, first)
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and \
                any(isinstance(one, ast.Assert) for one in ast.walk(node)):
            test = ast.parse(f"with __test__({first}): pass").body[0]
            test.body = [node]
            node = ast.fix_missing_locations(ast.copy_location(test, node))
            first += 1
        made.append(node)
    return made, first

class Tests:
    """Runs the tests of a row. `passed` has a verdict for each."""

    def __init__(self, peer, job):
        self.job, self.passed, self.first = job, [], None
        self.names = Names(peer)

    def fails(self, error):
        if self.first is None:
            self.first = f"{type(error).__name__}: {error}"[:300]

    def one(self, run):
        try:
            run()
            self.passed.append(True)
        except Exception as error:
            self.fails(error)
            self.passed.append(False)

    def run(self):
        names, job = self.names, self.job
        peer = names.peer
        peer.ask("load", *loaded(job))
        module = Solution(NAME)
        module.names = names
        sys.modules[NAME] = module
        prompt = parsed(job["prompt"])
        if prompt is not None:
            prompt.body = [node for node in prompt.body if not is_stub(node)]
            exec(compile(prompt, "tests", "exec"), names)
        for text in job["setup"]:
            exec(compile(text, "tests", "exec"), names)
        if job["entry"]:
            names[job["entry"]] = names.find(job["entry"])
        for text in job["tests"]:
            self.one(lambda: exec(compile(text, "tests", "exec"), names))
        if job["text"] is not None:
            self.text(job["text"])

    def text(self, text):
        names, tree = self.names, ast.parse(text)
        tree.body, count = counted(tree.body)
        code = compile(tree, "tests", "exec")
        reached = [None] * count

        class Test:
            def __init__(self, number):
                self.number = number

            def __enter__(self):
                pass

            def __exit__(test, kind, error, _):
                if kind is not None and not issubclass(kind, Exception):
                    return False
                if kind is not None:
                    self.fails(error)
                reached[test.number] = kind is None and reached[test.number] is not False
                return True

        names["__test__"] = Test
        broken = False
        try:
            exec(code, names)
            entry = self.job["entry"]
            if entry and isinstance(names.get("check"), types.FunctionType) and all(one is None for one in reached):
                names["check"](names[entry])
        except Exception as error:
            self.fails(error)
            broken = True
        finally:
            self.passed += [one is True for one in reached]
        for name, value in list(names.items()):
            if isinstance(value, types.FunctionType) and name.startswith("test") and value.__code__.co_argcount == 0:
                self.one(value)
            elif isinstance(value, type) and value.__module__ == "tests":
                self.methods(value)
        if broken or not self.passed:
            self.passed.append(not broken)

    def methods(self, kind):
        unittest = sys.modules.get("unittest")
        if unittest is not None and issubclass(kind, unittest.TestCase):
            kind.setUpClass()
            for test in unittest.defaultTestLoader.loadTestsFromTestCase(kind):
                result = unittest.TestResult()
                test.run(result)
                for _, told in (result.failures + result.errors)[:1]:
                    self.fails(AssertionError(told.strip().splitlines()[-1]))
                self.passed.append(result.wasSuccessful())
        elif kind.__name__.startswith("Test"):
            for name in [name for name in vars(kind) if name.startswith("test")]:
                self.one(lambda: getattr(kind(), name)())

def parsed(text):
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None

def is_stub(node):
    """A definition that is left to the completion, such as a function of a docstring alone."""
    if isinstance(node, ast.ClassDef):
        return any(is_stub(one) for one in node.body) or all(isinstance(one, (ast.Expr, ast.Pass)) for one in node.body)
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and \
        all(isinstance(one, (ast.Expr, ast.Pass, ast.Raise)) for one in node.body)

def loaded(job):
    """The texts that make the completion's module: a whole definition after the prompt's, or the continuation of the prompt."""
    prompt, code, entry = job["prompt"], job["code"], job["entry"]
    tree = parsed(code)
    if tree is None or (entry and not any(entry in defined(node) for node in tree.body)):
        return (prompt + code,) if parsed(prompt + code) is not None else (code,)
    return (prompt, code) if is_code(parsed(prompt)) else (code,)

def is_code(tree):
    """Whether a text that can be parsed is a program, and not a word such as `add`."""
    return tree is not None and any(
        defined(node) or isinstance(node, (ast.AugAssign, ast.For, ast.While, ast.With, ast.Try, ast.If)) for node in tree.body)

def defined(node):
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [one.asname or one.name for one in node.names]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [one.id for one in targets if isinstance(one, ast.Name)]

def silent():
    """The streams to the other side, away from 0 and 1, which the code may use."""
    read, write = os.dup(0), os.dup(1)
    nothing = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    return read, write

def main():
    builtins.exit = builtins.quit = sys.exit
    sys.path[:] = [one for one in sys.path if one]
    if sys.argv[1] == "candidate":
        os.close(3)
        peer = Candidate(*silent(), True)
        while True:
            peer.answer(peer.receive())
    with os.fdopen(3, "r+b", buffering=0) as told:
        (count,) = struct.unpack("<Q", told.read(8))
        job = b""
        while len(job) < count:
            job += told.read(count - len(job))
        tests = Tests(Peer(*silent(), False), json.loads(job))
        complete = True
        try:
            tests.run()
        except BaseException as error:
            tests.fails(error)
            complete = False
        told.write(json.dumps({"passed": tests.passed, "complete": complete, "problem": tests.first}).encode())
    os._exit(0)

main()
