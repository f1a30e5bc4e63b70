import fc from "fast-check"
import * as Distillation from "../../../dsl/Distillation.ts"
import * as Kl from "../../../dsl/Kl.ts"
import * as Distill from "../../../dsl/stages/Distill.ts"
import * as OnPolicyDistill from "../../../dsl/stages/OnPolicyDistill.ts"
import { capped } from "./capped.ts"
import { allowance, batchSize, index, rate, training } from "./parameters.ts"
import { family, onShelf, pick, type ShelfStep, stocked } from "./shelf.ts"

/** Distillation: off-policy from the teacher or from demonstrations, and on-policy within a cap. */
export const distillations: fc.Arbitrary<ShelfStep> = fc.record({
  family,
  student: index,
  teacher: index,
  data: index,
  held: index,
  how: fc.constantFrom("teacher" as const, "demonstrations" as const, "on-policy" as const),
  whole: fc.boolean(),
  divergence: fc.record({ beta: fc.double({ min: 0, max: 1, noNaN: true }), temperature: fc.constantFrom(1, 0.9) }),
  lambda: fc.double({ min: 0, max: 1, noNaN: true }),
  from: index,
  slack: fc.constantFrom(0, 500),
  allowance,
  params: fc.record({ batchSize, learningRate: rate, training })
}).map(({ divergence, params: { training, ...params }, ...drawn }) => (shelf) => {
  const policies = onShelf(shelf.policies, stocked(shelf, drawn.family))
  const both = { student: pick(policies, drawn.student), teacher: pick(policies, drawn.teacher) }
  const jsd = Distillation.generalizedJsd(divergence)
  const all = { ...training, ...params }
  if (drawn.how === "on-policy") {
    const policy = OnPolicyDistill.make(
      { ...both, prompts: pick(shelf.prompts, drawn.data), held: pick(shelf.held, drawn.held) },
      {
        ...all,
        ...(drawn.whole ? { objective: Distillation.reverseKl() } : { objective: jsd, lambda: drawn.lambda }),
        steps: 1,
        maxNewTokens: 3,
        measureSamples: 2,
        allowance: Kl.mnatsPerSequence<number>(drawn.allowance)
      }
    )
    return void policies.push(capped(policy, { index: drawn.from, slack: drawn.slack }))
  }
  const objective = drawn.whole ? Distillation.sequenceLevel : jsd
  policies.push(
    drawn.how === "teacher"
      ? Distill.make({ ...both, prompts: pick(shelf.prompts, drawn.data) }, { ...all, objective, maxNewTokens: 3 })
      : Distill.make({ ...both, demonstrations: pick(shelf.demonstrations, drawn.data) }, { ...all, objective })
  )
})
