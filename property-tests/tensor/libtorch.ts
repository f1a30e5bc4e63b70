import type { Backend } from "../../src/tensor/backend.ts"
import { NoTorch } from "../../src/tensor/torch/locate.ts"
import { torch } from "../../src/tensor/torch/torch.ts"

/** Where the tests run: `npm run test:gpu` sets it. */
const device = process.env["KEEL_TORCH_DEVICE"] ?? "cpu"

/** One thread, unless a test is about more: those of OpenMP wait for one another busily, which slows everybody else's tests. */
export const openTorch = (threads = 1): Promise<Backend> => torch({ threads, device })

/** Why there is no libtorch here; undefined when there is. */
export const noTorch: string | undefined = await openTorch().then(
  (backend) => {
    backend.dispose()
    return undefined
  },
  (error: unknown) => {
    if (error instanceof NoTorch) return error.message
    throw error
  }
)
