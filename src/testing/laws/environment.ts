/** Laws of environments from any source. */
import fc from "fast-check"
import assert from "node:assert/strict"
import { callsIn } from "../../data/toolCalls.ts"
import { type EnvironmentImplementation, type Episode, stepped, type Turn } from "../../rewards/environment.ts"
import type { VerifiedRow } from "../../rewards/own.ts"
import { stream } from "../../sampling/random.ts"

export interface EnvironmentOptions extends fc.Parameters<[VerifiedRow, Array<string>]> {
  /** Rows as they are in the data; by default a prompt and an answer of any text. */
  readonly rows?: fc.Arbitrary<VerifiedRow>
  /** Messages as models write them; arbitrary texts are tried besides. */
  readonly texts?: fc.Arbitrary<string>
  readonly params?: Episode["params"]
  /** Messages of an episode at most. */
  readonly maxTurns?: number
}

/**
 * An environment is pure (the same answer to the same episode) and total (a finite reward, replies that are messages, never an error),
 * whatever the policy writes. The promise ends when all its answers, which may come later, are there.
 */
export const environment = async (
  { step }: Pick<EnvironmentImplementation, "step">,
  { maxTurns = 4, params = {}, rows, texts, ...parameters }: EnvironmentOptions = {}
): Promise<void> => {
  const anything = fc.oneof(fc.string(), fc.string({ unit: "binary" }), ...(texts === undefined ? [] : [texts]))
  await fc.assert(
    fc.asyncProperty(
      rows ?? fc.record({ prompt: anything, answer: anything }),
      fc.array(anything, { minLength: 1, maxLength: maxTurns }),
      async (row, texts) => {
        const turns: Array<Turn> = []
        for (const text of texts) {
          const turn: Turn = { text, calls: callsIn(text), ended: true, replies: [] }
          const ask = async () => {
            const random = (name: string) => stream(`law/${name}`)
            const answer = await step({ row, turns: [...turns, turn] as unknown as Episode["turns"], params, random })
            const found = stepped(turn, answer)
            if (typeof found === "string") return assert.fail(`it ${found}`)
            return found
          }
          const { replies, reward } = await ask()
          assert.deepEqual(await ask(), { replies, reward }, "a second call gave another answer")
          if (replies.length === 0) return
          turns.push({ ...turn, replies })
        }
      }
    ),
    parameters
  )
}
