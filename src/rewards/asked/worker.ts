/** The other end of `ask.ts`. */
import { createContext, Script } from "node:vm"
import { workerData } from "node:worker_threads"
import type { Question, Said, WorkerStart } from "./ask.ts"

type Answers = (question: any) => boolean | null

const { kind, port, sent } = workerData as WorkerStart

const say = (said: Said): void => {
  port.postMessage(said)
  Atomics.add(sent, 0, 1)
  Atomics.notify(sent, 0)
}

const load = async (kind: Question["kind"]): Promise<Answers> => {
  switch (kind) {
    case "equal": {
      const { equal, prepare } = await import("./symbolic.ts")
      prepare()
      return equal
    }
    case "language":
      return (await import("./language.ts")).isIn
    case "schema":
      return (await import("./schema.ts")).fits
  }
}

// A library that cannot be loaded is told at the first question.
load(kind).catch(() => {})

/** Node ends only a script after a time, so the call is one. */
const call = new Script("run()")
const context = createContext({ run: (): boolean | null => null })

port.on("message", async ({ id, milliseconds, question }) => {
  let answers: Answers
  try {
    answers = await load(question.kind)
  } catch (cause) {
    return say({ id, missing: `the library for ${question.kind} cannot be loaded: ${String(cause)}` })
  }
  say({ id, loaded: true })
  try {
    context["run"] = () => answers(question)
    say({ id, answer: call.runInContext(context, { timeout: milliseconds }) as boolean | null })
  } catch (cause) {
    // A question that breaks the library has no answer either.
    const late = (cause as { readonly code?: unknown } | null)?.code === "ERR_SCRIPT_EXECUTION_TIMEOUT"
    say(late ? { id, late: true } : { id, answer: null })
    // Prepares for the next question while nobody waits.
    await load(question.kind)
  }
})
