import type { TensorData, Tensors } from "./weights.ts"
import { BadCheckpoint } from "./BadCheckpoint.ts"
import type { ModelConfig } from "./config.ts"
import { parameters } from "./parameters.ts"

/** Rotary frequencies and causal masks that old checkpoints stored: they follow from the configuration. */
const derived = /\.rotary_emb\.inv_freq$|^(transformer\.)?h\.\d+\.attn\.(masked_)?bias$|\.attention\.(masked_)?bias$/u

/**
 * The tensors that the configuration asks for, in the order of `parameters`. A tied matrix may be stored under either of its
 * two names, or under both when they are equal. Tensors that the architecture carries come last. Throws `BadCheckpoint` with everything missing, unexpected and misshapen.
 */
export const matchTensors = (config: ModelConfig, tensors: Tensors, path: string): Tensors => {
  const problems: Array<string> = []
  const [embedding, output] = [`${config.names.embed}.weight`, `${config.names.head}.weight`]
  // Files of a model without its head (the first GPT-2) leave the first part of every name out.
  const base = `${config.names.embed.split(".")[0]}.`
  const bare = !tensors.has(embedding) && tensors.has(embedding.slice(base.length))
  const given = new Map(
    [...tensors].filter(([name]) => !derived.test(name)).map(([name, tensor]) => [bare ? base + name : name, tensor])
  )
  const head = given.get(output)
  if (config.head === "lm" && config.tied && head !== undefined) {
    const embed = given.get(embedding)
    if (embed === undefined) given.set(embedding, head)
    else if (!equal(embed, head)) {
      problems.push(
        `${output} and ${embedding} differ, but config.json says that they are one matrix (tie_word_embeddings)`
      )
    }
    given.delete(output)
  }
  const wanted = parameters(config, config.head)
  const names = new Set(wanted.map(({ name }) => name))
  const missing = wanted.filter(({ name }) => !given.has(name)).map(({ name }) => name)
  const others = [...given.keys()].filter((name) => !names.has(name))
  const carried = others.filter((name) => config.carried?.test(name) === true)
  const unexpected = others.filter((name) => !carried.includes(name))
  const misshapen = wanted.flatMap(({ name, shape }) => {
    const found = given.get(name)?.shape
    return found === undefined || same(found, shape) ? [] : [`${name} is [${found}] instead of [${shape}]`]
  })
  if (missing.length > 0) problems.push(`missing: ${listed(missing)}`)
  if (unexpected.length > 0) problems.push(`unexpected: ${listed(unexpected)}`)
  if (misshapen.length > 0) problems.push(`wrong shape: ${listed(misshapen)}`)
  if (problems.length > 0) {
    const remedy = "Use the weights and the config.json of the same model."
    throw new BadCheckpoint({ path, problem: problems.join("; "), remedy })
  }
  return new Map([...wanted.map(({ name }) => name), ...carried].map((name) => [name, given.get(name)!]))
}

const listed = (names: ReadonlyArray<string>): string =>
  names.length <= 20 ? names.join(", ") : `${names.slice(0, 20).join(", ")} and ${names.length - 20} more`

const same = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): boolean =>
  a.length === b.length && a.every((size, i) => size === b[i])

const equal = (a: TensorData, b: TensorData): boolean =>
  same(a.shape, b.shape) && a.data.every((value, i) => Object.is(value, b.data[i]))
