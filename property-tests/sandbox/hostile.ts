/**
 * Programs that try to get out, to take the machine or to fake the verdict. Each defines `solve`, whose result the test compares with a
 * secret: a program passes only if it has found the secret, which is in a file, in the environment and behind a port of this machine.
 */
export interface Outside {
  /** A file that anybody may read and write, and a pipe's worth of names: of what is there outside. */
  readonly file: string
  readonly folder: string
  readonly variable: string
  readonly port: number
  readonly pid: number
}

/** By its name, the text of a program. */
type Programs = (outside: Outside) => Readonly<Record<string, string>>

const inPython = (text: string): string => `import os, sys, time\n${text}`

export const python: Programs = ({ file, folder, pid, port, variable }) =>
  Object.fromEntries(
    Object.entries({
      "fork bomb": `while True: os.fork()`,
      "fork bomb that goes on": `
def solve():
    while True:
        try: os.fork()
        except OSError: pass`,
      "endless output": `while True: print("x" * 10000)`,
      "endless answer": `
def solve():
    return "x" * 10 ** 9`,
      "memory": `x = []\nwhile True: x.append(bytearray(10 ** 7))`,
      "memory of many processes": `
for _ in range(20):
    if os.fork() == 0:
        x = bytearray(3 * 10 ** 8)
        time.sleep(100)`,
      "memory of the kernel": `
import ctypes
libc = ctypes.CDLL(None)
n = libc.memfd_create(b"x", 0)
while True: os.write(n, bytes(10 ** 6))`,
      "deletes": `
import shutil
def solve():
    for path in (${JSON.stringify(folder)}, "/usr", "/"): shutil.rmtree(path, ignore_errors=True)
    os.remove(${JSON.stringify(file)})`,
      "environment": `
def solve():
    return os.environ.get(${JSON.stringify(variable)})`,
      "environment of others": `
def solve():
    for pid in (1, os.getppid(), ${pid}, "self", "thread-self"):
        try: text = open(f"/proc/{pid}/environ").read()
        except OSError: continue
        if ${JSON.stringify(variable)} in text: return text.split(${
        JSON.stringify(`${variable}=`)
      })[1].split("\\0")[0]`,
      "files of others": `
def solve():
    for path in (${JSON.stringify(file)}, "/proc/1/root" + ${JSON.stringify(file)}, "/proc/${pid}/root" + ${
        JSON.stringify(file)
      },
                 "/old" + ${JSON.stringify(file)}, "/jail" + ${JSON.stringify(file)}, "../../../.." + ${
        JSON.stringify(file)
      }):
        try: return open(path).read()
        except OSError: pass
    return open("/etc/shadow").read()`,
      "network": `
import socket
def solve():
    for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0"):
        try: return socket.create_connection((host, ${port}), 1).recv(100).decode()
        except OSError: pass`,
      "zombies": `
for _ in range(10):
    if os.fork() == 0: os._exit(0)
def solve(): time.sleep(100)`,
      "daemon": `
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(100):
            try: os.close(number)
            except OSError: pass
        while True: time.sleep(1)
    os._exit(0)
def solve(): return 1`,
      "symbolic link": `
def solve():
    os.symlink(${JSON.stringify(file)}, "/tmp/link")
    return open("/tmp/link").read()`,
      "hard link": `
def solve():
    os.link(${JSON.stringify(file)}, "/tmp/link")
    return open("/tmp/link").read()`,
      "signals": `
import signal
def solve():
    for pid in (os.getppid(), 1, ${pid}, -1, 0):
        try: os.kill(pid, signal.SIGKILL)
        except OSError: pass`,
      "writes outside": `
def solve():
    for path in (${JSON.stringify(file)}, "/usr/bin/x", "/etc/x", "/x", "/dev/x", sys.prefix + "/x"):
        try: open(path, "w").write("written")
        except OSError: pass`,
      "descriptors": `x = []\nwhile True: x.append(os.open("/dev/null", 0))`,
      "disk": `
n = 0
while True:
    n += 1
    with open(f"/tmp/{n}", "wb") as file:
        for _ in range(10): file.write(bytes(10 ** 6))`,
      "many files": `
n = 0
while True:
    n += 1
    open(f"/tmp/{n}", "w").close()`,
      "prints the verdict": `
text = b'{"passed": [true], "complete": true, "problem": null}'
for number in range(64):
    try: os.write(number, text)
    except OSError: pass
print(text.decode())
def solve(): return 1`,
      "exits": `os._exit(0)`,
      "exits by an error": `sys.exit(0)`,
      "exits in the test": `def solve(): os._exit(0)`,
      "ends in the test": `def solve(): raise SystemExit(0)`,
      "is interrupted": `def solve(): raise KeyboardInterrupt()`,
      "patches the runner": `
import builtins, gc, unittest
builtins.AssertionError = type("Never", (Exception,), {"__new__": lambda *_: None})
unittest.TestCase.assertEqual = lambda *_: None
main = sys.modules["__main__"]
for name, value in list(vars(main).items()):
    if isinstance(value, type):
        for key in ("passed", "fails", "one", "run", "__eq__"):
            try: setattr(value, key, lambda *_: True)
            except Exception: pass
for one in gc.get_objects():
    if isinstance(one, dict) and "passed" in one: one["passed"] = [True]
frame = sys._getframe()
while frame:
    frame.f_globals.update(json=None)
    frame = frame.f_back
def solve(): return 1`,
      "equals everything": `
class All:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
def solve(): return All()`,
      "extends a text": `
class All(str):
    def __eq__(self, other): return True
    __hash__ = str.__hash__
def solve(): return All("no")`,
      "a pickle that runs": `
import pickle, struct
class Bad:
    def __reduce__(self): return (exec, ("import sys; sys.modules['__main__'].Tests.fails = lambda *_: None",))
data = pickle.dumps(("value", Bad()))
for number in range(64):
    try: os.write(number, struct.pack("<Q", len(data)) + data)
    except OSError: pass`,
      "a pickle that patches": `
main = sys.modules["__main__"]
import pickle, collections, struct
# Counter, then BUILD with the state (None, {"__eq__": …}).
data = b"\\x80\\x04(\\x8c\\x05value\\x8c\\x0bcollections\\x8c\\x07Counter\\x93N}\\x8c\\x06__eq__\\x8c\\x08builtins\\x8c\\x04bool\\x93s\\x86bt."
def solve():
    os.write(main.peer_fd if hasattr(main, "peer_fd") else 4, struct.pack("<Q", len(data)) + data)`,
      "requests to the tests": `
def solve(call=None):
    peer = [one for one in __import__("gc").get_objects() if type(one).__name__ == "Candidate"][0]
    for what in (("operator", "eval", "1"), ("get", dict, "__globals__"), ("call", exec, ("import os",), {}), ("set", list, "x", 1)):
        try: peer.ask(*what)
        except Exception: pass
    return 1`,
      "namespaces": `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def solve():
    for flags in (0x10000000, 0x20000, 0x20000000, 0x40000000):
        if libc.unshare(flags) == 0: return open(${JSON.stringify(file)}).read()
    libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)
    libc.chroot(b"..")
    libc.setuid(0)
    libc.ptrace(16, 1, 0, 0)
    return open(${JSON.stringify(file)}).read()`,
      "never ends": `while True: pass`,
      "sleeps": `time.sleep(10 ** 6)`,
      "ignores the limit": `
import resource, signal
for name in ("RLIMIT_CPU", "RLIMIT_NPROC", "RLIMIT_DATA", "RLIMIT_FSIZE"):
    try: resource.setrlimit(getattr(resource, name), (-1, -1))
    except (OSError, ValueError): pass
signal.signal(signal.SIGXCPU, signal.SIG_IGN)
while True: pass`,
      "crashes": `
import ctypes
ctypes.string_at(0)`,
      "recursion": `
sys.setrecursionlimit(10 ** 9)
def solve(): return solve()`,
      "waits for input": `
def solve(): return input()`
    }).map(([name, text]) => [name, inPython(text)])
  )

export const javascript: Programs = ({ file, pid, port, variable }) => ({
  "exits": `process.exit(0)`,
  "exits in the test": `function solve() { process.reallyExit(0) }`,
  "never ends": `while (true);`,
  "waits": `async function solve() { await new Promise(() => setInterval(() => {}, 1000)) }`,
  "memory": `const x = []; while (true) x.push(new Array(1e6).fill(1.5))`,
  "memory outside the heap": `const x = []; while (true) x.push(new Uint8Array(1e8).fill(1))`,
  "endless output": `const fs = require("fs"); while (true) fs.writeSync(1, "x".repeat(1e5))`,
  "environment": `function solve() { return process.env[${JSON.stringify(variable)}] }`,
  "files of others": `function solve() { return require("fs").readFileSync(${JSON.stringify(file)}, "utf8") }`,
  "environment of others": `function solve() { return require("fs").readFileSync("/proc/${pid}/environ", "utf8") }`,
  "writes outside": `function solve() { require("fs").writeFileSync(${JSON.stringify(file)}, "written") }`,
  "programs": `function solve() { return require("child_process").execSync("cat ${file}").toString() }`,
  "threads": `function solve() { return new (require("worker_threads").Worker)("while (true);", { eval: true }) }`,
  "bindings": `function solve() { return process.binding("spawn_sync").spawn({ file: "/bin/sh", args: ["sh"] }) }`,
  "signals": `function solve() { process.kill(process.ppid, 9); process.kill(1, 9); process.kill(${pid}, 9) }`,
  "network": `const net = require("net")
function solve() { return new Promise((told) => {
  const socket = net.connect(${port}, "127.0.0.1", () => {})
  socket.on("data", (data) => told(String(data)))
  socket.on("error", () => told("no"))
}) }`,
  "prints the verdict": `const fs = require("fs")
for (let i = 0; i < 64; i++) { try { fs.writeSync(i, '{"passed":[true],"complete":true,"problem":null}') } catch {} }
function solve() { return 1 }`,
  "patches": `Object.is = () => true; require("assert").strictEqual = () => {}; require("assert").equal = () => {}
Array.prototype.push = () => 0; JSON.stringify = () => '{"passed":[true],"complete":true}'
function solve() { return { [Symbol.toPrimitive]: () => "x" } }`,
  "a value that is any": `function solve() { return new Proxy({}, { get: () => () => true }) }`
})
