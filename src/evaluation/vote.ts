/** Votes of the completions of a prompt (self-consistency, Wang et al. 2023, arXiv 2203.11171): each votes for its answer. */

/** For each answer the place of the first that is the same; null for a completion without an answer, which does not vote. */
export const votesOf = <A>(
  answers: ReadonlyArray<A | undefined>,
  same: (a: A, b: A) => boolean
): ReadonlyArray<number | null> => {
  const firsts: Array<number> = []
  return answers.map((answer, i) => {
    if (answer === undefined) return null
    const found = firsts.find((first) => same(answers[first]!, answer))
    if (found === undefined) firsts.push(i)
    return found ?? i
  })
}

/**
 * maj@n: the mean verdict on the answer with the most votes. Answers with equally many votes share, as if one of them were drawn; without
 * any vote it is 0.
 */
export const majority = (votes: ReadonlyArray<number | null>, verdicts: ReadonlyArray<number>): number => {
  const groups = new Map<number, { count: number; sum: number }>()
  votes.forEach((vote, i) => {
    if (vote === null) return
    const { count, sum } = groups.get(vote) ?? { count: 0, sum: 0 }
    groups.set(vote, { count: count + 1, sum: sum + verdicts[i]! })
  })
  const most = Math.max(...[...groups.values()].map(({ count }) => count))
  const winners = [...groups.values()].filter(({ count }) => count === most)
  return winners.length === 0 ? 0 : winners.reduce((sum, one) => sum + one.sum / one.count, 0) / winners.length
}
