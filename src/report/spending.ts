/** Planned against spent, stage by stage. */
import { size } from "../../dsl/Size.ts"
import { amountOf, deviceMoney, moneyOf, type Price, type Spent, together } from "../store/spent.ts"
import { markdown } from "./table.ts"

/** The plan of a stage; `seconds` is null without rates. */
export interface Expected {
  readonly generated: number
  readonly trained: number
  readonly flops: number
  readonly memory: number
  /** Bytes of models in the store. */
  readonly disk: { readonly made: number }
  readonly seconds: number | null
}

export interface SpendingRow {
  readonly stage: string
  /** Made by an earlier run: free now, and still part of the spending on this pipeline. */
  readonly earlier: boolean
  readonly expected: Expected | null
  /** Null without a count or a result. */
  readonly spent: Spent | null
  /** Prompts that a stage above used too. */
  readonly reused: number
}

/** Rows in the order of execution, with the number of prompts that were used before. */
export const rowsOf = (stages: ReadonlyArray<Omit<SpendingRow, "reused">>): ReadonlyArray<SpendingRow> => {
  const used = new Set<number>()
  return stages.map((row) => {
    const prompts = [...row.spent?.prompts ?? []]
    const reused = prompts.filter((prompt) => used.has(prompt)).length
    for (const prompt of prompts) used.add(prompt)
    return { ...row, reused }
  })
}

const none = "–"
const count = (n: number): string => Math.round(n).toLocaleString("en-US")
const flops = (n: number): string => n === 0 ? "0" : n.toExponential(2)
const seconds = (n: number): string => n < 60 ? `${n.toFixed(1)} s` : `${(n / 60).toFixed(1)} min`
const money = (micros: number, { currency }: Pick<Price, "currency">): string =>
  `${(micros / 1e6).toFixed(micros < 1e5 ? 6 : 2)} ${currency}`

/** Planned / spent. */
const both = (planned: number | null | undefined, spent: number | null | undefined, shown: (n: number) => string) =>
  `${planned === null || planned === undefined ? none : shown(planned)} / ${
    spent === null || spent === undefined ? none : shown(spent)
  }`

const cells = (
  expected: Expected | null,
  spent: ReadonlyArray<Spent> | null,
  price: Price | null
): ReadonlyArray<string> => {
  const of = (resource: Parameters<typeof amountOf>[0]) => spent === null ? null : amountOf(resource, spent, price)
  const planned = expected?.seconds ?? null
  return [
    both(expected?.generated, of("generated"), count),
    both(expected?.trained, of("trained"), count),
    both(expected?.flops, of("flops"), flops),
    both(expected?.memory, of("memory"), size),
    both(planned, of("seconds"), seconds),
    ...(price === null ? [] : [
      both(
        planned === null ? null : deviceMoney(1000 * planned, price),
        spent === null ? null : spent.reduce((sum, one) => sum + moneyOf(one, price), 0),
        (micros) => money(micros, price)
      )
    ])
  ]
}

const total = (rows: ReadonlyArray<SpendingRow>): Expected | null => {
  const all = rows.flatMap(({ expected }) => expected ?? [])
  if (all.length < rows.length) return null
  const sum = (of: (one: Expected) => number): number => all.reduce((total, one) => total + of(one), 0)
  return {
    generated: sum(({ generated }) => generated),
    trained: sum(({ trained }) => trained),
    flops: sum(({ flops }) => flops),
    memory: Math.max(0, ...all.map(({ memory }) => memory)),
    disk: { made: sum(({ disk }) => disk.made) },
    seconds: all.some(({ seconds }) => seconds === null) ? null : sum(({ seconds }) => seconds!)
  }
}

/** `process`: the most bytes of this process, planned of the whole run. `problem` says in one line why there is no plan. */
export const spending = (
  rows: ReadonlyArray<SpendingRow>,
  price: Price | null,
  problem: string | null,
  process: { readonly expected: number; readonly spent: number },
  /** Of the fees of judges. */
  currency: string
): string => {
  const spent = rows.flatMap(({ spent }) => spent ?? [])
  const all = together(spent)
  return [
    "Planned / spent:",
    "",
    markdown([
      [
        "stage",
        "tokens generated",
        "tokens trained",
        "FLOPs",
        "peak memory",
        "time",
        ...(price === null ? [] : ["money"]),
        "prompts (used before)",
        "on disk"
      ],
      ...rows.map(({ earlier, expected, reused, spent, stage }) => [
        `${stage}${earlier ? " (made before)" : ""}`,
        ...cells(expected, spent === null ? null : [spent], price),
        spent === null ? none : `${count(spent.prompts.size)} (${count(reused)})`,
        both(expected?.disk.made, spent?.disk, size)
      ]),
      [
        "total",
        ...cells(total(rows), spent, price),
        count(amountOf("prompts", spent, price)),
        both(total(rows)?.disk.made, amountOf("disk", spent, price), size)
      ]
    ]),
    "",
    ...(all.given === 0 ? [] : [
      `Environments wrote ${count(all.given)} tokens, which a cap on tokens counts too.`
    ]),
    ...(all.asked === 0 ? [] : [
      `Endpoints that judged read and wrote ${count(all.asked)} tokens, for ${money(all.fees, { currency })}.`
    ]),
    "A plan counts `maxNewTokens` for every completion, and only models on disk. Peak memory is what the backend holds.",
    `This process held ${size(process.spent)} at its peak, planned ${
      size(process.expected)
    }: with the backend's memory the runtime, models and rows that were made before, and copies of what is saved.`,
    ...(problem === null ? [] : [`Not planned: ${problem}`])
  ].join("\n")
}
