/**
 * The toy rows that stand for the data sets of a pipeline in its small copy (`Shrink.ts`): stories, and puzzles where a stage checks
 * answers. Held data stay apart from the rows of training.
 */
import type * as Schema from "effect/Schema"
import * as Artifact from "./Artifact.ts"
import * as Gold from "./Gold.ts"
import * as Source from "./Source.ts"
import { definitionOf, fieldsOf } from "./Stage.ts"
import * as Mix from "./stages/Mix.ts"
import * as Pair from "./stages/Pair.ts"
import * as Sample from "./stages/Sample.ts"
import * as Score from "./stages/Score.ts"

export type Json = Schema.Json
export type Params = { readonly [key: string]: Json }

/** The most rows of a data set and of pairs, completions of a prompt, and samples. */
export const most = { rows: 400, pairs: 1600, completions: 4, samples: 48 }
/** The fewest rows of a data set, and published rows for each of them. */
const [fewest, published] = [64, 200]
/** Kinds of rows that reward models learn from: pairs, in a wide sense. */
const judgedKinds: ReadonlySet<string> = new Set(["Preferences", "Rankings", "UnpairedPreferences", "Stepwise"])
/** Pairs of all stages that are trained on pairs, together, in a minute. */
const pairs = 12_000

/** Checks of an answer that toy stories do not have: puzzles have one. */
export const answers = new Set([
  "FinalAnswer",
  "LastNumber",
  "Mathematics",
  "Code",
  "ExactMatch",
  "Countdown",
  "LetterCount"
])

export const isRecord = (value: Json | undefined): value is Params =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Whether some parameters check an answer: by a program, or by a judge who sees the answer of a reference. */
const checksAnswer = (value: Json): boolean =>
  Array.isArray(value)
    ? value.some((one) => checksAnswer(one as Json))
    : isRecord(value) &&
      (answers.has(String(value["_tag"])) || readsReference(value) || Object.values(value).some(checksAnswer))

/** Of a rule of a reward. */
export const readsReference = ({ _tag, rubric }: Params): boolean =>
  _tag === "ByJudge" && isRecord(rubric) && rubric["reference"] === true

export const plain = (value: unknown): Json => JSON.parse(JSON.stringify(value)) as Json

/** The sources of the rows that reach an artefact, without those that models wrote or learned from. */
export const sources = Artifact.derived<ReadonlySet<string>>((artifact, of) =>
  artifact.node.op === "Source"
    ? new Set([artifact.id])
    : new Set(dataWires(artifact).flatMap(([, input]) => [...of(input)]))
)

export const dataWires = ({ node }: Artifact.Any): ReadonlyArray<readonly [string, Artifact.Any]> =>
  Object.entries(node.wires).filter(([, { node: { kind } }]) => !Artifact.modelKinds.includes(kind))

// ── kinds of rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

/** The sources of some rows, each with the part of the mixture that names the kind of its rows in this column. */
const kinds = (
  of: Artifact.Any,
  column: string | undefined,
  kind?: string
): ReadonlyArray<readonly [source: string, kind: string | undefined]> =>
  of.node.op === "Source" ? [[of.id, kind]] : dataWires(of).flatMap(([wire, input]) =>
    kinds(
      input,
      column,
      kind ?? (column !== undefined && (of.node.params as Params)["column"] === column ? wire.slice(6) : undefined)
    )
  )

const ruleOf = ({ node }: Artifact.Any): Params =>
  node.op === "Reward" ? (node.params as { readonly rule: Params }).rule : {}

/** The parts of a reward that judge rows of a kind, and itself. */
const judging = (reward: Artifact.Any, kind: string | undefined): ReadonlyArray<Artifact.Any> => {
  const own = ruleOf(reward)["_tag"] === "ByKind" ? reward.node.wires[`parts.${kind}`] : undefined
  const parts = own === undefined ? Object.values(reward.node.op === "Reward" ? reward.node.wires : {}) : [own]
  return [reward, ...parts.flatMap((part) => judging(part, kind))]
}

/** The column by which a reward tells kinds apart, and the kinds. */
const read = (reward: Artifact.Any): { readonly column?: string; readonly names: ReadonlyArray<string> } => {
  const all = judging(reward, undefined)
  const byKind = all.find((one) => ruleOf(one)["_tag"] === "ByKind")
  return byKind === undefined ? { names: [] } : {
    column: String(ruleOf(byKind)["column"] ?? "kind"),
    names: Object.keys(byKind.node.wires).map((wire) => wire.slice("parts.".length))
  }
}

interface Roles {
  /** Sources whose rows are asked by a stage that checks answers. */
  readonly puzzles: ReadonlySet<string>
  /** Sources that only judge. */
  readonly held: ReadonlySet<string>
  /** Rewards that judge puzzles. */
  readonly judgePuzzles: ReadonlySet<string>
  /** Of sources whose rows say their kind themselves: the column, and whether the rows of each kind are puzzles. */
  readonly ownKinds: ReadonlyMap<
    string,
    { readonly column: string; readonly puzzles: Readonly<Record<string, boolean>> }
  >
}

const rolesIn = (root: Artifact.Any): Roles => {
  const [puzzles, held, judgePuzzles] = [new Set<string>(), new Set<string>(), new Set<string>()]
  const ownKinds = new Map<string, { readonly column: string; readonly puzzles: Readonly<Record<string, boolean>> }>()
  const checks = (all: ReadonlyArray<Artifact.Any>) => all.some(({ node }) => checksAnswer(node.params))
  for (const artifact of Artifact.lineage(root).filter(({ node }) => node.op !== "Reward")) {
    const { reward } = artifact.node.wires
    const { column, names } = reward === undefined ? { column: undefined, names: [] } : read(reward)
    const judges = (kind: string | undefined) => reward === undefined ? [] : judging(reward, kind)
    for (const [wire, of] of dataWires(artifact)) {
      if (artifact.node.op === "Evaluate" || /^(?:held|validation)$/u.test(wire)) {
        for (const id of sources(of)) held.add(id)
      }
      for (const [id, kind] of kinds(of, column)) {
        if (column !== undefined && kind === undefined) {
          ownKinds.set(id, {
            column,
            puzzles: Object.fromEntries(names.map((name) => [name, checks(judges(name))]))
          })
        }
        if (!checks([artifact, ...judges(kind)])) continue
        puzzles.add(id)
        for (const one of judges(kind)) judgePuzzles.add(one.id)
      }
    }
  }
  return { puzzles, held, judgePuzzles, ownKinds }
}

// ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

const rowsIn = (source: Artifact.Any): number => {
  const { rows } = definitionOf(source.node)!
  const all = typeof rows === "function" ? rows(fieldsOf(source) as never, {}) : Infinity
  return Number.isFinite(all) ? all : published * most.rows
}

export interface Making {
  readonly minutes: number
  /** Longest completion. */
  readonly tokens: number
  /** Writes the answers that are judged. */
  readonly writer: () => Artifact.Any
  readonly say: (line: string) => void
}

export interface ToyData extends Roles {
  /** What tiny models are pretrained on. */
  readonly text: Artifact.Of<"Text">
  /** So many of a published number of rows, of pairs or of others. */
  readonly some: (rows: number, kind?: string) => number
  /** Stands for a source. */
  readonly rows: (source: Artifact.Any) => Artifact.Any
}

export const toyData = (root: Artifact.Any, { minutes, say, tokens, writer }: Making): ToyData => {
  const all = Artifact.lineage(root)
  const roles = rolesIn(root)
  const { held, ownKinds, puzzles } = roles
  const compared = all.filter(({ node }) =>
    "learningRate" in (node.params as object) &&
    dataWires({ node } as Artifact.Any).some(([, of]) => judgedKinds.has(of.node.kind))
  ).length
  const atMost = {
    rows: most.rows * Math.max(1, minutes),
    pairs: Math.max(most.rows, Math.min(most.pairs, Math.round(pairs * minutes / Math.max(1, compared))))
  }
  const some = (rows: number, kind?: string) =>
    Math.max(
      fewest,
      judgedKinds.has(kind ?? "")
        ? Math.min(atMost.pairs, Math.round(rows * atMost.pairs / most.rows / published))
        : Math.min(atMost.rows, Math.round(rows / published))
    )

  const stories = Source.text(Source.tales({ count: 2000 }))
  const text: Artifact.Of<"Text"> = puzzles.size === 0
    ? stories
    : Mix.make({ stories, puzzles: Source.text(Source.puzzles({ task: "letters", count: 2000, right: 0.75 })) })

  const rows = (artifact: Artifact.Any): Artifact.Any => {
    const { origin, role } = artifact.node.params as unknown as Source.Source
    const judging = held.has(artifact.id)
    const count = judging ? most.samples : some(rowsIn(artifact), role)
    const split = judging ? "held" : "train"
    const seed = parseInt(artifact.id.slice(0, 6), 16) % 1000
    const name = origin._tag === "Described" ? origin.name : [Source.namedBy(origin) ?? origin._tag].flat().join(", ")
    const storiesOf = (count: number) => Source.tales({ count, seed, split })
    const lettersOf = (count: number) =>
      Source.puzzles({ task: "letters", count, seed, split, right: role === "Prompts" ? 1 : 0.75 })
    /** Answers of a tiny model to the same prompts. */
    const answered = (prompts: Artifact.Any, completionsPerPrompt: number) =>
      Sample.make({ policy: writer() as never, prompts: prompts as never }, {
        completionsPerPrompt,
        maxNewTokens: tokens,
        seed
      })
    const scored = (completionsPerPrompt: number) =>
      Score.byJudge({ completions: answered(Source.prompts(storiesOf(count)), completionsPerPrompt) }, {
        gold: Gold.tales
      })
    switch (role) {
      case "Text":
        return Source.text(storiesOf(count))
      case "Prompts": {
        const own = ownKinds.get(artifact.id)
        if (own === undefined) return Source.prompts(puzzles.has(artifact.id) ? lettersOf(count) : storiesOf(count))
        const names = Object.entries(own.puzzles)
        const each = Math.ceil(count / names.length)
        say(`${name}: as many prompts of each kind that a reward tells apart by the column ${own.column}`)
        return Mix.make(
          Object.fromEntries(
            names.map(([kind, asked]) => [kind, Source.prompts(asked ? lettersOf(each) : storiesOf(each))])
          ),
          { column: own.column, seed }
        )
      }
      case "Demonstrations":
        return puzzles.size === 0 ? Source.demonstrations(storiesOf(count)) : Mix.make({
          stories: Source.demonstrations(storiesOf(count)),
          puzzles: Source.demonstrations(lettersOf(count))
        }, { seed })
      case "Preferences":
        say(`${name}: the best and the worst of ${most.completions} answers of a tiny model, by the checker of stories`)
        return Pair.make({ completions: scored(most.completions) }, { rejected: "worst", seed })
      case "ScoredCompletions":
        say(`${name}: answers of a tiny model, scored by the checker of stories`)
        return scored(Math.min(most.completions, completionsOf(origin)))
      case "Completions": {
        say(`${name}: answers of a tiny model to the same prompts`)
        const others = all.filter(({ node }) => node.op === "Mix" && Object.values(node.wires).includes(artifact))
          .flatMap(({ node }) => Object.values(node.wires)).flatMap((of) => [...sources(of)])
        const asked = all.find(({ id, node }) => others.includes(id) && (node.params as Params)["role"] === "Prompts")
        return answered(
          asked === undefined ? Source.prompts(storiesOf(count)) : rows(asked),
          Math.min(most.completions, completionsOf(origin))
        )
      }
      default:
        return Artifact.make({
          ...artifact.node,
          params: { ...artifact.node.params as Params, origin: plain(Source.tales({ count, seed })) }
        })
    }
  }
  return { ...roles, text, some, rows }
}

const completionsOf = (origin: Source.Origin): number => "tokens" in origin ? origin.tokens?.completions ?? 1 : 1
