/** The game of `GuessNumber` (`dsl/Environment.ts`). A guess that is no number ends it: there is nothing to say to it. */
export const guess = (
  hidden: string | undefined,
  text: string
): { readonly reply?: string; readonly reward?: number } => {
  const said = text.match(/-?\d{1,15}/gu)?.at(-1)
  if (said === undefined || hidden === undefined) return {}
  const [number, goal] = [Number(said), Number(hidden)]
  if (number === goal) return { reward: 1 }
  return { reply: number < goal ? "higher" : "lower" }
}
