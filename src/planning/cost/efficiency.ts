/**
 * The share of a device's peak that published post-training reached, by phase and size of model: the hours of a plan for a device rest on
 * it. One number for each phase and class, the geometric mean of its runs; none of them is a recipe that plans are compared with
 * (`property-tests/planning/compute.test.ts`).
 */
import type { Phase } from "../../tensor/counting/memoryTerms.ts"

/** The work of a phase. Scoring is the forward half of training, and reaches what training does. */
type Work = "training" | "generation"

/** Phases that multiply; loading, copying and saving are priced by bytes. */
const workIn: Partial<Readonly<Record<Phase, Work>>> = {
  update: "training",
  logps: "training",
  generation: "generation",
  measure: "generation"
}

/** Dense peak of an H100 or H800 in bf16, FLOP/s. */
const h100 = 989e12
/** FLOPs a parameter and token: a gradient, and a forward pass (Kaplan et al. 2020, arXiv 2001.08361, §2.1). */
const [gradient, forward] = [6, 2]
/** Share of a step of reinforcement learning that is generation (OpenRLHF, README). */
const generating = 0.8

/** `parameters`: those that a token passes. */
interface Run {
  readonly work: Work
  readonly run: string
  readonly parameters: number
  readonly share: number
}

const trained = (run: string, parameters: number, share: number): Run => ({ work: "training", run, parameters, share })
/** From tokens a second and device, all phases of a step included. */
const sampled = (run: string, parameters: number, rate: number, part = generating): Run => ({
  work: "generation",
  run,
  parameters,
  share: forward * parameters * rate / part / h100
})

/** Of torchtune's ladder with Llama 3.2 3B on an A100 (312e12 FLOP/s), tokens a second: padded and packed rows. */
const [padded, packed] = [2091, 7075]

export const runs: ReadonlyArray<Run> = [
  trained("prime-rl benchmarks/baselines, 1 H100, Qwen3 0.6B SFT 8k", 0.6e9, 0.168),
  trained("prime-rl benchmarks/baselines, 1 H100, Qwen3 0.6B RL 16k", 0.6e9, 0.111),
  trained("prime-rl benchmarks/baselines, 8 H200, Qwen3 4B SFT 16k", 4e9, 0.284),
  trained("prime-rl benchmarks/baselines, 8 H200, Qwen3 4B RL 64k", 4e9, 0.361),
  trained("torchtune README, 1 A100, Llama 3.2 3B packed", 3.2e9, gradient * 3.2e9 * packed / 312e12),
  trained("verl docs/perf, 96 H20, DeepSeek V3", 37e9, 0.19),
  sampled("NeMo RL 0.4 performance summary, 16 H100, Llama 3.1 8B GRPO", 8e9, 1562),
  sampled("NeMo RL 0.4 performance summary, 32 H100, Qwen3 30B-A3B GRPO", 3.3e9, 925),
  sampled("NeMo RL 0.4 performance summary, 32 H100, Qwen3 32B GRPO", 32.8e9, 540),
  sampled("NeMo RL 0.4 performance summary, 128 H100, Qwen3 235B-A22B GRPO", 22e9, 45.7),
  sampled("NeMo RL 0.4 performance summary, 256 H100, DeepSeek V3 GRPO", 37e9, 11),
  sampled("DeepSeek open-infra-index, day 6, 8 H800, V3/R1 decoding", 37e9, 14_800 / 8, 1)
]

/** Parameters below which a model belongs to a class; a class without runs has those of the next. */
const classes = [2e9, 20e9, Infinity]
const classOf = (parameters: number): number => classes.findIndex((most) => parameters < most)

const mean = (shares: ReadonlyArray<number>): number =>
  Math.exp(shares.reduce((sum, share) => sum + Math.log(share), 0) / shares.length)

const shareOf = (work: Work, of: number): number => {
  const found = runs.filter((run) => run.work === work && classOf(run.parameters) === of)
  return found.length === 0 ? shareOf(work, of + 1) : mean(found.map(({ share }) => share))
}

/** The share of packed training that is left where rows are padded to the longest of their batch, as most published stages do. */
export const padding = padded / packed

/** The share of the peak that a phase reaches with a model of so many (active) parameters; null where bytes decide. */
export const efficiency = (phase: Phase, parameters: number, packs: boolean): number | null => {
  const work = workIn[phase]
  if (work === undefined) return null
  return shareOf(work, classOf(parameters)) * (work === "training" && !packs ? padding : 1)
}

const percent = (share: number): string => `${(100 * share).toPrecision(2)} %`

/** The ground of the hours, in a line. */
export const efficiencyNote = ((): string => {
  const all = (work: Work) => classes.map((_, of) => percent(shareOf(work, of))).join(", ")
  return `Hours rest on ${runs.length} published runs (src/planning/cost/efficiency.ts), communication included: models below 2 B, below 20 B and larger reach ${
    all("training")
  } of the peak in training and scoring, of which padding leaves ${
    padding.toFixed(2)
  } (all but pretraining is taken to pad), and ${all("generation")} in generation.`
})()
