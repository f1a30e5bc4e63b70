/**
 * Questions that a library answers which is slow to load or may not come to an end. A worker loads the library at the first question
 * and answers within a limit of time, so that a verifier stays a plain function that ends: no answer is `null`.
 */
import { extname } from "node:path"
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from "node:worker_threads"

export type Question =
  /** Whether two formulas in LaTeX are equal for all values of their variables, up to an error, or (equations) up to a factor. */
  | {
    readonly kind: "equal"
    readonly first: string
    readonly second: string
    readonly within?: number
    readonly upToFactor?: true
  }
  /** Whether a text is in a language (ISO 639-1). */
  | { readonly kind: "language"; readonly text: string; readonly language: string }
  /** Whether a JSON text fits a JSON schema. */
  | { readonly kind: "schema"; readonly text: string; readonly schema: unknown }

/** What the worker says of question `id`: its library is loaded, or cannot be, or the answer, or that it took too long. */
export type Said =
  & { readonly id: number }
  & (
    | { readonly loaded: true }
    | { readonly missing: string }
    | { readonly answer: boolean | null }
    | { readonly late: true }
  )

export interface WorkerStart {
  readonly port: MessagePort
  /** Counts the messages sent by the worker. */
  readonly sent: Int32Array
  /** The kind of question to be ready for. */
  readonly kind: Question["kind"]
}

interface Running extends Omit<WorkerStart, "kind"> {
  readonly worker: Worker
}

/** Milliseconds for one question, without loading; the worker gives up by itself, and is killed when it does not. */
export const limit = 400
const grace = 400
const loading = 60_000

let running: Running | undefined
let asked = 0

const start = (kind: Question["kind"]): Running => {
  const { port1: port, port2 } = new MessageChannel()
  const sent = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(new URL(`./worker${extname(import.meta.url)}`, import.meta.url), {
    workerData: { port: port2, sent, kind } satisfies WorkerStart,
    transferList: [port2],
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: 512 }
  })
  // A worker out of memory ends; then nothing is said, and another takes its place.
  worker.on("error", () => {})
  worker.unref()
  port.unref()
  return { worker, port, sent }
}

/** The next message about question `id`, or undefined after `milliseconds`. */
const next = ({ port, sent }: Running, id: number, milliseconds: number): Said | undefined => {
  const end = performance.now() + milliseconds
  for (;;) {
    const count = Atomics.load(sent, 0)
    const received = receiveMessageOnPort(port) as { readonly message: Said } | undefined
    if (received?.message.id === id) return received.message
    if (received !== undefined) continue
    const left = end - performance.now()
    if (left <= 0) return undefined
    Atomics.wait(sent, 0, count, left)
  }
}

let unanswered = 0
/** How many questions of this process had no answer in time. */
export const late = (): number => unanswered

/** Counts one more. */
export const wasLate = (): void => void unanswered++

/** The answer, or null when there is none within `milliseconds`, or in the question. */
export const ask = (question: Question, milliseconds = limit): boolean | null => {
  const current = running ??= start(question.kind)
  const id = ++asked
  current.port.postMessage({ id, question, milliseconds })
  const first = next(current, id, loading)
  const said = first !== undefined && "loaded" in first ? next(current, id, milliseconds + grace) : first
  if (said === undefined) {
    void current.worker.terminate()
    // Loads while nobody waits for it.
    running = start(question.kind)
    unanswered++
    return null
  }
  if ("missing" in said) throw new Error(said.missing)
  if ("late" in said) unanswered++
  return "answer" in said ? said.answer : null
}
