/** Whether the engine here computes in the precision that a description asks for. */
import * as Artifact from "../../dsl/Artifact.ts"
import { label } from "../../dsl/Render.ts"
import { fieldsOf } from "../../dsl/Stage.ts"
import type { Engine } from "../engine/engine.ts"
import type { Problem } from "./check.ts"

/** Which engines offer a precision that is not offered everywhere. */
const offeredBy: Readonly<Record<string, string>> = {
  bf16:
    "--backend native on a CPU with AVX512-BF16 or AMX (Intel Sapphire Rapids, AMD Zen 4 and later), or --backend torch on an NVIDIA GPU"
}

/** Stages whose precision the engine lacks. An engine without precisions is exact in all of them. */
export const lackingPrecisions = (
  root: Artifact.Any,
  { precisions }: Pick<Engine, "precisions">
): ReadonlyArray<Problem> =>
  Artifact.lineage(root).flatMap((artifact) => {
    const { precision } = fieldsOf(artifact)
    if (precision === undefined || precisions === undefined || precisions.some((one) => one === precision)) return []
    return [{
      stage: label(artifact),
      problem: `precision ${precision} is not offered here, only ${precisions.join(", ")}; ${precision} needs ${
        offeredBy[precision] ?? "another backend"
      }. Leave precision out to compute in f32`
    }]
  })
