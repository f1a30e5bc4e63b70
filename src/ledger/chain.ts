/**
 * The KL bounds that a description implies before any measurement. For every artefact: the *law* of its completions, as
 * a chain of steps from the model that wrote them. Training ends a chain: the law of a policy's samples begins with the
 * policy itself, even if it was trained from the base model again. Pure; exhaustive over the stages.
 */
import * as Artifact from "../../dsl/Artifact.ts"
import { stageOf } from "../../dsl/Pipeline.ts"
import { label } from "../../dsl/Render.ts"
import { fieldsOf, initialOf, type Making } from "../../dsl/Stage.ts"
import type { Sample } from "../../dsl/stages/Sample.ts"
import type { Metrics } from "../store/runLog.ts"
import { type Acceptance, acceptanceOf } from "./acceptance.ts"
import * as Bounds from "./bounds.ts"
import * as Renyi from "./renyi.ts"
import * as Variation from "./variation.ts"

/** A step, and the bounds on how far it moves the law, for each prompt. */
export interface Link {
  /** The cause of the step, in words. */
  readonly because: string
  readonly bound: Bounds.Bound
  readonly renyi: Renyi.RenyiBound | null
  /** Of a filter whose shares the run counted: evidence, so the step has no bound. */
  readonly accepted?: Acceptance
}

export interface Chain {
  /** The model whose law the chain begins with; null for rows that no model here wrote. */
  readonly from: string | null
  readonly links: ReadonlyArray<Link>
}

/** The bounds of a whole chain. */
export interface KnownVocabularies {
  readonly bound: Bounds.Bound
  /** Bound on KL, milli-nats per sequence; it may be tighter than the bound on D∞. */
  readonly kl: number | null
  readonly variation: Variation.VariationBound
}

export const knownOf = ({ links }: Chain): KnownVocabularies => {
  const renyi = Renyi.chain(...links.map(({ renyi }) => renyi))
  const stepwise = Variation.chain(...links.map(({ renyi }) => Variation.fromRenyi(renyi)))
  const whole = Variation.fromRenyi(renyi)
  return {
    bound: Bounds.chain(...links.map(({ bound }) => bound)),
    kl: renyi === null ? null : Renyi.klOf(renyi),
    variation: whole.millionths < stepwise.millionths ? whole : stepwise
  }
}

/** A step with a bound on its D∞; by default the other bounds follow from it. */
export const ofLink = (because: string, bound: Bounds.Bound, renyi = Renyi.ofBound(bound)): Link => ({
  because,
  bound,
  renyi
})

const foreign: Chain = { from: null, links: [] }

/** Size of the vocabulary of a model; null if unknown. */
export type VocabularyOf = (model: Artifact.Any) => number | null

const sampling = (
  { maxNewTokens: tokens, ...how }: Sample,
  vocabulary: number | null
): ReadonlyArray<Link> => {
  const { temperature, topK, topP } = how
  const set = [
    ...temperature === 1 ? [] : [temperature === 0 ? "greedy" : `temperature ${temperature}`],
    ...topK === 0 ? [] : [`top-k ${topK}`],
    ...topP === 1 ? [] : [`top-p ${topP}`]
  ].join(", ")
  if (set === "") return []
  const bound = Bounds.sampled(how, { tokens, vocabulary })
  if (bound.mnats !== null) {
    const ofV = temperature === 1 && topK === 0 ? "" : ` of ${vocabulary}`
    return [ofLink(`${set}, for ${tokens} tokens${ofV} at most`, bound)]
  }
  return [
    ofLink(
      `${set}: ${
        vocabulary === null
          ? "bounded by its vocabulary, which is not known before there is the model"
          : "above temperature 1 a rare token may become likelier by any factor"
      }`,
      bound
    )
  ]
}

/** The step of a filter. No bound is known: the share that it lets through differs from prompt to prompt, and a run can only estimate it. */
const filtered = (what: string, metrics: Metrics | undefined): Link => {
  const accepted = acceptanceOf(metrics)
  if (accepted === null) return ofLink(`${what}: −log of shares that this run did not count`, Bounds.unknown)
  const counted = `${what}: let ${metrics?.["rows/out"]} of ${metrics?.["rows/in"]} through`
  return { ...ofLink(counted, Bounds.unknown), accepted }
}

/** Completions per prompt, if the description fixes the number. */
const candidatesOf = (artifact: Artifact.Any): number | undefined => {
  const { node } = artifact
  if (node.op === "Sample") return fieldsOf(artifact).completionsPerPrompt
  const below = node.op === "Score"
    ? node.wires["completions"]
    : node.op === "Cap" || node.op === "Split"
    ? node.wires["of"]
    : undefined
  return below === undefined ? undefined : candidatesOf(below)
}

/** The chains of all artefacts in the pipeline `root`; `metricsOf` returns the last metrics of a stage in the run. */
export const chainsIn = (
  root: Artifact.Any,
  metricsOf: (stage: string) => Metrics | undefined,
  vocabularyOf: VocabularyOf = () => null
): (artifact: Artifact.Any) => Chain => {
  const chains = new Map<string, Chain>()
  const chainOf = (artifact: Artifact.Any): Chain => {
    const { wires } = artifact.node
    const on = (wire: string): Chain => chains.get(wires[wire]?.id ?? "") ?? foreign
    const after = (chain: Chain, ...links: ReadonlyArray<Link>): Chain =>
      chain.from === null ? foreign : { from: chain.from, links: [...chain.links, ...links] }
    const itself: Chain = { from: label(artifact), links: [] }
    const stage = stageOf(artifact)
    switch (stage._tag) {
      case "Cap":
      case "Split":
        return on("of")
      case "Decontaminate":
        // Each row is kept or dropped by its prompt alone.
        return on("of")
      case "Deduplicate":
        return stage.by === "prompt"
          ? on("of")
          : after(on("of"), ofLink("duplicates removed: likely completions count less", Bounds.unknown))
      case "Filter":
        return after(on("of"), filtered("filter", metricsOf(label(artifact))))
      case "Mix": {
        const parts = Object.keys(wires).map(on)
        const [first = foreign] = parts
        if (parts.some(({ from }) => from !== first.from)) return foreign
        const bounds = parts.map((part) => knownOf(part).bound)
        // Shares differ between prompts.
        return first.from === null
          ? foreign
          : { from: first.from, links: [ofLink("a mixture: its furthest part", Bounds.either(...bounds))] }
      }
      case "Sample":
        if (stage.makes === "Prompts") return foreign
        if (stage.ask !== undefined) {
          return after(on("policy"), ofLink("asked in a context: no bound for the bare prompt", Bounds.unknown))
        }
        return {
          from: on("policy").from,
          links: [...on("policy").links, ...sampling(stage, vocabularyOf(initialOf(wires["policy"]!)))]
        }
      case "Score":
        return on("completions")
      case "Select": {
        const completions = on("completions")
        if (stage.control) return after(completions)
        switch (stage.rule._tag) {
          case "PerPrompt": {
            const { keep } = stage.rule
            const n = wires["completions"] === undefined ? undefined : candidatesOf(wires["completions"])
            const said = metricsOf(label(artifact))?.["max_divergence"]
            const what = keep === 1 ? "best" : `${keep} best`
            // Equal prompts count as one prompt with more candidates; only the run can tell.
            if (said !== undefined) {
              const of = Math.round(keep * Math.exp(said))
              return after(
                completions,
                keep === 1
                  ? ofLink(`best of ${of}`, Bounds.bestOfN(of), Renyi.bestOfN(of))
                  : ofLink(`${what} of ${of}`, Bounds.boundOf(said))
              )
            }
            return after(
              completions,
              n === undefined
                ? ofLink(`${what} of a number of candidates that this run did not count`, Bounds.unknown)
                : keep === 1
                ? ofLink(`best of ${n}, if no two prompts are equal`, Bounds.bestOfN(n), Renyi.bestOfN(n))
                : ofLink(`${what} of ${n}, if no two prompts are equal`, Bounds.topOf(Math.min(keep, n), n))
            )
          }
          case "Overall":
            return after(completions, ofLink("best of all prompts together: no bound for one prompt", Bounds.unknown))
          case "Accept":
            return after(completions, filtered(`score at least ${stage.rule.atLeast}`, metricsOf(label(artifact))))
        }
      }
      // Data from elsewhere, or rows that are not the completions of one model.
      case "Source":
      case "Compare":
      case "Judge":
      case "Pair":
      case "Difficulty":
        return foreign
      default:
        // A policy begins the law of its samples; all data of policies is handled above.
        stage satisfies {
          readonly _tag: Making<Artifact.Model | "Evaluation"> | "Input" | "Merge" | "Outputs" | "Reward" | "Extension"
        }
        return ["Policy", "BaseModel"].includes(artifact.node.kind) ? itself : foreign
    }
  }
  for (const artifact of Artifact.lineage(root)) chains.set(artifact.id, chainOf(artifact))
  return (artifact) => chains.get(artifact.id) ?? foreign
}

/** The chain of the best of n of these candidates. */
export const bestOf = (chain: Chain, n: number): Chain => ({
  from: chain.from,
  links: [...chain.links, ofLink(`best of ${n}`, Bounds.bestOfN(n), Renyi.bestOfN(n))]
})
