/**
 * Every loss of direct alignment that TRL has, against TRL's own trainers: losses, gradients and metrics.
 *
 * Deviations: TRL 1.13's DPOTrainer ignores `label_smoothing` for `sigmoid` (cDPO is held against CPO's, the same term);
 * the cross-entropy of CPOTrainer and ORPOTrainer is over prompt and answer, here over the answer (torch's, in the fixture).
 */
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import * as PreferenceLoss from "../../dsl/PreferenceLoss.ts"
import { dpo } from "../../src/losses/dpo.ts"
import { kto, ktoKl } from "../../src/losses/kto.ts"
import { sumRows } from "../../src/losses/ragged.ts"
import { named } from "./dpoNames.ts"
import { assertClose } from "./gradients.ts"

interface Result {
  readonly name: string
  readonly loss: number
  readonly gradient: ReadonlyArray<number>
  readonly metrics: Readonly<Record<string, number>>
  readonly labels?: ReadonlyArray<boolean>
}

interface Fixture
  extends Record<"logps" | "refLogps" | "klLogps" | "lowKlLogps" | "refKlLogps", ReadonlyArray<number>>
{
  readonly trl: string
  readonly lengths: ReadonlyArray<number>
  readonly pairs: ReadonlyArray<Result>
  readonly unpaired: ReadonlyArray<Result>
}

const script = fileURLToPath(new URL("trl/dpo.py", import.meta.url))
const path = new URL("../golden/trl-dpo.json", import.meta.url)
const fixture = JSON.parse(readFileSync(path, "utf8")) as Fixture
const offsets = Int32Array.from([0, ...fixture.lengths])
for (let i = 1; i < offsets.length; i++) offsets[i]! += offsets[i - 1]!
const tokens = (name: "logps" | "refLogps" | "klLogps" | "lowKlLogps" | "refKlLogps") =>
  Float64Array.from(fixture[name])
const sums = (name: Parameters<typeof tokens>[0]) => sumRows(tokens(name), offsets)

const losses: Readonly<Record<string, PreferenceLoss.PreferenceLoss>> = {
  ...named,
  cpoSmoothed: { ...PreferenceLoss.cDpo({ beta: 0.3, labelSmoothing: 0.2, nll: 1 }), reference: false }
}

const agree = (
  ours: { readonly loss: number; readonly gradient: Float64Array; readonly metrics: object },
  trl: Result
) => {
  assert.closeTo(ours.loss, trl.loss, 1e-12)
  assertClose(ours.gradient, trl.gradient, 1e-12)
  for (const [name, value] of Object.entries(trl.metrics)) {
    assert.closeTo((ours.metrics as Record<string, number>)[name]!, value, 1e-7, name)
  }
}

describe("losses as TRL has them", () => {
  it.each(fixture.pairs)("$name", (trl) => {
    const loss = losses[trl.name]!
    agree(dpo(tokens("logps"), loss.reference ? sums("refLogps") : null, offsets, loss), trl)
    assert.isAtLeast(Object.keys(trl.metrics).length, 6)
  })

  it.each(fixture.unpaired)("unpaired: $name", (trl) => {
    const [desirableWeight, undesirableWeight] = trl.name === "ktoWeighted" ? [1.3, 0.7] : [1, 1]
    const kl = trl.name === "apoZero"
      ? 0
      : ktoKl(sums(trl.name === "ktoZeroKl" ? "lowKlLogps" : "klLogps"), sums("refKlLogps"))
    assert.strictEqual(kl > 0, !["apoZero", "ktoZeroKl"].includes(trl.name))
    const options = { beta: 0.3, kl, desirableWeight, undesirableWeight }
    agree(kto(tokens("logps"), sums("refLogps"), offsets, trl.labels!, options), trl)
  })

  const trl = spawnSync("python3", [
    "-c",
    "from importlib.metadata import version as v; print(v('trl'))"
  ], { encoding: "utf8" })
  const same = trl.status === 0 && trl.stdout.trim() === fixture.trl
  if (!same) console.warn(`skipped: TRL ${fixture.trl} is not installed, so its losses are the recorded ones`)
  it.skipIf(!same)("the fixture is what TRL computes now", { timeout: 300_000 }, () => {
    const made = spawnSync("python3", [script], { encoding: "utf8" })
    assert.strictEqual(made.status, 0, made.stderr)
    const now = JSON.parse(made.stdout) as Fixture
    for (const group of ["pairs", "unpaired"] as const) {
      now[group].forEach((result, i) => {
        const then = fixture[group][i]!
        assert.strictEqual(result.name, then.name)
        assertClose([result.loss, ...result.gradient], [then.loss, ...then.gradient], 1e-12)
      })
    }
  })
})
