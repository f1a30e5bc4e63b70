/** Losses from outside Keel: described, held to their laws, trained with on both engines, and refused where nobody knows them. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Exit, Result } from "effect"
import {
  Dpo,
  Grpo,
  Kl,
  Pipeline,
  PolicyGradient,
  PolicyLoss,
  Ppo,
  PreferenceLoss,
  Render,
  Source,
  Verifier
} from "keel"
import { type LossImplementation, policyLoss, preferenceLoss } from "keel/stage"
import { laws } from "keel/testing"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import type * as Artifact from "../../dsl/Artifact.ts"
import { tabular } from "../../src/engine/tabular/tabular.ts"
import { language } from "../../src/engine/tabular/checkpoint.ts"
import { answered, preferences as pairsOf } from "../../src/engine/tabular/data.ts"
import { CurrentEngine } from "../../src/engine/current.ts"
import type { Weights } from "../../src/engine/engine.ts"
import { pipelineOf } from "../../src/cli/pipelineFile.ts"
import { problems } from "../../src/interpreters/check.ts"
import { lackingExtensions } from "../../src/interpreters/extensions.ts"
import { plan } from "../../src/planning/plan.ts"
import { defaultWorld, simulate } from "../../src/interpreters/simulate.ts"
import { aimsOf } from "../../src/ledger/trained.ts"
import type { Loss } from "../../src/losses/loss.ts"
import { policyGradient } from "../../src/losses/policyGradient.ts"
import { plain } from "../../src/rewards/composed.ts"
import { atOnce, Judge } from "../../src/rewards/judge.ts"
import { dpo } from "../../src/stages/dpo.ts"
import { grpo } from "../../src/stages/grpo.ts"
import { ppo } from "../../src/stages/ppo.ts"
import * as MemoryStore from "../../src/store/memory.ts"
import { type Event, RunLog } from "../../src/store/runLog.ts"
import type { NotFinite } from "../../src/training/loop.ts"
import { CurrentLosses, policyLossOf, preferenceLossOf } from "../../src/training/ownLosses.ts"
import { keel } from "../cli/keel.ts"
import { f64, i32 } from "../losses/gradients.ts"
import { folders } from "../store/faultyFileSystem.ts"
import { described, mine, pairwise, spends, started } from "./ownLoss.ts"
import { engine, tiny, train } from "./tiny.ts"

const folder = folders("ownLosses")
const { held, prompts, sft } = started

// Keel's own losses, as somebody else's.
const builtIn = PreferenceLoss.dpo({ beta: 0.3 })
const clipped = policyLoss("Clipped", (batch) => {
  const { gradient, loss, metrics } = policyGradient(batch, PolicyGradient.grpo.loss, { beta: batch.beta })
  return { loss, gradient, metrics: { "my/kl": metrics["kl"] ?? 0 } }
})
const tokens = policyLoss("Tokens", (batch) => policyGradient(batch, PolicyGradient.ppo.loss))
const inLoss = PolicyLoss.own("Clipped", {}, { kl: new PolicyLoss.KlInOwnLoss() })

const sampled = (more: object = {}) =>
  Pipeline.cap(
    Grpo.make({ init: sft, reference: sft, prompts, held }, {
      ...spends,
      beta: 0.05,
      steps: 2,
      batchSize: 2,
      groupSize: 3,
      verifiers: [Verifier.keywords()],
      loss: inLoss,
      ...more
    }),
    { kl: Kl.mnatsPerSequence(20_000), from: sft }
  )

const failure = <A, E>(exit: Exit.Exit<A, E>): E => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons[0] : undefined
  if (reason?._tag === "Fail") return reason.error
  throw new Error(String(exit))
}

describe("the description", () => {
  it("has name and parameters in its identity, in JSON and for overrides", () => {
    const root: Artifact.Any = pairwise()
    assert.deepStrictEqual(problems(root), [])
    assert.notStrictEqual(pairwise(PreferenceLoss.own("Mine", { beta: 0.2 })).id, root.id)
    assert.include(
      Pipeline.toJson(root),
      '"loss":{"_tag":"OwnPreferenceLoss","name":"Mine","params":{"beta":0.3},"reference":true}'
    )
    const back = Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(root)))
    assert.strictEqual(back.id, root.id)
    const set = Result.getOrThrow(Pipeline.set(back, "dpo.loss.params.beta", 0.2))
    assert.strictEqual(set.id, pairwise(PreferenceLoss.own("Mine", { beta: 0.2 })).id)
    const other = Result.getOrThrow(Pipeline.fromJson(Pipeline.toJson(sampled())))
    assert.strictEqual(other.id, sampled().id)
    assert.include(Pipeline.toJson(other), '"kl":{"_tag":"KlInOwnLoss"},"name":"Clipped","params":{}')
  })

  it("is judged: a name, known fields, a reference exactly when it has one", () => {
    const of = (root: Artifact.Any) => problems(root).map(({ problem }) => problem).join("\n")
    assert.match(of(pairwise(PreferenceLoss.own("" as "Mine"))), /loss.*name/u)
    assert.match(of(pairwise({ ...described, beta: 1 } as never)), /beta/u)
    assert.match(
      of(pairwise(PreferenceLoss.own("Mine", {}, { reference: false }) as never)),
      /Dpo.reference needs no reference, because its loss has none/u
    )
  })
})

it("has no optimum that the ledger could bound", () => {
  const [aim] = aimsOf(sampled().node.wires["of"]!, () => ({ from: null, links: [] }))
  assert.include(JSON.stringify(aim), "its loss Clipped comes from outside Keel")
})

describe("the laws", () => {
  /** What the laws say of it. */
  const said = (check: () => void): string => {
    try {
      check()
    } catch (error) {
      return String((error as Error).cause ?? error)
    }
    return "nothing"
  }
  const broken = (of: LossImplementation<"preference">["of"]) =>
    said(() => laws.ownLoss(described, preferenceLoss("Mine", of), { numRuns: 50 }))
  const nothing = (logps: Float64Array) => ({ gradient: new Float64Array(logps.length), metrics: {} })

  it("hold for Keel's own", () => {
    laws.ownLoss(described, mine)
    laws.ownLoss(inLoss, clipped)
  })
  it("catch a wrong gradient", () => {
    const negated = broken((batch, params) => {
      const right = mine.of(batch, params)
      return { ...right, gradient: right.gradient.map((g) => -g) }
    })
    assert.match(negated, /element \d+: the gradient is .*, the difference/u)
  })
  it("catch a loss that the order of the pairs matters to, changes its input, is not finite or not the same twice", () => {
    assert.match(broken(({ logps, offsets }) => ({ loss: offsets[1]!, ...nothing(logps) })), /loss in another order/u)
    assert.match(
      broken(({ logps, refLogps }) => ({ loss: refLogps!.fill(0)[0]!, ...nothing(logps) })),
      /changed its input/u
    )
    assert.match(broken(({ logps }) => ({ loss: 0, ...nothing(logps), metrics: { mine: NaN } })), /mine is NaN/u)
    let calls = 0
    const counts = preferenceLoss("Mine", ({ logps }) => ({ loss: calls++, ...nothing(logps) }))
    assert.match(said(() => laws.ownLoss(described, counts, { detached: true })), /a second call gave another loss/u)
    const other = policyLoss("Mine", () => assert.fail())
    assert.match(said(() => laws.ownLoss(described, other as never)), /preference loss Mine, .* policy loss Mine$/u)
  })
})

describe("one that equals a loss of Keel's", () => {
  const world = defaultWorld
  const weights = language(world)
  const scope = { key: "the same", stream: "the same", label: "here", limits: { kl: [] } }
  const bits = ({ tensors }: Weights) => [...tensors].map(([name, { data }]) => [name, [...data]])
  /** What a stage makes in the tabular world, and its metrics: the key, and so all that is random, is the same for any loss. */
  const made = async (stage: () => Effect.Effect<Weights, unknown, any>) => {
    const steps: Array<Event> = []
    const trained = await Effect.runPromise(
      stage().pipe(
        Effect.provideService(CurrentLosses, [mine, clipped, tokens]),
        Effect.provideService(CurrentEngine, tabular(world)),
        Effect.provideService(RunLog, {
          emit: (event) => Effect.sync(() => void (event._tag === "Step" && steps.push(event)))
        }),
        Effect.provideService(Judge, {
          gold: (_, prompt, text) => world.gold(prompt, text),
          prefers: () => true,
          verifies: atOnce(({ completion }) => completion.length % 2 === 0)
        }),
        Effect.provide(MemoryStore.layer)
      ) as Effect.Effect<Weights>
    )
    const metrics = steps.map((event) => event._tag === "Step" ? event.metrics : {})
    return { bits: bits(trained), metrics }
  }
  const known = { key: "reference", weights }
  const heldRows = answered(world)
  const rl = {
    steps: 3,
    batchSize: 2,
    beta: 0.1,
    learningRate: 0.1,
    numIterations: 2,
    numPpoEpochs: 2,
    numMiniBatches: 2
  }

  it("gives the same weights, bit for bit, in Dpo", async () => {
    const with_ = (loss: typeof builtIn | typeof described) =>
      made(() => {
        const stage = new Dpo.Dpo({ ...spends, loss, learningRate: 0.1, epochs: 2 })
        const preferences = pairsOf(world, { count: 12, seed: "a" })
        return dpo(stage, { init: weights, reference: known, preferences, held: heldRows }, scope)
      })
    const [theirs, ours] = [await with_(builtIn), await with_(described)]
    assert.deepStrictEqual(ours, theirs)
    assert.notDeepEqual(theirs.bits, bits(weights))
  })

  it("gives the same weights, bit for bit, in Grpo and Ppo, and its metrics stand beside Keel's", async () => {
    const shared = { ...spends, ...rl }
    const inGrpo = (loss: PolicyLoss.Loss) =>
      made(() => {
        const stage = new Grpo.Grpo({ ...shared, groupSize: 3, verifiers: [Verifier.keywords()], loss } as never)
        const wires = { init: weights, reference: weights, reward: undefined, prompts: heldRows, held: heldRows }
        return grpo(stage, wires, scope)
      })
    const [theirs, ours] = [await inGrpo(PolicyGradient.grpo.loss), await inGrpo(inLoss)]
    assert.deepStrictEqual(ours.bits, theirs.bits)
    assert.notDeepEqual(ours.bits, bits(weights))
    assert.deepStrictEqual(ours.metrics.map((of) => of["loss"]), theirs.metrics.map((of) => of["loss"]))
    assert.deepStrictEqual(ours.metrics.map((of) => of["my/kl"]), theirs.metrics.map((of) => of["kl"]))
    const inPpo = (loss: PolicyLoss.Loss) =>
      made(() => {
        const stage = new Ppo.Ppo({ ...shared, loss, missingEosPenalty: 1, targetKl: Kl.mnatsPerToken(1) } as never)
        return ppo(stage, {
          init: weights,
          reference: weights,
          reward: plain(weights),
          value: weights,
          prompts: heldRows,
          held: heldRows,
          pretraining: undefined
        }, scope)
      })
    const [theirPpo, ourPpo] = [await inPpo(PolicyGradient.ppo.loss), await inPpo(PolicyLoss.own("Tokens"))]
    assert.deepStrictEqual(ourPpo.bits, theirPpo.bits)
    assert.notDeepEqual(ourPpo.bits, bits(weights))
    const names = Object.keys(ourPpo.metrics[0]!)
    assert.includeMembers(names, Object.keys(theirPpo.metrics[0]!))
    assert.isTrue(ourPpo.metrics.some((of) => of["policy/updates"]! < 4), "none was left out by targetKl")
  })
})

describe("in a pipeline", () => {
  it("trains in simulation, for real, and is planned", { timeout: 60_000 }, async () => {
    const store = folder()
    const inPpo = tiny({ ppo: { loss: PolicyLoss.own("Tokens") } }).policy
    for (const [root, losses] of [[pairwise(), [mine]], [sampled(), [clipped]], [inPpo, [tokens]]] as const) {
      const events: Array<Event> = []
      const { policies } = await Effect.runPromise(simulate(root as Artifact.Any, { losses }))
      assert.isAtLeast(policies.length, 3)
      await Effect.runPromise(
        train(root as Artifact.Any, {
          engine: engine(),
          store,
          losses,
          onEvent: (event) => Effect.sync(() => void events.push(event))
        })
          .pipe(Effect.provide(NodeServices.layer))
      )
      assert.isAtLeast(events.filter((one) => one._tag === "Step" && /^(?:dpo|grpo|ppo)/u.test(one.stage)).length, 2)
      const { stages, unplanned } = await Effect.runPromise(
        plan(root, { losses }).pipe(Effect.provide(NodeServices.layer))
      )
      assert.deepStrictEqual(unplanned, [])
      assert.isTrue(stages.some(({ stage }) => stage === Render.label(root.node.wires["of"]!)))
    }
  })

  it("goes on where it was stopped, bit for bit", async () => {
    const stage = Dpo.make({
      init: sft,
      reference: sft,
      preferences: Source.preferences(Source.tales({ count: 12 })),
      held
    }, {
      ...spends,
      loss: described
    })
    const root = Pipeline.cap(stage, { kl: Kl.mnatsPerSequence(20_000), from: sft })
    await laws.resumes(root, stage, { losses: [mine], stops: [1, 3] })
  })

  it("ends its stage when a number or a slope is not finite, before the policy moves", async () => {
    const bad = (spoil: (gradient: Float64Array) => number) =>
      preferenceLoss("Mine", (batch, params) => {
        const of = mine.of(batch, params)
        return { ...of, loss: of.loss + spoil(of.gradient) }
      })
    for (
      const [one, said] of [
        [bad(() => NaN), "loss Mine is NaN"],
        [bad((gradient) => gradient.fill(Infinity, 0, 1).length), "gradient of the loss Mine is Infinity"],
        [bad((gradient) => gradient.fill(NaN, 1, 2).length), "gradient of the loss Mine is NaN"]
      ] as const
    ) {
      const error = failure(await Effect.runPromiseExit(simulate(pairwise(), { losses: [one] })))
      assert.strictEqual(error._tag, "Diverged")
      assert.include(error.message, `: ${said} at step 0`)
    }
  })

  it("hides nothing that is not finite, whatever it is given", () => {
    const [flat, level] = [preferenceLoss("Mine", () => zero), policyLoss("Clipped", () => zero)]
    const zero = { loss: 0, gradient: new Float64Array(2), metrics: {} }
    const [pair, one] = Effect.runSync(
      Effect.provideService(
        Effect.all([preferenceLossOf(described), policyLossOf(inLoss, { maxLength: 2 })]),
        CurrentLosses,
        [flat, level]
      )
    )
    const [x, offsets, margins] = [f64(-1, -2), i32(0, 1, 2), f64(0)]
    const bare = (loss: Effect.Effect<Loss, NotFinite>) =>
      Effect.runSync(Effect.catchTag(loss, "NotFinite", ({ quantity }) => Effect.succeed(quantity)))
    const batch = { logps: x, oldLogps: x, samplerLogps: x, advantages: x, entropies: x, refLogps: x, beta: 0, offsets }
    for (const bad of [f64(NaN, -1), f64(-1, -Infinity)]) {
      assert.strictEqual(bare(pair({ logps: bad, refLogps: x, offsets, margins })), "logps for the loss Mine")
      assert.strictEqual(bare(pair({ logps: x, refLogps: bad, offsets, margins })), "refLogps for the loss Mine")
      for (const name of ["logps", "oldLogps", "advantages", "refLogps"]) {
        assert.strictEqual(bare(one({ ...batch, [name]: bad })), `${name} for the loss Clipped`)
      }
    }
    assert.strictEqual(Effect.runSync(pair({ logps: x, refLogps: null, offsets, margins })).loss, 0)
    assert.deepStrictEqual(Effect.runSync(one(batch)).metrics, { loss: 0, approx_kl: 0, ratio: 1 })
  })

  it("that throws or returns no loss with its gradient ends its stage in an error with its name and a remedy", async () => {
    const cases: ReadonlyArray<readonly [() => unknown, RegExp]> = [
      [() => ({ loss: 0, gradient: new Float64Array(1), metrics: {} }), /gradient of 1 numbers for \d+ tokens\. /u],
      [() => ({ loss: 0, gradient: [0], metrics: {} }), /returned a gradient that is no Float64Array\. /u],
      [() => undefined, /Mine returned undefined instead of \{ loss, gradient, metrics \}\. /u],
      [() => JSON.parse("?"), /Mine threw SyntaxError: /u]
    ]
    for (const [of, said] of cases) {
      const losses = [preferenceLoss("Mine", of as never)] as const
      const error = failure(await Effect.runPromiseExit(simulate(pairwise(), { losses })))
      assert.strictEqual(error._tag, "BrokenExtension")
      assert.match(error.message, /^dpo-[0-9a-f]{8}: the preference loss Mine .*\. Mend its function .*laws\.ownLoss/u)
      assert.match(error.message, said)
    }
    const losses = [policyLoss("Clipped", (() => undefined) as never)] as const
    const error = failure(await Effect.runPromiseExit(simulate(sampled(), { losses })))
    assert.match(error.message, /^grpo-[0-9a-f]{8}: the policy loss Clipped returned undefined/u)
  })
})

it("that nobody implements is refused by every interpreter, with the remedy; one of the other kind does not serve", async () => {
  const text = (kind: string, name: string) =>
    `the ${kind} loss ${name} comes from outside Keel and has no implementation here: pass it in \`losses\`, ` +
    "or export it as `losses` from the pipeline's file"
  const root: Artifact.Any = pairwise()
  const lacking = [{ stage: Render.label(root.node.wires["of"]!), problem: text("preference", "Mine") }]
  assert.deepStrictEqual(lackingExtensions(root, {}), lacking)
  assert.deepStrictEqual(lackingExtensions(root, { losses: [policyLoss("Mine", () => assert.fail())] }), lacking)
  assert.deepStrictEqual(lackingExtensions(root, { losses: [mine] }), [])
  assert.deepStrictEqual(lackingExtensions(sampled(), {}).map(({ problem }) => problem), [text("policy", "Clipped")])
  const refused = [
    simulate(root),
    plan(root),
    train(root, { engine: engine(), store: folder(), onEvent: () => Effect.void })
  ]
  for (const one of refused) {
    const error = failure(
      await Effect.runPromiseExit(
        Effect.provide(one as Effect.Effect<unknown, { readonly _tag: string }>, NodeServices.layer)
      )
    )
    assert.strictEqual(error._tag, "Refused")
    assert.include(String((error as { message?: string }).message), text("preference", "Mine"))
  }
})

describe("on the command line", () => {
  const file = fileURLToPath(new URL("ownLoss.ts", import.meta.url))

  it("is found in the exports of the pipeline's file", { timeout: 60_000 }, async () => {
    const at = folder()
    for (const args of [["check", file], ["simulate", file], ["run", file, "--out", "run", "--backend", "reference"]]) {
      const { code, stderr } = await keel(args, at)
      assert.strictEqual(code, 0, stderr)
    }
    writeFileSync(join(at, "described.json"), Pipeline.toJson(pairwise()))
    const { code, stderr, stdout } = await keel(["check", "described.json"], at)
    assert.notStrictEqual(code, 0)
    assert.include(stdout + stderr, "or export it as `losses` from the pipeline's file")
  })

  it("that throws ends a run with one line", { timeout: 60_000 }, async () => {
    const at = folder()
    mkdirSync(at)
    const own = JSON.stringify(file)
    const stage = JSON.stringify(fileURLToPath(new URL("../../src/outside/index.ts", import.meta.url)))
    const thrower = 'preferenceLoss("Mine", () => { throw new Error("never\\nagain") })'
    writeFileSync(
      join(at, "throws.ts"),
      `export { default } from ${own}\nimport { preferenceLoss } from ${stage}\nexport const losses = [${thrower}]\n`
    )
    const { code, stderr } = await keel(["run", "throws.ts", "--out", "run", "--backend", "reference"], at)
    assert.strictEqual(code, 1)
    assert.match(stderr, /^BrokenExtension: dpo-[0-9a-f]{8}: the preference loss Mine threw Error: never\. Mend .*$/mu)
    assert.notMatch(stderr, /^ +at /mu)
  })

  it("is refused when it was not made for it", async () => {
    const at = folder()
    mkdirSync(at)
    writeFileSync(join(at, "wrong.ts"), "export const losses = [() => 0]\nexport default 1\n")
    const { message } = failure(
      await Effect.runPromiseExit(Effect.provide(pipelineOf(join(at, "wrong.ts")), NodeServices.layer))
    )
    assert.match(
      message,
      /its export `losses` is no list of implementations. Make each with `preferenceLoss` or `policyLoss` of keel\/stage/u
    )
  })
})
