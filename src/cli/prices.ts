/** The user's price table: the price of an hour of each device, and of a judge. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Flag from "effect/cli/Flag"
import { parseJson } from "../model/json.ts"
import { MiB, textOf } from "../model/regularFile.ts"
import type { Price } from "../store/spent.ts"
import { maybe } from "./options.ts"
import { BadPipelineFile } from "./pipelineFile.ts"

const Amount = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0, { message: "must be 0 or more" }))

const PriceTable = Schema.Struct({
  currency: Schema.String.check(
    Schema.makeFilter((code) => /^[A-Z]{3}$/u.test(code) || "must be three capital letters, e.g. USD")
  ),
  /** Per hour, by the names that `--device` takes: `cpu`, `cuda` (or `cuda:0`), `h100`, … */
  devices: Schema.Record(Schema.String, Amount),
  /** Per million tokens that a judge reads. */
  judge: Schema.optionalKey(Schema.Struct({ perMillionTokens: Amount }))
})

export const prices = maybe(
  Flag.String("prices"),
  'Price table, e.g. {"currency": "USD", "devices": {"cpu": 0.1, "h100": 2.49}} per hour, with "judge": {"perMillionTokens": 3} for a paid judge. A run costs its device time and the tokens of its judges; a plan knows only the device time'
)

const micros = (amount: number): number => Math.round(1e6 * amount)

const oneLine = (text: string, between = " "): string => text.replace(/\s*\n\s*/gu, between)

/** The value of a JSON text, and its repeated keys: of two prices for a device, neither can be trusted. */
const parsed = (text: string) =>
  Effect.try({
    try: () => {
      const twice: Array<string> = []
      return { value: parseJson(text, (key) => void twice.push(key)), twice }
    },
    catch: (error) => oneLine(String(error))
  })

/** The price of a device in the table at `path`. */
export const priceOf = Effect.fn("priceOf")(function*(path: string, device: string) {
  const fs = yield* FileSystem.FileSystem
  const bad = (problem: string, remedy: string) => new BadPipelineFile({ path, problem, remedy })
  const example = `Write it like {"currency": "USD", "devices": {"${device}": 2.49}}, per hour.`
  if (!(yield* fs.exists(path))) return yield* bad("there is no such price table", example)
  const text = yield* Effect.mapError(
    textOf(path, MiB),
    (error) => bad(`it cannot be read (${oneLine(error.message)})`, "Give the file of a price table.")
  )
  const { twice, value } = yield* Effect.mapError(parsed(text), (error) => bad(`not JSON (${error})`, example))
  if (twice.length > 0) return yield* bad(`it has ${twice.join(", ")} twice`, "Keep a single entry of each.")
  const table = yield* Schema.decodeUnknownEffect(PriceTable, { errors: "all", onExcessProperty: "error" })(value).pipe(
    Effect.mapError((error) =>
      bad(`not a price table: ${oneLine(error.message.replace(/\n\s+at /gu, " at "), "; ")}`, example)
    )
  )
  const perHour = table.devices[device] ?? table.devices[device.replace(/:.*$/u, "")]
  if (perHour === undefined) {
    const known = Object.keys(table.devices).join(", ") || "none"
    return yield* bad(`it has no price for ${device} (it has ${known})`, `Add "${device}" to its devices.`)
  }
  return {
    currency: table.currency,
    microsPerHour: micros(perHour),
    microsPerMillionJudged: micros(table.judge?.perMillionTokens ?? 0)
  } satisfies Price as Price
})

/** The price of `device`, where a table was given. */
export const priceIn = (path: Option.Option<string>, device: string) =>
  Option.match(path, {
    onNone: () => Effect.succeed(null),
    onSome: (path) => priceOf(path, device)
  })
