import { type Random, stream } from "../../sampling/random.ts"
import type { Host, Tensor } from "../../tensor/backend.ts"
import type { Policy, Sampled, Sampling } from "../engine.ts"
import { activations } from "./activations.ts"
import { type Cache, cache } from "./cache.ts"
import { chooser } from "./choose.ts"
import { attentionShape, forward } from "./forward.ts"
import type { Opened } from "./opened.ts"
import { checkRow, pack } from "./packing.ts"

/** Sequences continued at the same time; further prompts wait until enough of them have ended. */
const mostSlots = 64

/** A sequence being continued. */
interface Going {
  readonly index: number
  readonly slot: number
  /** Tokens of the prompt. */
  readonly prompt: number
  readonly tokens: Int32Array
  readonly logps: Float64Array
  readonly random: Random
  count: number
}

const none = new Int32Array(0)

/** KV-cached sampling: packed prefill of prompts into cache slots, then one token for every active slot at a time. */
export const sampler = (
  { backend, config, limits, rotary, space, trainable }: Omit<Opened, "passes" | "model">
): { readonly sample: Policy["sample"]; readonly logits: (ids: Int32Array) => Float64Array } => {
  const parameters = trainable.parameters

  const readLogits = (hidden: Tensor, rows: number): Host => {
    const logits = space.reals("logits", rows * config.vocab)
    backend.linear(logits, hidden, parameters.head, null, rows, config.dim, config.vocab)
    return backend.read(logits)
  }

  /** Runs whole prompts, prompt i into slot `slots[i]`, and gives the logits after each to `each`. */
  const prefill = (
    prompts: ReadonlyArray<Int32Array>,
    into: { readonly cache: Cache; readonly slots: ReadonlyArray<number> } | null,
    each: (i: number, logits: Host, at: number) => void
  ): void => {
    for (const packed of pack(prompts.map((prompt) => ({ prompt, completion: none })), "values", limits)) {
      const rows = packed.ids.length
      const ids = space.ints("ids", packed.ids)
      const positions = space.ints("positions", packed.positions)
      const starts = space.ints("starts", packed.starts)
      const slotOf = new Int32Array(into === null ? 0 : rows)
      if (into !== null) {
        packed.outputs.forEach((_, b) =>
          slotOf.fill(into.slots[packed.first + b]!, packed.starts[b]!, packed.starts[b + 1]!)
        )
      }
      const slots = space.ints("slots", slotOf)
      const at = activations(space, config, rows, false)
      const shape = attentionShape(config)
      forward(backend, config, parameters, at, ids, positions, rotary.upTo(rows), ({ attended, lse, qkv }, l) => {
        backend.attention(attended, lse, qkv, starts, shape)
        if (into === null) return
        const { keys, shape: cached, values } = into.cache
        backend.cacheWrite(keys[l]!, values[l]!, qkv, slots, positions, cached)
      })
      const count = packed.outputs.length
      const last = space.reals("hidden", count * config.dim)
      backend.gatherRows(last, at.final, space.ints("outputs", packed.outputs), config.dim)
      const logits = readLogits(last, count)
      for (let b = 0; b < count; b++) each(packed.first + b, logits, b * config.vocab)
    }
  }

  /** Logits after one more token of each active slot. */
  const decode = (held: Cache, ids: Int32Array, positions: Int32Array, slots: Int32Array): Host => {
    const rows = ids.length
    const at = activations(space, config, rows, false)
    const where = space.ints("positions", positions)
    const which = space.ints("slots", slots)
    const turn = rotary.upTo(held.shape.capacity)
    forward(backend, config, parameters, at, space.ints("ids", ids), where, turn, ({ attended, qkv }, l) => {
      const keys = held.keys[l]!
      const values = held.values[l]!
      backend.cacheWrite(keys, values, qkv, which, where, held.shape)
      backend.attentionDecode(attended, qkv, keys, values, which, where, held.shape)
    })
    return readLogits(at.final, rows)
  }

  const sample = (
    prompts: ReadonlyArray<Int32Array>,
    sampling: Sampling,
    seeds: ReadonlyArray<string>
  ): ReadonlyArray<Sampled> => {
    if (seeds.length !== prompts.length) {
      throw new Error(`sample got ${seeds.length} seeds for ${prompts.length} prompts: each sample has its own.`)
    }
    prompts.forEach((prompt, i) => checkRow({ prompt, completion: none }, i, limits))
    const done = new Array<Sampled>(prompts.length)
    const budgetOf = (i: number): number => Math.min(sampling.maxNewTokens, config.context - prompts[i]!.length)
    const waiting: Array<number> = []
    let capacity = 1
    prompts.forEach((prompt, i) => {
      const budget = budgetOf(i)
      if (budget > 0) waiting.push(i)
      else done[i] = { completion: none, logps: new Float64Array(0), finished: false }
      capacity = Math.max(capacity, prompt.length + budget)
    })
    if (waiting.length === 0) return done
    const slotCount = Math.min(mostSlots, waiting.length)
    const held = cache({ config, space }, slotCount, capacity)
    const free = Array.from({ length: slotCount }, (_, i) => slotCount - 1 - i)
    const choose = chooser(config.vocab, sampling)
    let active: Array<Going> = []
    let next = 0

    /** Adds the token chosen from the logits; whether the sequence goes on. */
    const extend = (row: Going, logits: Host, at: number): boolean => {
      const { logp, token } = choose(logits, at, row.random)
      row.tokens[row.count] = token
      row.logps[row.count++] = logp
      const finished = sampling.stop.includes(token)
      if (!finished && row.count < row.tokens.length) return true
      const { count, logps, tokens } = row
      done[row.index] = { completion: tokens.slice(0, count), logps: logps.slice(0, count), finished }
      free.push(row.slot)
      return false
    }

    const enter = (): void => {
      const rows = waiting.slice(next, next + free.length).map((index): Going => {
        const budget = budgetOf(index)
        return {
          index,
          slot: free.pop()!,
          prompt: prompts[index]!.length,
          tokens: new Int32Array(budget),
          logps: new Float64Array(budget),
          random: stream(seeds[index]!),
          count: 0
        }
      })
      next += rows.length
      const into = { cache: held, slots: rows.map((row) => row.slot) }
      prefill(rows.map((row) => prompts[row.index]!), into, (i, logits, at) => {
        if (extend(rows[i]!, logits, at)) active.push(rows[i]!)
      })
    }

    const ids = new Int32Array(slotCount)
    const positions = new Int32Array(slotCount)
    const slots = new Int32Array(slotCount)
    for (;;) {
      // Prompts enter a few at a time: a prefill of one row costs almost what one of many does.
      if (next < waiting.length && (active.length === 0 || 4 * free.length >= slotCount)) {
        enter()
        continue
      }
      const rows = active.length
      if (rows === 0) return done
      for (let j = 0; j < rows; j++) {
        const row = active[j]!
        ids[j] = row.tokens[row.count - 1]!
        positions[j] = row.prompt + row.count - 1
        slots[j] = row.slot
      }
      const logits = decode(held, ids.subarray(0, rows), positions.subarray(0, rows), slots.subarray(0, rows))
      let ended = false
      for (let j = 0; j < rows; j++) if (!extend(active[j]!, logits, j * config.vocab)) ended = true
      if (ended) active = active.filter((row) => done[row.index] === undefined)
    }
  }

  return {
    sample,
    logits: (ids) => {
      let row = new Float64Array(0)
      prefill([ids], null, (_, logits, at) => {
        row = Float64Array.from(logits.subarray(at, at + config.vocab))
      })
      return row
    }
  }
}
