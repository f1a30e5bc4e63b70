/** Laws of verifiers from any source. */
import * as Effect from "effect/Effect"
import fc from "fast-check"
import assert from "node:assert/strict"
import type { VerifiedRow, VerifierImplementation } from "../../rewards/own.ts"

export interface VerifierOptions extends fc.Parameters<[VerifiedRow, string]> {
  /** Rows as they are in the data; by default a prompt and an answer of any text. */
  readonly rows?: fc.Arbitrary<VerifiedRow>
  /** Completions as models write them; arbitrary texts are tried besides. */
  readonly texts?: fc.Arbitrary<string>
  readonly params?: Parameters<VerifierImplementation["verify"]>[2]["params"]
}

/**
 * A verifier is pure (the same answer twice) and total (a finite number or a boolean, never an error) on any text. The promise ends when
 * all its answers, which may come later, are there.
 */
export const verifier = async (
  verify: VerifierImplementation["verify"],
  { params = {}, rows, texts, ...parameters }: VerifierOptions = {}
): Promise<void> => {
  const anything = fc.oneof(fc.string(), fc.string({ unit: "binary" }), ...(texts === undefined ? [] : [texts]))
  await fc.assert(
    fc.asyncProperty(rows ?? fc.record({ prompt: anything, answer: anything }), anything, async (row, completion) => {
      const ask = async () => {
        const answer = verify(row, completion, { params })
        return Effect.isEffect(answer) ? await Effect.runPromise(answer) : await answer
      }
      const verdict = await ask()
      assert.ok(typeof verdict === "boolean" || Number.isFinite(verdict), `${String(verdict)} is no verdict`)
      assert.equal(await ask(), verdict, "a second call gave another answer")
    }),
    parameters
  )
}
