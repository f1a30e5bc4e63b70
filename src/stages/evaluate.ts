import * as Effect from "effect/Effect"
import { Diverged, unsoundWeights } from "../../dsl/Errors.ts"
import type { Evaluate } from "../../dsl/stages/Evaluate.ts"
import { encodePairs, encodePrompts } from "../data/encode.ts"
import type { PreferenceRow, PromptRow } from "../data/rows.ts"
import { CurrentEngine } from "../engine/current.ts"
import type { Weights } from "../engine/engine.ts"
import { offsetsOf } from "../engine/engine.ts"
import { observe } from "../ledger/observe.ts"
import { afterLast } from "../losses/ragged.ts"
import { Judge } from "../rewards/judge.ts"
import { estimate, type ModelReport, type Report } from "../store/report.ts"
import { RunLog } from "../store/runLog.ts"
import { withinCaps } from "../training/budgets.ts"
import { observer } from "../training/loop.ts"
import type { Scope } from "../training/scope.ts"

/** Reports on models side by side; see `dsl/stages/Evaluate.ts`. Each model answers each prompt once, with the same seeds. */
export const evaluate = Effect.fn("evaluate")(function*(
  stage: Evaluate,
  wires: {
    readonly initial: Weights
    readonly models: Readonly<Record<string, Weights>>
    readonly prompts: ReadonlyArray<PromptRow>
    readonly reward: Weights | undefined
    readonly preferences: ReadonlyArray<PreferenceRow> | undefined
  },
  scope: Scope
) {
  const [engine, judge, log] = [yield* CurrentEngine, yield* Judge, yield* RunLog]
  const names = Object.keys(wires.models)
  const initial = yield* observer(engine.policy, wires.initial)
  const reward = wires.reward === undefined ? undefined : yield* observer(engine.scorer, wires.reward)
  const codec = engine.codec(wires.initial)
  const use = { stage: scope.label, codec, context: initial.context }
  const prompts = yield* encodePrompts(use, wires.prompts)
  yield* log.emit({ _tag: "Started", stage: scope.label, steps: names.length, from: 0 })

  const models: Array<ModelReport> = []
  const golds: Array<Float64Array> = []
  let spent = 0
  for (const [i, [name, weights]] of Object.entries(wires.models).entries()) {
    const { gold, report, tokens } = yield* Effect.scoped(Effect.gen(function*() {
      const policy = yield* observer(engine.policy, weights)
      const observed = observe(policy, {
        prompts,
        sampling: { maxNewTokens: stage.maxNewTokens, temperature: stage.temperature, stop: codec.stop },
        seeds: prompts.map((_, i) => `${scope.stream}/${i}`),
        decode: codec.decode,
        gold: (text, i) => judge.gold(stage.gold, wires.prompts[i]!.prompt, text),
        initial,
        reward
      })
      const { finished, gold, kl, length, proxy, texts, tokens } = observed
      const report: ModelReport = {
        name,
        gold: estimate(gold),
        proxy: proxy === null ? null : estimate(proxy),
        kl: kl === null ? null : estimate(kl),
        length: estimate(length),
        finished: finished.reduce((sum, x) => sum + x, 0) / finished.length,
        completions: texts.slice(0, stage.shown)
      }
      return { report, gold, tokens }
    }))
    const bad = Object.entries({ gold: report.gold.mean, proxy: report.proxy?.mean ?? 0, kl: report.kl?.mean ?? 0 })
      .find(([, x]) => !Number.isFinite(x))
    if (bad !== undefined) {
      return yield* new Diverged({
        stage: scope.label,
        step: i,
        quantity: `${bad[0]} of ${name}`,
        value: String(bad[1]),
        kept: "every model it reports on",
        remedy: unsoundWeights
      })
    }
    models.push(report)
    golds.push(gold)
    spent += tokens
    yield* log.emit({
      _tag: "Step",
      stage: scope.label,
      step: i + 1,
      steps: names.length,
      tokens,
      metrics: { gold: report.gold.mean, ...(report.proxy === null ? {} : { proxy: report.proxy.mean }) }
    })
    yield* withinCaps(scope, Effect.succeed("every model it reports on"))
  }
  let rewardAccuracy: Report["rewardAccuracy"] = null
  if (reward !== undefined && wires.preferences !== undefined) {
    const pairs = yield* encodePairs(use, wires.preferences)
    const rows = [...pairs.map(({ chosen }) => chosen), ...pairs.map(({ rejected }) => rejected)]
    const scores = afterLast(reward.values(rows).values, offsetsOf(rows))
    rewardAccuracy = estimate(pairs.map((_, i) => scores[i]! > scores[pairs.length + i]! ? 1 : 0))
  }
  yield* log.emit({ _tag: "Finished", stage: scope.label, tokens: spent })
  const last = golds.at(-1)
  const report: Report = {
    models,
    rewardAccuracy,
    prompts: wires.prompts.slice(0, stage.shown).map(({ prompt }) => prompt),
    goldGain: last === undefined ? [] : golds.slice(0, -1).map((earlier, i) => ({
      from: names[i]!,
      to: names.at(-1)!,
      difference: estimate(last.map((gold, j) => gold - earlier[j]!))
    }))
  }
  return report
}, Effect.scoped)
