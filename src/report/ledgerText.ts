/** The KL ledger for people. Nats per sequence but where it says otherwise. */
import type { Interval } from "../ledger/interval.ts"
import type { VariationBound } from "../ledger/variation.ts"
import type { Entry, LedgerCap, LedgerMeasurement, Statement } from "./ledger.ts"
import { markdown } from "./table.ts"

const none = "–"
const mnatsOf = (mnats: number): string => (mnats / 1000).toFixed(3)
const natsOf = (nats: number | null | undefined): string => typeof nats === "number" ? nats.toFixed(3) : none
const shareOf = ({ millionths }: VariationBound): string => millionths >= 1e6 ? none : (millionths / 1e6).toFixed(3)
/** In brackets, after the number that it belongs to. */
export const within = (interval: Interval | null, digits = 3): string =>
  interval === null ? "" : ` [${interval.low.toFixed(digits)}, ${interval.high.toFixed(digits)}]`
const joined = (parts: ReadonlyArray<string>): string => parts.length === 0 ? none : parts.join(", ")

const capOf = ({ from, max, mnats, p95, whenSpent }: LedgerCap): string =>
  [
    mnats === undefined ? "measured, no cap" : mnatsOf(mnats),
    ...p95 === undefined ? [] : [`(p95 ${mnatsOf(p95)})`],
    ...max === undefined ? [] : [`(max ${mnatsOf(max)})`],
    `from ${from}`,
    ...whenSpent === "stop" ? [] : [`else ${whenSpent}`]
  ].join(" ")

const subjects = {
  law: "its output",
  imitates: "its target",
  optimum: "its optimum",
  moves: "the model"
} as const satisfies Record<Statement["of"], string>

const knownRow = (stage: string, statement: Statement): ReadonlyArray<string> => {
  const { known: { bound, kl, variation } } = statement
  const most = (mnats: number | null) => mnats === null ? "unknown" : mnatsOf(mnats)
  return [
    stage,
    subjects[statement.of],
    statement.from ?? none,
    most(bound.mnats),
    most(kl),
    bound.mnats === null ? none : shareOf(variation),
    statement.because
  ]
}

const measuredRow = (m: LedgerMeasurement): ReadonlyArray<string> => [
  m.stage,
  String(m.step),
  `${m.against}${m.isReference && m.against !== "reference" ? ", reference" : ""}: ${m.from}`,
  `${natsOf(m.mean)} ± ${natsOf(m.standardError)}${within(m.interval)}`,
  natsOf(m.cap),
  natsOf(m.p95),
  natsOf(m.max),
  `${m.perToken.toFixed(4)}${within(m.perTokenInterval, 4)}`,
  shareOf(m.variation),
  String(m.samples),
  String(m.prompts ?? none)
]

const declared = (ledger: ReadonlyArray<Entry>): ReadonlyArray<string> => {
  const rows = ledger.filter(({ allowance, caps }) => allowance !== null || caps.length > 0)
  return rows.length === 0 ? [] : [
    "Declared. Allowance: the share of a cap that a stage may use; cap: on the mean over held prompts, from a model that is kept.",
    "",
    markdown([
      ["stage", "starts from", "allowance", "cap"],
      ...rows.map(({ allowance, caps, stage, startsFrom }) => [
        stage,
        joined(startsFrom),
        allowance === null ? none : mnatsOf(allowance),
        joined(caps.map(capOf))
      ])
    ]),
    ""
  ]
}

const beforehand = (ledger: ReadonlyArray<Entry>): ReadonlyArray<string> => {
  const rows = ledger.flatMap(({ known, stage }) => known.map((statement) => knownRow(stage, statement)))
  return rows.length === 0 ? [] : [
    "Known without measuring, for each prompt. D∞ ≤: no completion is more than e^D∞ times as likely as from the model named. KL ≤: follows",
    "from it, or is known better. TV ≤: no share of completions changes by more. For the described law, never for a network trained on it.",
    "",
    markdown([["stage", "of", "from", "D∞ ≤", "KL ≤", "TV ≤", "because"], ...rows]),
    ""
  ]
}

/** What a filter does to its input's law, by counts. */
const estimated = (ledger: ReadonlyArray<Entry>): ReadonlyArray<string> => {
  const rows = ledger.flatMap(({ accepted, stage }) =>
    accepted === null ? [] : [[
      stage,
      `${natsOf(accepted.mean)}${within(accepted.intervals.mean)}`,
      `${natsOf(accepted.largest)}${within(accepted.intervals.largest)}`,
      String(accepted.prompts),
      String(accepted.lost)
    ]]
  )
  return rows.length === 0 ? [] : [
    "Estimated, no bound: a filter that lets a share p of a prompt's completions through moves that prompt's law by −log p (D∞ and KL), here with",
    "the shares that the run counted [95 % for all prompts at once, Clopper and Pearson]. Prompts without a row left are not in the law.",
    "",
    markdown([["stage", "≈ mean over prompts", "≈ largest", "prompts", "without a row left"], ...rows]),
    ""
  ]
}

const measurements = (ledger: ReadonlyArray<Entry>): ReadonlyArray<string> => {
  const measured = ledger.flatMap(({ measured }) => measured)
  const rows = measured.map(measuredRow)
  if (rows.length === 0) return ["No KL was measured in this run."]
  const how = [...new Set(measured.map((m) => `${m.direction}, ${m.estimator}, temperature ${m.temperature}`))]
  return [
    "Measured: KL(policy‖model), mean ± standard error [95 % interval, Student's t] over sampled completions of the held prompts. p95, max: over",
    "prompts, of the mean of each prompt's samples (noise makes max too high on average). TV ≤: by Pinsker from the interval's upper end.",
    `How: ${how.join("; ")}.${
      measured.some(({ mean }) => mean < 0) ? " A mean below 0 is noise: KL is never negative." : ""
    }`,
    "",
    markdown([
      ["stage", "step", "against", "KL", "cap", "p95", "max", "nats/token", "TV ≤", "samples", "prompts"],
      ...rows
    ]),
    "",
    ...ledger.flatMap(({ along }) =>
      along === null ? [] : [
        `From ${along.from} through ${along.stages.join(", ")}: ${
          along.variation.millionths >= 1e6
            ? "the total variations add up to 1 or more, which is no bound"
            : `TV ≤ ${shareOf(along.variation)}, the stages' own added up`
        }. Their KLs do not add up to a bound.`
      ]
    ),
    "Each measurement is against its own model. Cap, bound and measurement are three things, and none is the sum of others."
  ]
}

export const text = (ledger: ReadonlyArray<Entry>): string =>
  [
    ...ledger.length === 0 ? ["No stage of this description spends or bounds KL.", ""] : [
      "KL in nats per sequence.",
      ""
    ],
    ...declared(ledger),
    ...beforehand(ledger),
    ...estimated(ledger),
    ...measurements(ledger)
  ].join("\n")

/** The n-th stage of each operation beside the n-th of the other run: labels differ where descriptions do. */
export const comparison = (a: ReadonlyArray<Entry>, b: ReadonlyArray<Entry>): string => {
  const named = (ledger: ReadonlyArray<Entry>) => {
    const seen = new Map<string, number>()
    return new Map(ledger.map((entry) => {
      const op = entry.stage.slice(0, entry.stage.lastIndexOf("-"))
      seen.set(op, (seen.get(op) ?? 0) + 1)
      return [`${op} ${seen.get(op)}`, entry]
    }))
  }
  const [first, second] = [named(a), named(b)]
  const cells = (entry: Entry | undefined): ReadonlyArray<string> => {
    if (entry === undefined) return ["not there", none, none, none]
    const last = new Map(entry.measured.map((m) => [`${m.against} ${m.from}`, m]))
    return [
      entry.stage,
      joined(entry.caps.map(capOf)),
      joined([
        ...entry.known.flatMap(({ known: { kl }, from, of }) =>
          kl === null ? [] : [`${subjects[of]} ≤ ${mnatsOf(kl)} from ${from}`]
        ),
        ...entry.accepted === null ? [] : [`no bound, ≈ ${natsOf(entry.accepted.mean)} from its input`]
      ]),
      joined(
        [...last.values()].map((m) =>
          `${natsOf(m.mean)}${within(m.interval)} from ${m.against} ${m.from} at step ${m.step}`
        )
      )
    ]
  }
  const names = [...new Set([...first.keys(), ...second.keys()])]
  if (names.length === 0) return "No stage of either description spends or bounds KL."
  return [
    "Cap, bound on KL and last measurement [95 % interval] of each stage, nats per sequence:\n",
    markdown([
      ["stage", "run", "its label", "cap", "bound", "measured"],
      ...names.flatMap((name) => [
        [name, "first", ...cells(first.get(name))],
        [name, "second", ...cells(second.get(name))]
      ])
    ])
  ].join("\n")
}
