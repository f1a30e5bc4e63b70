/** Chat templates as Python computes them: expressions by a file made by transformers 5.18, and TRL's templates where it is installed. */
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { chatTemplate, type Messages, templateFile } from "../../src/model/chatTemplate.ts"

interface Case {
  readonly template: string
  readonly expected?: string
  /** Python fails too. */
  readonly fails?: true
}
interface Own extends Case {
  readonly name: string
  readonly messages: Messages
  readonly tools: ReadonlyArray<object> | null
}

const file = join(import.meta.dirname, "jinja.json")
const cases = JSON.parse(readFileSync(file, "utf8")) as ReadonlyArray<Case>
const python = process.env["KEEL_PYTHON"]
if (python === undefined) {
  console.warn("skipped: KEEL_PYTHON names no Python with transformers, so jinja.json is not made again")
}
const oracle = python === undefined
  ? null
  : JSON.parse(
    execFileSync(python, [join(import.meta.dirname, "jinja.py"), file], { encoding: "utf8", maxBuffer: 1 << 28 })
  ) as { readonly cases: ReadonlyArray<Case>; readonly trl: ReadonlyArray<Own> }

const said: Messages = [
  { role: "user", content: "aXyz" },
  { role: "assistant", content: "\n    indented\n" },
  { role: "user", content: "d" }
]
/** The text, or null where the template is refused or fails. */
const rendered = (template: string, messages = said, tools: ReadonlyArray<object> | null = null): string | null => {
  try {
    const files = new Map([[templateFile, template]])
    return chatTemplate(files, {}, { bos_token: "<s>", eos_token: "</s>" })!(messages, tools === null ? {} : { tools })
  } catch {
    return null
  }
}

/** Refused by name: what the parser does not read, and names that are not in the layer. */
const refused =
  /partition\('='\) \}\}\||isalnum|zfill|swapcase|1e21|1e-5|,\)|loop.cycle|1e22|round|wordcount|divisibleby|endif \+|format|' %|dict\(|gt\(|\| e |12345678901234567890|\{1:|index\('b'/u

describe("a chat template", () => {
  it("has the text that Python gives it, or is refused", () => {
    const wrong = cases.flatMap(({ expected = null, template }) => {
      const text = rendered(template)
      if (text === expected || (text === null && refused.test(template))) return []
      return [{ template, text, expected }]
    })
    assert.deepStrictEqual(wrong, [])
    assert.isAbove(cases.length, 120)
  })

  it("is refused by the name of what is not computed as in Python", () => {
    const files = new Map([[templateFile, "{{ messages | groupby('role') }}{{ 1 is divisibleby }}"]])
    assert.throws(
      () => chatTemplate(files, {}, {}),
      /uses the filter groupby, the test divisibleby, which Keel does not/u
    )
    const clock = chatTemplate(new Map([[templateFile, "{{ strftime_now('%d') }}"]]), {}, {})!
    assert.throws(() => clock(said), /the date of today by strftime_now/u)
  })

  it.skipIf(oracle === null)("of the file is what transformers renders now", () => {
    assert.deepStrictEqual(cases, oracle!.cases)
  })

  it.skipIf(oracle === null || oracle.trl.length === 0)("of TRL has its text, unless it asks for the date", () => {
    const wrong = oracle!.trl.flatMap(({ expected = null, messages, name, template, tools }) => {
      const text = rendered(template, messages, tools)
      return text === expected || template.includes("strftime_now") || (text === null && name.startsWith("llava"))
        ? []
        : [{ name, text, expected }]
    })
    assert.deepStrictEqual(wrong, [])
  })
})
