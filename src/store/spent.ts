/** Resources spent on an artefact: whole numbers, so that the sum over stages does not depend on their order. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Resource } from "../../dsl/Budget.ts"

const SpentFile = Schema.Struct({
  /** Tokens of completions sampled. */
  generated: Schema.Natural,
  /** Tokens that environments wrote in answer to turns; absent without. */
  given: Schema.optionalKey(Schema.Natural),
  /** Completion tokens with a gradient. */
  trained: Schema.Natural,
  /** Tokens read by a judge: four characters of prompt and completion count as a token. */
  judged: Schema.Natural,
  /** Answers of endpoints that were paid for, their tokens as endpoints count them, and their price in millionths of a currency; absent without. */
  answers: Schema.optionalKey(Schema.Natural),
  asked: Schema.optionalKey(Schema.Natural),
  fees: Schema.optionalKey(Schema.Natural),
  /** Floating-point operations. */
  flops: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)),
  /** Peak of the bytes held by the engine. */
  memory: Schema.Natural,
  /** Bytes kept in the store. */
  disk: Schema.Natural,
  /** Wall-clock. */
  milliseconds: Schema.Natural,
  /** The different prompts used, as 53-bit hashes of their token ids. */
  prompts: Schema.Array(Schema.Natural)
})

type Numbers = Required<Omit<typeof SpentFile.Type, "prompts">>
export type Spent = Numbers & { readonly prompts: ReadonlySet<number> }

export const nothingSpent: Spent = {
  generated: 0,
  given: 0,
  trained: 0,
  judged: 0,
  answers: 0,
  asked: 0,
  fees: 0,
  flops: 0,
  memory: 0,
  disk: 0,
  milliseconds: 0,
  prompts: new Set()
}

/** Millionths of a currency unit. */
export interface Price {
  readonly currency: string
  readonly microsPerHour: number
  readonly microsPerMillionJudged: number
}

/** The price of device time, millionths of the currency, rounded up. */
export const deviceMoney = (milliseconds: number, { microsPerHour }: Price): number =>
  Math.ceil((microsPerHour * milliseconds) / 3.6e6)

/** The price of all of it, millionths of the currency, rounded up; of endpoints alone where nothing else has a price. */
export const moneyOf = ({ fees, judged, milliseconds }: Spent, price: Price | null): number =>
  fees + (price === null
    ? 0
    : deviceMoney(milliseconds, price) + Math.ceil((price.microsPerMillionJudged * judged) / 1e6))

/** How much of a resource several stages spent together. */
export const amountOf = (resource: Resource, spent: ReadonlyArray<Spent>, price: Price | null): number => {
  const sum = (of: (one: Spent) => number): number => spent.reduce((total, one) => total + of(one), 0)
  switch (resource) {
    case "tokens":
      return sum(({ asked, generated, given, trained }) => generated + given + trained + asked)
    case "seconds":
      return sum(({ milliseconds }) => milliseconds) / 1000
    case "prompts":
      return spent.length === 1 ? spent[0]!.prompts.size : new Set(spent.flatMap(({ prompts }) => [...prompts])).size
    case "memory":
      return Math.max(0, ...spent.map(({ memory }) => memory))
    case "money":
      return sum((one) => moneyOf(one, price))
    default:
      return sum((one) => one[resource])
  }
}

/** The spending of parts of one artefact, one after the other; its memory and its bytes on disk are the most of any. */
export const together = (parts: ReadonlyArray<Spent>): Spent => {
  const prompts = new Set<number>()
  const { prompts: _, ...none } = nothingSpent
  const numbers: { -readonly [K in keyof Numbers]: number } = none
  for (const part of parts) {
    for (const prompt of part.prompts) prompts.add(prompt)
    for (
      const key of [
        "generated",
        "given",
        "trained",
        "judged",
        "answers",
        "asked",
        "fees",
        "flops",
        "milliseconds"
      ] as const
    ) {
      numbers[key] += part[key]
    }
    for (const key of ["memory", "disk"] as const) numbers[key] = Math.max(numbers[key], part[key])
  }
  return { ...numbers, prompts }
}

export const toJson = ({ answers, asked, fees, given, prompts, ...numbers }: Spent): Schema.Json => ({
  ...numbers,
  ...(given === 0 ? {} : { given }),
  ...(answers === 0 && asked === 0 && fees === 0 ? {} : { answers, asked, fees }),
  prompts: [...prompts].sort((a, b) => a - b)
})

/** None for a text that no version of Keel wrote. */
export const fromJson = (json: unknown): Option.Option<Spent> =>
  Option.map(
    Schema.decodeUnknownOption(SpentFile)(json),
    ({ prompts, ...numbers }) => ({ answers: 0, asked: 0, fees: 0, given: 0, ...numbers, prompts: new Set(prompts) })
  )
