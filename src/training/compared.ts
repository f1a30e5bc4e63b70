import { bootstrap, mcNemar, resamplesOf } from "../evaluation/paired.ts"
import { meanOf } from "../evaluation/scores.ts"
import type { ObservedRow } from "../ledger/observe.ts"
import type { Paired } from "../store/report.ts"
import type { TextRows } from "./likelihoods.ts"

interface Seen {
  readonly rows: ReadonlyArray<ReadonlyArray<ObservedRow>>
  readonly text: TextRows
}

/** The last model against each earlier model, on the same prompts and texts. */
export const compared = (
  names: ReadonlyArray<string>,
  all: ReadonlyArray<Seen>,
  verifiers: ReadonlyArray<string>,
  stream: string
): ReadonlyArray<Paired> => {
  const last = all.at(-1)
  if (last === undefined) return []
  const to = names.at(-1)!
  return all.slice(0, -1).flatMap((earlier, i) => {
    const from = names[i]!
    const paired = (of: string, before: ReadonlyArray<number>, after: ReadonlyArray<number>): Paired => {
      const differences = after.map((x, j) => x - before[j]!)
      const interval = bootstrap(differences, `${stream}/bootstrap/${from}/${of}`)
      const alone = [earlier, last].every(({ rows }) => rows.every(({ length }) => length === 1))
      const truths = alone && [before, after].every((of) => of.every((x) => x === 0 || x === 1))
      return {
        from,
        to,
        of,
        value: meanOf(differences),
        low: interval?.low ?? null,
        high: interval?.high ?? null,
        n: differences.length,
        resamples: resamplesOf(differences.length),
        mcNemar: truths ? mcNemar(before, after) : null
      }
    }
    const rates = (seen: Seen, verifier: string) =>
      seen.rows.map((group) => meanOf(group.map(({ verdicts }) => verdicts![verifier]!)))
    // Of the same bytes, so that the ratio of two sums is a mean over documents.
    const bytes = meanOf(last.text.map(({ bytes }) => bytes))
    const perByte = (seen: Seen) => seen.text.map(({ nats }) => nats / bytes)
    return [
      ...verifiers.map((verifier) => paired(verifier, rates(earlier, verifier), rates(last, verifier))),
      ...(last.text.length === 0 ? [] : [paired("nats per byte", perByte(earlier), perByte(last))])
    ]
  })
}
