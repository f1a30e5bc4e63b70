import type { KernelLaw } from "./kernelLaw.ts"
import { adamw } from "./kernels/adamw.ts"
import { attention } from "./kernels/attention.ts"
import { elementwise } from "./kernels/elementwise.ts"
import { embedding } from "./kernels/embedding.ts"
import { gelu } from "./kernels/gelu.ts"
import { head } from "./kernels/head.ts"
import { layerNorm } from "./kernels/layerNorm.ts"
import { linear } from "./kernels/linear.ts"
import { rmsNorm } from "./kernels/rmsNorm.ts"
import { rope } from "./kernels/rope.ts"
import { sample } from "./kernels/sample.ts"
import { swiglu } from "./kernels/swiglu.ts"

/** The law of every kernel. */
export const laws: ReadonlyArray<KernelLaw> = [
  ...elementwise,
  ...embedding,
  ...linear,
  ...rmsNorm,
  ...layerNorm,
  ...rope,
  ...attention,
  ...swiglu,
  ...gelu,
  ...head,
  ...sample,
  ...adamw
]
