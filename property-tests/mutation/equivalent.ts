/** Mutants that compute the same as the original for every input, by name (`nameOf`), each with the reason. */
export const equivalent: ReadonlyMap<string, string> = new Map<string, string>([])
