/**
 * The unit of every parameter that is a number, by its name, which means the same in every operation. The compiler asks for the unit of a
 * new one. `Shrink` scales by it, and a comparison prints it.
 */
import type { Fields } from "./Stage.ts"

export type Unit =
  /** Steps of the stage, or a number of them from one event to the next. */
  | "steps"
  /** Rows, prompts or episodes of one step. */
  | "rows"
  /** Passes over the rows of a stage or of a step. */
  | "passes"
  /** Equal parts of a step's rows. */
  | "parts"
  /** Completions of one prompt. */
  | "completions"
  /** Completions that are sampled to measure. */
  | "samples"
  | "tokens"
  | "words"
  /** Step size of AdamW. */
  | "rate"
  | "seconds"
  | "bytes"
  | "FLOPs"
  /** A number that a smaller copy keeps: a weight, a share, a threshold, a seed. */
  | "none"

type Numeric = {
  [K in keyof Fields]-?: [Extract<NonNullable<Fields[K]>, number>] extends [never] ? never : K
}[keyof Fields]

export const units: { readonly [K in Numeric]: Unit } = {
  adamBeta1: "none",
  adamBeta2: "none",
  adamEpsilon: "none",
  atLeast: "none",
  atMost: "none",
  batchSize: "rows",
  batchTokens: "tokens",
  beta: "none",
  checkpointEvery: "steps",
  cliprangeValue: "none",
  completionsPerPrompt: "completions",
  desirableWeight: "none",
  disk: "bytes",
  epochs: "passes",
  flops: "FLOPs",
  fraction: "none",
  generated: "tokens",
  groupSize: "completions",
  lambda: "none",
  learningRate: "rate",
  maxGradNorm: "none",
  maxLength: "tokens",
  maxLengthRatio: "none",
  maxNewTokens: "tokens",
  maxTokens: "tokens",
  maxWords: "words",
  minLearningRate: "rate",
  minLearningRateRatio: "none",
  minMargin: "none",
  measureError: "none",
  measureEvery: "steps",
  measureMost: "samples",
  measureSamples: "samples",
  memory: "bytes",
  minScore: "none",
  minTokens: "tokens",
  minWords: "words",
  missingEosPenalty: "none",
  ngram: "words",
  numIterations: "passes",
  numMiniBatches: "parts",
  numPpoEpochs: "passes",
  overlap: "none",
  positiveNll: "none",
  pretrainingShare: "none",
  prompts: "rows",
  ptxCoef: "none",
  ptxRatio: "none",
  samplingTemperature: "none",
  seconds: "seconds",
  seed: "none",
  shown: "rows",
  solved: "none",
  solvedAgain: "none",
  steps: "steps",
  temperature: "none",
  tokens: "tokens",
  topK: "none",
  topP: "none",
  trained: "tokens",
  undesirableWeight: "none",
  valueLearningRate: "rate",
  valueWarmupSteps: "steps",
  vfCoef: "none",
  warmupFrom: "none",
  warmupRatio: "none",
  warmupSteps: "steps",
  weightDecay: "none"
}

/** The unit of a parameter; undefined of one that is no number. */
export const unitOf = (name: string): Unit | undefined =>
  Object.hasOwn(units, name) ? units[name as Numeric] : undefined
