/** The cases of the benchmark: each is a piece of work that backends and a peer do alike. */
import { type Engine, offsetsOf, type Policy } from "../engine/engine.ts"
import { crossEntropy } from "../losses/crossEntropy.ts"
import { modelConfig } from "../model/config.ts"
import type { Backend } from "../tensor/backend.ts"
import { asBatch, type Workload, type WorkloadName } from "./models.ts"

export type PeerName = "torch" | "trl"

/** Does the work once. */
export type Run = () => void

/** A backend during measurement: `policy` opens a model once and keeps it. */
export interface Bench {
  readonly backend: Backend
  readonly engine: Engine
  readonly policy: (name: WorkloadName) => Policy
}

export interface Case {
  readonly name: string
  readonly title: string
  readonly peer: PeerName
  /** The unit of `amount`; a case is shown as time when `show` is "ms" and as amount per second otherwise. */
  readonly show: "ms" | "tok/s" | "GF/s" | "GB/s"
  /** Tokens, floating-point operations or bytes of a run. */
  readonly amount: number
  /** Useful floating-point operations of a run, for the share of the peak. */
  readonly flops: number | null
  /** Too much for a backend in double precision. */
  readonly heavy: boolean
  readonly open: (bench: Bench) => Run
  /** The request to the peer, without `count`. */
  readonly request: Readonly<Record<string, unknown>>
}

/** Cross-entropy of the batch, its gradient −1/N and the update: the plain training step. Returns the loss, nats per token. */
export const trainStep = (
  policy: Policy,
  { batches, update }: Pick<Workload, "batches" | "update">,
  step: number
): number => {
  const batch = asBatch(batches[step % batches.length]!)
  const denominator = offsetsOf(batch)[batch.length]!
  const { logps } = policy.learn(batch, (logps) => crossEntropy(logps, { denominator }).gradient)
  policy.step(update)
  return crossEntropy(logps).loss
}

/** Greedy continuations of the prompts, all of the same length. */
export const continuations = (policy: Policy, { newTokens, prompts }: Workload): ReadonlyArray<Int32Array> =>
  policy.sample(
    prompts,
    { maxNewTokens: newTokens, temperature: 0, topK: 0, topP: 1, stop: [] },
    prompts.map((_, i) => `bench/${i}`)
  ).map(({ completion }) => completion)

/**
 * Floating-point operations a token costs: 2 for each weight of a matrix product going forward and 4 going back, and causal
 * attention, where half of the products count (2 · context · heads · headDim forward in each layer). Recomputation and the
 * embedding are not counted.
 */
export const flopsPerToken = (workload: Workload, context: number, passes: 1 | 3): number => {
  const { dim, ffn, headDim, heads, kvHeads, layers, vocab } = modelConfig(workload.weights.config)
  const layer = dim * (heads + 2 * kvHeads) * headDim + heads * headDim * dim + 3 * dim * ffn
  return passes * (2 * (layers * layer + vocab * dim) + 2 * context * heads * headDim * layers)
}

const modelCases = (name: WorkloadName, workload: Workload): ReadonlyArray<Case> => {
  const batch = workload.batches[0]!
  const sequence = batch[0]!.length - 1
  const tokens = batch.length * sequence
  const shared = { peer: "torch", heavy: name !== "tiny" } as const
  const pass = (verb: string, title: string, passes: 1 | 3, run: (policy: Policy, step: number) => void): Case => ({
    ...shared,
    name: `${verb}-${name}`,
    title: `${title} ${name}`,
    show: "ms",
    amount: tokens,
    flops: tokens * flopsPerToken(workload, sequence, passes),
    open: ({ policy }) => {
      let step = 0
      return () => run(policy(name), step++)
    },
    request: { do: verb, name }
  })
  return [
    pass("train", "train step", 3, (policy, step) => trainStep(policy, workload, step)),
    pass("logprobs", "log-probs", 1, (policy, step) => {
      policy.logprobs(asBatch(workload.batches[step % workload.batches.length]!))
    }),
    {
      ...shared,
      name: `generate-${name}`,
      title: `generation ${name}`,
      show: "tok/s",
      amount: workload.prompts.length * workload.newTokens,
      flops: null,
      open: ({ policy }) => () => continuations(policy(name), workload),
      request: { do: "generate", name }
    }
  ]
}

/** [rows, inputs, outputs] of `Backend.linear`: decoding 16 sequences of mid, training tiny and mid, its head, squares. */
const products: ReadonlyArray<readonly [rows: number, inputs: number, outputs: number]> = [
  [16, 256, 1376],
  [16, 688, 256],
  [2048, 64, 344],
  [2048, 256, 1376],
  [2048, 256, 2048],
  [512, 512, 512],
  [1024, 1024, 1024]
]

const gemmCase = ([rows, inputs, outputs]: readonly [number, number, number]): Case => ({
  name: "gemm",
  title: `GEMM ${rows}×${inputs}×${outputs}`,
  peer: "torch",
  show: "GF/s",
  amount: 2 * rows * inputs * outputs,
  flops: 2 * rows * inputs * outputs,
  heavy: rows * inputs * outputs > 2 ** 22,
  open: ({ backend }) => {
    const fill = (length: number) => {
      const tensor = backend.reals(length)
      backend.write(tensor, Float32Array.from({ length }, (_, i) => Math.sin(i)))
      return tensor
    }
    const [out, x, w] = [backend.reals(rows * outputs), fill(rows * inputs), fill(inputs * outputs)]
    return () => backend.linear(out, x, w, null, rows, inputs, outputs)
  },
  request: { do: "gemm", rows, inputs, outputs }
})

/** Reals copied at once: 64 MiB, more than any cache holds of both. */
const copied = 2 ** 24

const copyCase: Case = {
  name: "copy",
  title: "copy 64 MiB",
  peer: "torch",
  show: "GB/s",
  // Read once and written once.
  amount: 2 * 4 * copied,
  flops: null,
  heavy: true,
  open: ({ backend }) => {
    const [to, from] = [backend.reals(copied), backend.reals(copied)]
    backend.zero(from)
    return () => backend.copy(to, from)
  },
  request: { do: "copy", length: copied }
}

export const torchCases = (workload: (name: WorkloadName) => Workload): ReadonlyArray<Case> => [
  ...modelCases("tiny", workload("tiny")),
  ...modelCases("mid", workload("mid")),
  ...products.map(gemmCase),
  copyCase
]
