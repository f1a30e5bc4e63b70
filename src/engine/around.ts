/**
 * The list of all members of a model and of an engine. Every wrapper (Ctrl-C, counting, timing, a reference that moves)
 * uses this list: a new verb does not compile until it has a kind, nor a new kind until every wrapper handles it.
 */
import type { Batch, Codec, Computing, Engine, Model, Policy, Precision, Scorer, Weights } from "./engine.ts"

/** The verbs of a model by their kind. */
export interface Verbs {
  /** A forward pass: `logprobs`, `values`. */
  readonly pass: (
    batch: Batch,
    options?: { readonly retain?: boolean; readonly precision?: Precision; readonly temperature?: number }
  ) => { readonly offsets: Int32Array }
  /** A forward pass of two models. */
  readonly compare: Policy["divergences"]
  readonly backward: Policy["backward"]
  /** Both passes in one call. */
  readonly learn: Policy["learn"]
  readonly step: Model["step"]
  readonly sample: Policy["sample"]
  /** Reads or replaces weights or the optimiser: `weights`, `follow`, `optimizer`, `restore`. */
  readonly state: (...args: ReadonlyArray<any>) => unknown
  readonly dispose: Model["dispose"]
}

/** The kind of each member; null for a number that does not change. */
type Kinds<M> = { readonly [K in keyof M]-?: keyof Verbs | null }

const model = {
  parameters: null,
  context: null,
  step: "step",
  weights: "state",
  follow: "state",
  optimizer: "state",
  restore: "state",
  dispose: "dispose"
} as const satisfies Kinds<Model>

export const policyVerbs = {
  ...model,
  logprobs: "pass",
  divergences: "compare",
  backward: "backward",
  learn: "learn",
  sample: "sample"
} as const satisfies Kinds<Policy>

export const scorerVerbs = { ...model, values: "pass", backward: "backward" } as const satisfies Kinds<Scorer>

/** The replacement of each verb, given the verb. */
export type Around = { readonly [K in keyof Verbs]: (own: Verbs[K]) => Verbs[K] }

/** The verb unchanged. */
export const same = <F>(own: F): F => own

export const unchanged: Around = {
  pass: same,
  compare: same,
  backward: same,
  learn: same,
  step: same,
  sample: same,
  state: same,
  dispose: same
}

/** The verb inside `run`. */
export const within = (run: <A>(work: () => A) => A) => <F extends (...args: ReadonlyArray<any>) => any>(own: F): F =>
  ((...args) => run(() => own(...args))) as F

const surrounded = <M extends Model>(of: M, kinds: Kinds<Model>, how: Around): M =>
  Object.entries(kinds).reduce<M>((made, [name, kind]) => {
    if (kind === null) return made
    const around = how[kind] as (own: unknown) => unknown
    return Object.assign(made, { [name]: around(of[name as keyof M]) })
  }, { ...of })

export const aroundPolicy = <P extends Policy>(of: P, how: Around): P => surrounded(of, policyVerbs, how)

export const aroundScorer = <S extends Scorer>(of: S, how: Around): S => surrounded(of, scorerVerbs, how)

/** A policy that asks `now` for the current policy at each call, and for what an engine keeps in its own policies. */
export const forwarding = (now: () => Policy): Policy => {
  const current = (name: string) => now()[name as keyof Policy]
  return Object.defineProperties(
    {},
    Object.fromEntries(
      Object.keys(now()).map((name) => [
        name,
        (policyVerbs as Readonly<Record<string, keyof Verbs | null>>)[name] == null
          ? { enumerable: true, get: () => current(name) }
          : {
            enumerable: true,
            value: (...args: ReadonlyArray<never>) => (current(name) as (...args: unknown[]) => unknown)(...args)
          }
      ])
    )
  ) as Policy
}

/** Properties of an engine; every other member is a verb. */
type Told = "kind" | "memory" | "recently" | "flops" | "addressable" | "packing" | "precisions"

/** An engine with wrappers around its own verbs and the verbs of each of its models. */
export const aroundEngine = (engine: Engine, { codec = same, computing = same, model, open = (work) => work() }: {
  /** Called for each model that is opened. */
  readonly model?: () => Around
  /** Makes or opens a model: `weights` is null for a new model. */
  readonly open?: <A>(work: () => A, weights: Weights | null) => A
  readonly computing?: (own: Computing | undefined) => Computing | undefined
  readonly codec?: (own: Codec) => Codec
}): Engine => {
  const around = <M>(of: M, wrap: (of: M, how: Around) => M): M => model === undefined ? of : wrap(of, model())
  const verbs: Pick<Engine, Exclude<keyof Engine, Told>> = {
    codec: (weights) => codec(engine.codec(weights)),
    initial: (shape) => open(() => engine.initial(shape), null),
    policy: (weights, how) => around(open(() => engine.policy(weights, computing(how)), weights), aroundPolicy),
    scorer: (weights, how) => around(open(() => engine.scorer(weights, computing(how)), weights), aroundScorer)
  }
  return { ...engine, ...verbs }
}
