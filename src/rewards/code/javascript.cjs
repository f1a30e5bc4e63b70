/**
 * Unit tests of JavaScript and TypeScript as `python.py` has them of Python: the tests of the row in a process, the completion in another
 * process, each in a sandbox of its own. Its text is given to `node -e` (`unitTests.ts`).
 *
 * A value is written as a tree of tagged arrays, by `v8.serialize`. Functions, and objects of other classes than the language's, stay where
 * they are, and the other side has a proxy of each.
 */
"use strict"
const { createRequire, stripTypeScriptTypes } = require("node:module")
const fs = require("node:fs")
const v8 = require("node:v8")
const vm = require("node:vm")

const [role, language] = process.argv.slice(-2)
const limit = 64 * 2 ** 20
const copied = new Set([Date, RegExp, ArrayBuffer, Boolean, Number, String, ...[
  "Int8", "Uint8", "Uint8Clamped", "Int16", "Uint16", "Int32", "Uint32", "Float32", "Float64", "BigInt64", "BigUint64"
].map((name) => globalThis[`${name}Array`])])
/** Names that lead from an object to the program that it is of. */
const inner = /^(?:constructor|prototype|__.*|caller|callee|arguments)$/u
const errors = new Map([Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((kind) => [kind.name, kind]))

class Gone extends Error {}

const [input, output] = [0, 1]
const held = new Map()
const numbers = new Map()
const proxies = new WeakMap()

const hold = (value) => {
  if (!numbers.has(value)) {
    numbers.set(value, held.size)
    held.set(held.size, value)
  }
  return numbers.get(value)
}

const written = (value, within = []) => {
  if (typeof value === "symbol") {
    const name = /^Symbol\(Symbol\.(.*)\)$/u.exec(value.toString())?.[1]
    return ["k", name ?? "none"]
  }
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return value
  if (proxies.has(value)) return ["y", proxies.get(value)]
  if (typeof value === "function") return ["f", hold(value)]
  if (within.includes(value)) throw new TypeError("a value that contains itself cannot be passed")
  const each = (one) => written(one, [...within, value])
  const kind = Object.getPrototypeOf(value)
  if (Array.isArray(value)) return ["a", ...Array.from(value, each)]
  if (kind === Map.prototype) return ["m", ...[...value].flat().map(each)]
  if (kind === Set.prototype) return ["s", ...[...value].map(each)]
  if (copied.has(kind?.constructor) && kind === kind.constructor.prototype) return ["v", value]
  if (kind === Object.prototype || kind === null) return ["o", ...Object.entries(value).flat().map(each)]
  return ["r", hold(value)]
}

const read = (tree) => {
  if (!Array.isArray(tree)) {
    if (typeof tree === "object" && tree !== null) throw new Gone()
    return tree
  }
  const [tag, ...rest] = tree
  const pairs = () => Array.from({ length: rest.length / 2 }, (_, i) => [read(rest[2 * i]), read(rest[2 * i + 1])])
  switch (tag) {
    case "a": return rest.map(read)
    case "m": return new Map(pairs())
    case "s": return new Set(rest.map(read))
    case "v": return rest[0]
    case "o": return Object.fromEntries(pairs().filter(([key]) => key !== "__proto__"))
    case "k": return typeof Symbol[rest[0]] === "symbol" ? Symbol[rest[0]] : undefined
    case "y": return held.get(rest[0])
    case "f": return remote(rest[0], function() {})
    case "r": return remote(rest[0], {})
    default: throw new Gone()
  }
}

const send = (...message) => {
  let data
  try {
    data = v8.serialize(message.map((one) => written(one)))
  } catch (error) {
    if (message[0] !== "value") throw error
    return send("raise", "TypeError", String(error))
  }
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(data.length))
  for (let rest = Buffer.concat([size, data]); rest.length > 0;) rest = rest.subarray(fs.writeSync(output, rest))
}

const take = (size, from = input) => {
  const all = Buffer.alloc(size)
  for (let at = 0; at < size;) {
    const count = fs.readSync(from, all, at, size - at, null)
    if (count === 0) throw new Gone()
    at += count
  }
  return all
}

const receive = (from) => {
  const size = Number(take(8, from).readBigUInt64LE())
  if (size > limit) throw new Gone()
  return take(size, from)
}

const next = () => {
  try {
    const message = v8.deserialize(receive())
    if (!Array.isArray(message) || typeof message[0] !== "string") throw new Gone()
    return message.map(read)
  } catch {
    throw new Gone()
  }
}

/** Asks, and answers until the other side does. */
const ask = (...message) => {
  send(...message)
  for (;;) {
    const [what, ...rest] = next()
    if (what === "value") return rest
    if (what === "promise") return [rest[0] === true ? Promise.resolve(rest[1]) : Promise.reject(errorOf(rest[2], rest[3]))]
    if (what === "raise") throw errorOf(rest[0], rest[1])
    const reply = handle(what, rest)
    send("value", ...reply)
  }
}

const errorOf = (name, message) => {
  const error = new (errors.get(name) ?? Error)(String(message))
  if (!errors.has(name)) Object.defineProperty(error, "name", { value: String(name) })
  return error
}

const remote = (id, target) => {
  const made = new Proxy(target, {
    get: (_, key) => {
      if (key === "then" || key === Symbol.toStringTag) return undefined
      if (key === Symbol.hasInstance) return (value) => proxies.has(value) && ask("instance", value, made)[0] === true
      if (key === Symbol.toPrimitive) return (hint) => primitive(ask("primitive", made, hint)[0])
      return ask("get", made, key)[0]
    },
    set: (_, key, value) => (ask("set", made, key, value), true),
    has: (_, key) => ask("has", made, key)[0] === true,
    apply: (_, self, args) => called(args, ask("call", made, self, args)),
    construct: (_, args) => {
      const [value] = ask("construct", made, args)
      if (typeof value !== "object" && typeof value !== "function") throw new Gone()
      return value
    },
    ...(typeof target === "function" ? {} : {
      getPrototypeOf: () => remotes,
      ownKeys: () => ask("keys", made)[0].map(String),
      getOwnPropertyDescriptor: (_, key) =>
        ask("own", made, key)[0] === true
          ? { value: ask("get", made, key)[0], enumerable: true, configurable: true, writable: true }
          : undefined
    })
  })
  proxies.set(made, id)
  return made
}
const remotes = { __proto__: null }

const primitive = (value) => {
  if (typeof value === "object" || typeof value === "function") throw new Gone()
  return value
}

/** The result of a call, which may have changed its arguments. */
const called = (args, [result, after, same]) => {
  for (const [i, before] of args.entries()) {
    const now = after?.[i]
    if (Array.isArray(before) && Array.isArray(now)) before.splice(0, before.length, ...now)
    else if (before instanceof Map && now instanceof Map && !proxies.has(before)) {
      before.clear()
      for (const [key, value] of now) before.set(key, value)
    } else if (before instanceof Set && now instanceof Set && !proxies.has(before)) {
      before.clear()
      for (const value of now) before.add(value)
    } else if (isPlain(before) && isPlain(now)) {
      for (const key of Object.keys(before)) if (!Object.hasOwn(now, key)) delete before[key]
      Object.assign(before, now)
    }
  }
  return Number.isInteger(same) && same >= 0 && same < args.length ? args[same] : result
}
const isPlain = (value) =>
  typeof value === "object" && value !== null && !proxies.has(value) && Object.getPrototypeOf(value) === Object.prototype

/** What the other side may ask of an object of this side. */
const handle = (what, [value, ...rest]) => {
  if (role === "tests") {
    // Objects of the tests have properties for the completion, but nothing that leads to the tests themselves.
    const key = rest[0]
    const own = (typeof value === "object" || typeof value === "function") && value !== null && numbers.has(value)
    if (!own || what === "construct" || (typeof value === "function" && what !== "call")) throw new Gone()
    if (what !== "call" && typeof key === "string" && inner.test(key)) return [undefined]
  }
  switch (what) {
    case "call": {
      const [self, args] = rest
      const result = Reflect.apply(value, self, args)
      return [result, args, typeof result === "object" && result !== null ? args.indexOf(result) : -1]
    }
    case "construct": return [Reflect.construct(value, rest[0])]
    case "get": return [value[rest[0]]]
    case "set": return [(value[rest[0]] = rest[1], undefined)]
    case "has": return [rest[0] in value]
    case "own": return [Object.prototype.propertyIsEnumerable.call(value, rest[0])]
    case "keys": return [Object.keys(value)]
    case "instance": return [value instanceof rest[0]]
    case "primitive": return [rest[0] === "number" ? Number(value) : rest[0] === "string" ? String(value) : value + ""]
    default: throw new Gone()
  }
}

const plain = (text) => language === "typescript" ? stripTypeScriptTypes(text, { mode: "transform" }) : text

// ---- the side of the completion

let find = () => undefined

const load = async (texts, entry) => {
  const modules = createRequire("/tmp/solution.js")
  let first
  for (const text of texts) {
    let code
    const module = { exports: {} }
    try {
      code = plain(text)
      const run = vm.compileFunction(
        `${code}\n;return (name) => eval("typeof " + name + ' === "undefined" ? undefined : ' + name)`,
        ["require", "module", "exports"],
        { filename: "solution.js" }
      )
      const inside = run(modules, module, module.exports)
      find = (name) => inside(name) ?? module.exports[name] ?? (name === entry ? module.exports : undefined)
      return
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
      first ??= error
    }
    try {
      if (code === undefined) continue
      const made = await import(`data:text/javascript,${
        encodeURIComponent(`${code}\n;export const $find = (name) => eval("typeof " + name + ' === "undefined" ? undefined : ' + name)`)
      }`)
      find = (name) => made.$find(name) ?? (name === entry ? made.default : undefined)
      return
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error
    }
  }
  throw first
}

const candidate = async () => {
  for (;;) {
    const [what, ...rest] = next()
    try {
      if (what === "load") send("value", await load(rest[0], rest[1]))
      else if (what === "find") send("value", find(rest[0]))
      else {
        const [result, ...more] = handle(what, rest)
        if (result instanceof Promise) {
          await result.then(
            (value) => send("promise", true, value),
            (error) => send("promise", false, undefined, error?.name, error?.message ?? error)
          )
        } else send("value", result, ...more)
      }
    } catch (error) {
      if (error instanceof Gone) throw error
      send("raise", error?.name ?? "Error", error?.message ?? String(error))
    }
  }
}

// ---- the side of the tests

const own = require
const solution = () => new Proxy({}, { get: (_, name) => typeof name === "string" ? ask("find", name)[0] : undefined })
const fromTests = (name) => /^\.|^solution$/u.test(name) ? solution() : own(name)

/** Imports of a module as requires: tests run as the body of a function. */
const body = (text) =>
  plain(text).replace(/^[ \t]*import[ \t]+(.+?)[ \t]+from[ \t]*(["'][^"']+["']);?[ \t]*$/gmu, (_, names, module) =>
    `const ${names.replace(/^\*\s*as\s+/u, "").replaceAll(/\s+as\s+/gu, ": ")} = require(${module})`)

/** Whether a name may be of the completion: no word of the language, and none of those that judge. */
const isFree = (name) => {
  if (["expect", "jest", "chai", "should", "module", "exports"].includes(name)) return false
  try {
    return typeof new Function(`let ${name}`) === "function"
  } catch {
    return false
  }
}

const tests = async () => {
  const job = JSON.parse(receive(3).toString("utf8"))
  const passed = []
  let [complete, problem] = [true, null]
  const told = (error) => problem ??= `${error?.name ?? "Error"}: ${error?.message ?? error}`.slice(0, 300)
  const run = async (act) => {
    try {
      await act()
      passed.push(true)
    } catch (error) {
      if (error instanceof Gone) throw error
      told(error)
      passed.push(false)
    }
  }
  try {
    globalThis.require = fromTests
    globalThis.assert = own("node:assert")
    // A whole definition, or the continuation of the prompt.
    const defines = job.entry !== null &&
      new RegExp(`(?:function\\*?|const|let|var|class)\\s+${job.entry}\\b|\\b${job.entry}\\s*=[^=]`, "u").test(job.code)
    ask("load", job.entry === null || defines ? [job.code] : [job.prompt + job.code, job.code], job.entry)
    const all = [...job.setup, ...job.tests, job.text ?? ""].join("\n")
    const names = new Set(all.match(/[\p{ID_Start}$_][\p{ID_Continue}$]*/gu))
    for (const name of names) {
      if (!isFree(name) || (name !== job.entry && name in globalThis)) continue
      const [found] = ask("find", name)
      if (found !== undefined) Object.defineProperty(globalThis, name, { value: found, configurable: true, writable: true })
    }
    if (job.entry && names.has("candidate") && !("candidate" in globalThis)) globalThis.candidate = globalThis[job.entry] ?? ask("find", job.entry)[0]
    const Run = (async () => {}).constructor
    const pending = []
    globalThis.test = globalThis.it = (_, act) => void pending.push(act)
    globalThis.describe = (_, act) => act()
    const execute = (text) => new Run("require", body(text))(fromTests)
    for (const text of job.setup) vm.runInThisContext(body(text))
    for (const text of job.tests) await run(() => execute(text))
    if (job.text !== null) {
      const before = passed.length
      await run(() => execute(`${job.text}\n;if (typeof check === "function" && !/\\bcheck\\s*\\(\\s*[\\w$.]+\\s*\\)\\s*;?\\s*$/u.test(${JSON.stringify(job.text)})) await check(candidate)`))
      // A text that defines tests is none itself.
      if (pending.length > 0 && passed[before]) passed.pop()
    }
    for (const act of pending) await run(act)
  } catch (error) {
    told(error)
    complete = false
  }
  fs.writeSync(3, JSON.stringify({ passed, complete, problem }))
  process.exit(0)
}

// Standard output leads to the other side.
process.stdout.write = process.stderr.write = () => true
for (const name of ["log", "info", "warn", "error", "debug", "table", "dir", "trace"]) console[name] = () => {}
void (role === "tests" ? tests() : candidate())
