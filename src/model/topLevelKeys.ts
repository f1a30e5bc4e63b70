/** The keys of a JSON object as they are written, repeated ones too. The text must be valid JSON. */
export const topLevelKeys = (json: string): ReadonlyArray<string> => {
  const keys: Array<string> = []
  let depth = 0
  // A string is a key when the next thing that is not space after it is a colon.
  let last: string | null = null
  for (let i = 0; i < json.length; i++) {
    const character = json[i]!
    if (character === '"') {
      const from = i
      for (i++; json[i] !== '"' && i < json.length; i++) if (json[i] === "\\") i++
      if (depth === 1) last = json.slice(from, i + 1)
    } else if (character === "{" || character === "[") depth++
    else if (character === "}" || character === "]") depth--
    else if (character === ":" && depth === 1 && last !== null) {
      keys.push(JSON.parse(last) as string)
      last = null
    }
  }
  return keys
}
