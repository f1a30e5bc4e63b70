/**
 * Every policy-gradient loss that TRL has, against TRL's own code: values, gradients, advantages. `trl/grpo.py` makes the
 * fixture; where TRL is installed it is made again and compared.
 *
 * Deviations: (1) TRL 1.13 has no PPOTrainer any more: its surrogate is `bnpo` without a group. (2) The gradient of the entropy bonus is
 * estimated here and summed over the vocabulary there, so its value alone is compared. (3) TRL's `dapo`, `cispo` and `vespo` divide
 * by the tokens of a generation batch, ours by those of an update: the same when there is one update.
 */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { PolicyGradient, PolicyLoss } from "../../dsl/index.ts"
import { groupAdvantages, tokenAdvantages } from "../../src/losses/advantages.ts"
import { policyGradient } from "../../src/losses/policyGradient.ts"
import { assertClose } from "./gradients.ts"

type Rows = ReadonlyArray<ReadonlyArray<number>>
interface Result {
  readonly loss: number
  readonly gradient: Rows
}
interface Case extends Result {
  readonly loss_type: "grpo" | "bnpo" | "dr_grpo" | "dapo" | "cispo" | "sapo" | "vespo" | "luspo"
  readonly importance_sampling_level?: "sequence"
  readonly epsilon_low?: number
  readonly epsilon_high?: number
  readonly delta?: number
  readonly beta: number
  readonly corrected: boolean
  readonly truncated: boolean
  /** `clip_ratio/…`, of CISPO `cispo_clip_ratio` as `clip_ratio/high_mean`. */
  readonly clipped: Readonly<Record<string, number>>
  readonly entropy: number
  readonly kl: number | null
}
interface Fixture extends Record<"logps" | "old" | "ref" | "sampler" | "entropies", Rows> {
  readonly group_size: number
  readonly max_length: number
  readonly cap: number
  readonly rewards: ReadonlyArray<number>
  readonly advantages: { readonly group: ReadonlyArray<number>; readonly none: ReadonlyArray<number> }
  readonly cases: ReadonlyArray<Case>
  readonly entropic: Result
  readonly rloo: ReadonlyArray<Result & { readonly beta: number; readonly advantages: ReadonlyArray<number> }>
}

const script = fileURLToPath(new URL("trl/grpo.py", import.meta.url))
const fixture = JSON.parse(
  readFileSync(new URL("../golden/trl-grpo.json", import.meta.url), "utf8")
) as Fixture

const flat = (rows: Rows): Float64Array => Float64Array.from(rows.flat())
const offsets = Int32Array.from(
  fixture.logps.reduce<Array<number>>((ends, row) => [...ends, ends.at(-1)! + row.length], [0])
)
const perToken = (perRow: ArrayLike<number>): Float64Array =>
  Float64Array.from(fixture.logps.flatMap((row, i) => row.map(() => perRow[i]!)))
const batch = {
  logps: flat(fixture.logps),
  oldLogps: flat(fixture.old),
  refLogps: flat(fixture.ref),
  samplerLogps: flat(fixture.sampler),
  entropies: flat(fixture.entropies),
  offsets
}

/** What TRL calls it, as a point of the space. */
const pointOf = (of: Case): PolicyLoss.PolicyLoss => {
  const { beta, corrected, delta, epsilon_high: high = 0.2, epsilon_low: low = 0.2, loss_type: name, truncated } = of
  const clip = name === "cispo"
    ? new PolicyLoss.DetachedWeight({ max: high })
    : name === "sapo"
    ? new PolicyLoss.SoftGated({})
    : delta === undefined
    ? new PolicyLoss.Clipped({ low, high })
    : new PolicyLoss.DualClipped({ low, high, bound: delta })
  const level = of.importance_sampling_level === "sequence" ? "sequence-mean" : "token"
  const aggregations = {
    grpo: new PolicyLoss.SequenceMean(),
    sapo: new PolicyLoss.SequenceMean(),
    bnpo: new PolicyLoss.TokenMean(),
    dapo: new PolicyLoss.TokenMean(),
    cispo: new PolicyLoss.TokenMean(),
    vespo: new PolicyLoss.TokenMean(),
    dr_grpo: new PolicyLoss.FixedLength({ length: fixture.max_length }),
    luspo: new PolicyLoss.SequenceSum()
  }
  return new PolicyLoss.PolicyLoss({
    objective: name === "vespo" ? new PolicyLoss.GammaWeighted({}) : new PolicyLoss.Ratio({ level, clip }),
    aggregation: aggregations[name],
    kl: beta === 0
      ? new PolicyLoss.KlInReward()
      : new PolicyLoss.KlInLoss({ estimator: corrected ? "k3-corrected" : "k3" }),
    ...(truncated ? { importanceCap: fixture.cap } : {})
  })
}

describe("policy gradients as TRL has them", () => {
  it("group advantages: GRPO's with ddof 1 and 1e-4, Dr. GRPO's", () => {
    const rewards = Float64Array.from(fixture.rewards)
    const of = (name: "grpo" | "drGrpo") => groupAdvantages(PolicyGradient[name].advantage, rewards, fixture.group_size)
    assertClose(of("grpo"), fixture.advantages.group, 1e-12)
    assertClose(of("drGrpo"), fixture.advantages.none, 1e-12)
  })

  const named = (of: Case): string =>
    [
      of.loss_type,
      of.importance_sampling_level,
      of.delta === undefined ? "" : `delta ${of.delta}`,
      of.beta === 0 ? "" : of.corrected ? "k3-corrected" : "k3",
      of.truncated ? "truncated" : ""
    ].filter(Boolean).join(" ")

  it("all eight losses, at both levels, with KL, its correction and truncated importance sampling", () => {
    const seen = new Set<string>()
    for (const one of fixture.cases) {
      seen.add(named(one))
      const advantages = perToken(fixture.advantages.group)
      const { gradient, loss, metrics } = policyGradient({ ...batch, advantages }, pointOf(one), { beta: one.beta })
      assert.closeTo(loss, one.loss, 1e-12, named(one))
      assertClose(gradient, flat(one.gradient), 1e-12)
      // Whatever the aggregation: TRL makes its metrics in float32.
      for (const [name, value] of Object.entries(one.clipped)) assert.closeTo(metrics[name]!, value, 1e-7, name)
      if (one.kl !== null) assert.closeTo(metrics["kl"]!, one.kl, 1e-7, named(one))
      assert.closeTo(metrics["entropy"]!, one.entropy, 1e-7, named(one))
    }
    assert.isAtLeast(seen.size, 60)
  })

  it("the names are what TRL's are", () => {
    const point = (loss_type: Case["loss_type"], options: Partial<Case> = {}) =>
      pointOf({ loss_type, beta: 1, corrected: false, truncated: false, ...options } as Case)
    assert.deepStrictEqual(PolicyGradient.grpo.loss, point("grpo"))
    assert.deepStrictEqual(PolicyGradient.dapo.loss, point("dapo", { epsilon_high: 0.28 }))
    assert.deepStrictEqual(PolicyGradient.cispo.loss, point("cispo", { epsilon_high: 5 }))
    assert.deepStrictEqual(PolicyGradient.sapo.loss, point("sapo"))
    assert.deepStrictEqual(PolicyGradient.vespo.loss, point("vespo"))
    const sequence = { importance_sampling_level: "sequence", epsilon_low: 3e-4, epsilon_high: 4e-4 } as const
    assert.deepStrictEqual(PolicyGradient.gspo.loss, point("grpo", sequence))
    assert.deepStrictEqual(PolicyGradient.luspo.loss, point("luspo", sequence))
  })

  it("an entropy bonus has TRL's value", () => {
    const loss = new PolicyLoss.PolicyLoss({
      objective: PolicyGradient.grpo.loss.objective,
      aggregation: new PolicyLoss.TokenMean(),
      entropyCoef: 0.1
    })
    const advantages = perToken(fixture.advantages.group)
    assert.closeTo(policyGradient({ ...batch, advantages }, loss).loss, fixture.entropic.loss, 1e-12)
  })

  it("RLOO: advantages with and without KL in the reward, value and gradient", () => {
    for (const one of fixture.rloo) {
      const { advantages } = tokenAdvantages(PolicyGradient.rloo.advantage, {
        scores: Float64Array.from(fixture.rewards),
        logps: batch.oldLogps,
        refLogps: one.beta === 0 ? null : batch.refLogps,
        offsets
      }, { beta: one.beta, groupSize: fixture.group_size })
      assertClose(advantages, perToken(one.advantages), 1e-12)
      const { gradient, loss } = policyGradient({ ...batch, advantages }, PolicyGradient.rloo.loss)
      assert.closeTo(loss, one.loss, 1e-12)
      assertClose(gradient, flat(one.gradient), 1e-12)
    }
  })

  it("the fixture is what TRL makes", { timeout: 600_000 }, ({ skip }) => {
    const { status, stderr, stdout } = spawnSync("python3", [script], { encoding: "utf8", maxBuffer: 2 ** 26 })
    if (status !== 0) return skip(`TRL is not installed here: ${stderr?.split("\n").at(-2) ?? "no python3"}`)
    const again = JSON.parse(stdout) as Fixture
    assert.deepStrictEqual(Object.keys(again), Object.keys(fixture))
    const numbers = (value: unknown): ReadonlyArray<number> =>
      typeof value === "number"
        ? [value]
        : typeof value === "object" && value !== null
        ? Object.values(value).flatMap(numbers)
        : []
    assertClose(numbers(again), numbers(fixture), 1e-12)
  })
})
