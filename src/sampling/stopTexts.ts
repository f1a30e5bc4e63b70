/** Texts that end a completion and are no part of it. */

/** Where the first of the texts begins; the length of the completion if there is none. */
const startOf = (texts: ReadonlyArray<string>, completion: string): number =>
  texts.reduce((least, text) => {
    const at = completion.indexOf(text)
    return at < 0 ? least : Math.min(least, at)
  }, completion.length)

/** The completion up to the first of the texts. */
export const beforeStop = (texts: ReadonlyArray<string>, completion: string): string =>
  completion.slice(0, startOf(texts, completion))

/**
 * Whether tokens end with one of the texts, for `Sampling.ends`. The texts of the last tokens, each decoded once and kept, are put
 * together; where they hold one of the texts, the tokens are decoded to make sure. A stop text of which a character has several tokens may
 * be missed: then the completion goes on, and `beforeStop` finds the text.
 */
export const stopsAt = (
  texts: ReadonlyArray<string>,
  decode: (ids: Int32Array) => string
): (tokens: Int32Array) => boolean => {
  const pieces = new Map<number, string>()
  // After a token, since decoders drop a space in front of the first.
  const pieceOf = (id: number): string => {
    const known = pieces.get(id)
    if (known !== undefined) return known
    const piece = decode(Int32Array.of(id, id)).slice(decode(Int32Array.of(id)).length)
    pieces.set(id, piece)
    return piece
  }
  const has = (text: string): boolean => startOf(texts, text) < text.length
  const longest = Math.max(...texts.map(({ length }) => length))
  return (tokens) => {
    let end = ""
    for (let i = tokens.length - 1; i >= 0 && end.length < longest + pieceOf(tokens.at(-1)!).length; i--) {
      end = pieceOf(tokens[i]!) + end
    }
    return has(end) && has(decode(tokens))
  }
}
