import { type Random, stream } from "../../sampling/random.ts"
import type { Ints, Tensor } from "../../tensor/backend.ts"
import type { Policy, Sampled, Sampling } from "../engine.ts"
import { type Activations, activations } from "./activations.ts"
import { type Cache, cache, copySlot } from "./cache.ts"
import { chooseToken } from "./chooseToken.ts"
import { forward } from "./forward.ts"
import { attentionShape } from "./groupedAttention.ts"
import type { OpenedModel } from "./openModel.ts"
import { fewRows, packedParameters } from "./packed.ts"
import { checkRow, lengthsOf, pack } from "./packing.ts"
import type { Pass } from "./sublayer.ts"

/** A sequence that is being sampled. */
interface Going {
  readonly index: number
  readonly slot: number
  readonly prompt: Int32Array
  readonly tokens: Int32Array
  readonly logps: Float64Array
  readonly random: Random
  count: number
}

const none = new Int32Array(0)

/** Indices of equal prompts, in the order in which each is first seen. */
const groupsOf = (
  prompts: ReadonlyArray<Int32Array>,
  indices: ReadonlyArray<number>
): ReadonlyArray<ReadonlyArray<number>> => {
  const groups = new Map<string, Array<number>>()
  // A group is mostly one array: it is written as a text once.
  let [last, key]: [Int32Array, string] = [none, ""]
  for (const index of indices) {
    const prompt = prompts[index]!
    if (prompt !== last) [last, key] = [prompt, prompt.join()]
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [index])
    else group.push(index)
  }
  return [...groups.values()]
}

/**
 * KV-cached sampling: packed prefill of prompts into cache slots, then one token for every active slot at a time. Equal prompts
 * (the samples of a group) are computed once: their keys and values are copied into each slot, their logits read for each.
 */
export const sampler = (
  { backend, config, limits, rotary, slots: mostSlots, space, trainable }: Omit<OpenedModel, "passes" | "model">
): { readonly sample: Policy["sample"]; readonly logits: (ids: Int32Array) => Float64Array } => {
  const { dim, vocab } = config
  const plain = { parameters: trainable.parameters, multiply: backend.linear }
  const packed = packedParameters({ backend, config, space, trainable })
  type Weights = Pick<Pass, "parameters" | "multiply">
  const weightsFor = (rows: number): Weights =>
    rows <= fewRows ? { parameters: packed(), multiply: backend.linearPacked } : plain

  /** [rows, vocab] */
  const logitsOf = ({ multiply, parameters }: Weights, hidden: Tensor, rows: number, name = "logits"): Tensor => {
    const logits = space.reals(name, rows * vocab)
    multiply(logits, hidden, parameters.head, null, rows, dim, vocab)
    if (config.logitCap > 0) backend.softcap(logits, config.logitCap)
    return logits
  }

  const shapes = Array.from({ length: config.layers }, (_, l) => attentionShape(config, l))

  /** The rows of the rotation's tables, which are the positions in most models. */
  const turnsOf = (where: Int32Array, positions: Ints, lengthOf: (row: number) => number): Ints => {
    const rows = rotary.rowsOf(where, lengthOf)
    return rows === where ? positions : space.ints("turns", rows)
  }

  const run = (
    weights: Weights,
    positions: Ints,
    turn: Pass["rotary"],
    at: Activations,
    ids: Int32Array,
    attend: Pass["attend"]
  ): void => {
    const { adapters } = trainable
    forward({ backend, config, ...weights, adapters, positions, rotary: turn, attend }, at, space.ints("ids", ids))
  }

  /** Runs whole prompts, prompt i into slot `slots[i]`; `each` gets the last hidden states of prompts first … first + count. */
  const prefill = (
    prompts: ReadonlyArray<Int32Array>,
    into: { readonly cache: Cache; readonly slots: ReadonlyArray<number> } | null,
    each: (hidden: Tensor, first: number, count: number) => void
  ): void => {
    for (const batch of pack(prompts.map((prompt) => ({ prompt, completion: none })), "values", limits)) {
      const rows = batch.ids.length
      const starts = space.ints("starts", batch.starts)
      const positions = space.ints("positions", batch.positions)
      const slotOf = new Int32Array(into === null ? 0 : rows)
      if (into !== null) {
        batch.outputs.forEach((_, b) =>
          slotOf.fill(into.slots[batch.first + b]!, batch.starts[b]!, batch.starts[b + 1]!)
        )
      }
      const slots = space.ints("slots", slotOf)
      const at = activations(space, config, rows, "nothing")
      const weights = into === null ? plain : weightsFor(rows)
      const turn = rotary.upTo(into === null ? rows : into.cache.capacity)
      const turns = turnsOf(batch.positions, positions, lengthsOf(batch))
      run(weights, turns, turn, at, batch.ids, ({ attended, lse, qkv }, l) => {
        backend.attention(attended, lse, qkv, starts, shapes[l]!)
        if (into === null) return
        const { capacity, keys, values } = into.cache
        backend.cacheWrite(keys[l]!, values[l]!, qkv, slots, positions, { ...shapes[l]!, capacity })
      })
      const count = batch.outputs.length
      const last = space.reals("hidden", count * dim)
      backend.gatherRows(last, at.final, space.ints("outputs", batch.outputs), dim)
      each(last, batch.first, count)
    }
  }

  /** Logits after one more token of each active slot. */
  const decoder = (held: Cache) => {
    const turn = rotary.upTo(held.capacity)
    const cached = shapes.map((shape) => ({ ...shape, capacity: held.capacity }))
    let at: Activations | null = null
    return {
      /** The buffers may have moved: another pass had more rows. */
      forget: () => {
        at = null
      },
      next: (tokens: Int32Array, where: Int32Array, which: Int32Array): Tensor => {
        const rows = tokens.length
        if (at?.rows !== rows) at = activations(space, config, rows, "nothing")
        const positions = space.ints("positions", where)
        const slots = space.ints("slots", which)
        const weights = weightsFor(rows)
        run(weights, turnsOf(where, positions, (row) => where[row]! + 1), turn, at, tokens, ({ attended, qkv }, l) => {
          const keys = held.keys[l]!
          const values = held.values[l]!
          backend.cacheWrite(keys, values, qkv, slots, positions, cached[l]!)
          backend.attentionDecode(attended, qkv, keys, values, slots, positions, cached[l]!)
        })
        return logitsOf(weights, at.final, rows)
      }
    }
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
    const asked: Array<number> = []
    let capacity = 1
    prompts.forEach((prompt, i) => {
      const budget = budgetOf(i)
      if (budget > 0) asked.push(i)
      else done[i] = { completion: none, logps: new Float64Array(0), finished: false }
      capacity = Math.max(capacity, prompt.length + budget)
    })
    if (asked.length === 0) return done
    // Groups stay together, so that at any time at most one of them has entered in part.
    const groups = groupsOf(prompts, asked)
    const waiting = groups.flatMap((group, g) => group.map((index) => ({ index, group: g })))
    const slotCount = Math.min(mostSlots, waiting.length)
    // Its prompt stands in a slot of its own, beside the logits after it, for later rows of the group.
    const spare = slotCount
    const split = waiting.length > slotCount && groups.length < waiting.length
    const held = cache({ config, space }, split ? slotCount + 1 : slotCount, capacity)
    const spareLogits = space.reals("spareLogits", split ? vocab : 0)
    let inSpare = -1
    for (const name of ["ids", "positions", "slots", "outputs", "starts", "shared"]) {
      space.reserveInts(name, slotCount + 1)
    }
    const free = Array.from({ length: slotCount }, (_, i) => slotCount - 1 - i)
    const choose = chooseToken({ backend, space, vocab }, sampling)
    const decode = decoder(held)
    let active: Array<Going> = []
    let next = 0

    /** Adds the tokens chosen from the logits; returns the unfinished rows. */
    const extend = (rows: ReadonlyArray<Going>, logits: Tensor): ReadonlyArray<Going> => {
      const chosen = choose(logits, rows)
      rows.forEach((row, n) => {
        const token = chosen.tokens[n]!
        row.tokens[row.count] = token
        row.logps[row.count] = chosen.logps[n]!
        row.count++
        const finished = sampling.stop.includes(token) || sampling.ends?.(row.tokens.subarray(0, row.count)) === true
        if (!finished && row.count < row.tokens.length) return
        const { count, logps, tokens } = row
        done[row.index] = { completion: tokens.slice(0, count), logps: logps.slice(0, count), finished }
        free.push(row.slot)
      })
      return rows.filter(({ index }) => done[index] === undefined)
    }

    /** Extends rows that share logits: `source[n]` is the row of `logits` that row n reads. */
    const begin = (rows: ReadonlyArray<Going>, logits: Tensor, source: Int32Array): void => {
      const own = logits.length / vocab === rows.length
      const each = own ? logits : space.reals("logits", rows.length * vocab)
      if (!own) backend.gatherRows(each, logits, space.ints("shared", source), vocab)
      active.push(...extend(rows, each))
    }

    const enter = (): void => {
      const entering = waiting.slice(next, next + free.length).map(({ group, index }) => ({
        group,
        row: {
          index,
          slot: free.pop()!,
          prompt: prompts[index]!,
          tokens: new Int32Array(budgetOf(index)),
          logps: new Float64Array(budgetOf(index)),
          random: stream(seeds[index]!),
          count: 0
        } satisfies Going
      }))
      next += entering.length
      const goOn = waiting[next]?.group
      const late = entering.filter(({ group }) => group === inSpare).map(({ row }) => row)
      if (late.length > 0) {
        copySlot(backend, held, late[0]!.prompt.length, spare, late.map(({ slot }) => slot))
        begin(late, spareLogits, new Int32Array(late.length))
      }
      const fresh: Array<{ readonly group: number; readonly rows: Array<Going> }> = []
      for (const { group, row } of entering) {
        if (group === inSpare) continue
        if (fresh.at(-1)?.group === group) fresh.at(-1)!.rows.push(row)
        else fresh.push({ group, rows: [row] })
      }
      const into = { cache: held, slots: fresh.map(({ rows }) => rows[0]!.slot) }
      prefill(fresh.map(({ rows }) => rows[0]!.prompt), into, (hidden, first, count) => {
        const these = fresh.slice(first, first + count)
        const rows = these.flatMap(({ rows }) => rows)
        const name = rows.length > count ? "sharedLogits" : "logits"
        const logits = logitsOf(weightsFor(count), hidden, count, name)
        these.forEach(({ group, rows: [one, ...others] }, b) => {
          const slots = others.map(({ slot }) => slot)
          if (group === goOn) {
            slots.push(spare)
            inSpare = group
            backend.copy(spareLogits, backend.slice(logits, b * vocab, vocab))
          }
          copySlot(backend, held, one!.prompt.length, one!.slot, slots)
        })
        begin(rows, logits, Int32Array.from(these.flatMap(({ rows }, b) => rows.map(() => b))))
      })
      decode.forget()
    }

    const ids = new Int32Array(slotCount)
    const positions = new Int32Array(slotCount)
    const slots = new Int32Array(slotCount)
    for (;;) {
      // Prompts enter a few at a time: a prefill of one row costs almost as much as a prefill of many.
      if (next < waiting.length && (active.length === 0 || 4 * free.length >= slotCount)) {
        enter()
        continue
      }
      const rows = active.length
      if (rows === 0) return done
      // Sequences that begin to turn differently (LongRoPE): what the cache holds of them is computed again.
      const grown = active.filter(({ count, prompt }) => prompt.length + count === rotary.original + 1)
      if (grown.length > 0) {
        const whole = grown.map(({ count, prompt, tokens }) => Int32Array.of(...prompt, ...tokens.subarray(0, count)))
        prefill(whole, { cache: held, slots: grown.map(({ slot }) => slot) }, () => {})
        decode.forget()
      }
      for (let j = 0; j < rows; j++) {
        const row = active[j]!
        ids[j] = row.tokens[row.count - 1]!
        positions[j] = row.prompt.length + row.count - 1
        slots[j] = row.slot
      }
      const logits = decode.next(ids.subarray(0, rows), positions.subarray(0, rows), slots.subarray(0, rows))
      const goOn = extend(active, logits)
      if (goOn.length < rows) active = [...goOn]
    }
  }

  return {
    sample,
    logits: (ids) => {
      let row = new Float64Array(0)
      prefill([ids], null, (hidden) => {
        row = Float64Array.from(backend.read(logitsOf(plain, hidden, 1)))
      })
      return row
    }
  }
}
