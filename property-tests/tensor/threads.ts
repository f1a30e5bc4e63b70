import { afterAll, beforeAll, describe, it } from "vitest"
import type { Backend } from "../../src/tensor/backend.ts"
import { assertSameBits, execute } from "./kernelLaw.ts"
import { laws } from "./laws.ts"

/** Results of every kernel are the same bits for each of these numbers of threads. */
export const sameForAnyThreads = (
  name: string,
  make: (threads: number) => Backend | Promise<Backend>,
  counts: ReadonlyArray<number> = [1, 2, 3]
): void => {
  describe(`${name}, ${counts.join(", ")} threads give the same bits`, () => {
    const backends: Array<Backend> = []
    beforeAll(async () => {
      for (const count of counts) backends.push(await make(count))
    })
    afterAll(() => {
      for (const backend of backends) backend.dispose()
    })
    for (const law of laws) {
      it(law.name, () =>
        law.forCases((example, padding) => {
          const [first, ...others] = backends.map((backend) => execute(backend, example, NaN, padding))
          others.forEach((other, i) => {
            for (const [result, bits] of first!) {
              assertSameBits(result, bits, other.get(result)!, `between ${counts[0]} and ${counts[i + 1]} threads`)
            }
          })
        }, 15))
    }
  })
}
