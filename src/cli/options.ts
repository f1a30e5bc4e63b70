/** Options that several commands share. */
import type * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"

/** A flag that may be left out. */
export const maybe = <A>(flag: Flag.Flag<A>, about: string) => flag.pipe(Flag.withDescription(about), Flag.optional)

/** A flag with a default. */
export const or = <A, const B extends A>(flag: Flag.Flag<A>, value: B, about: string) =>
  flag.pipe(Flag.withDescription(about), Flag.withDefault(value))

/** A switch. */
export const off = (name: string, about: string) => or(Flag.Boolean(name), false, about)

/** A flag that may be repeated. */
export const many = (name: string, about: string) =>
  Flag.String(name).pipe(Flag.withDescription(about), Flag.atLeast(0))

/** A number of things, at least 1. */
export const positive = (name: string) =>
  Flag.Int(name).pipe(Flag.filter((n) => n >= 1, (n) => `Expected at least 1, got ${n}`))

export const pipeline = Argument.String("file").pipe(
  Argument.withDescription(
    "A .ts file whose default export is a pipeline, a .json description, or a recipe by its name (keel recipes); FILE:NAME is an export or output"
  )
)

export const overrides = {
  set: many("set", "Override a parameter, e.g. --set ppo.beta=0.1; may be repeated"),
  base: maybe(Flag.String("base"), "Folder of the base model: the path of every Checkpoint in the pipeline"),
  take: many(
    "take",
    "Give a recipe an input, e.g. --take base=./model --take prompts=rows.jsonl, or hf://OWNER/NAME; may be repeated"
  ),
  choose: many("choose", "Choose what a recipe leaves open, e.g. --choose learningRate=1e-5; may be repeated"),
  shrink: off(
    "shrink",
    "A small copy of it, which runs in about a minute: tiny models, toy data, few steps, the same graph"
  ),
  seed: maybe(Flag.Int("seed"), "Draw other numbers in every stage; stages with different seeds stay different")
}

export const device = maybe(Flag.String("device"), "Where it computes: cpu, or with --backend torch a GPU, cuda:N")

/** `{ device }` when it was given. */
export const deviceOption = (device: Option.Option<string>): { readonly device?: string } =>
  device._tag === "Some" ? { device: device.value } : {}

export const json = off("json", "Print JSON on standard output")

/** The parsed values of `overrides`. */
export interface Overridden {
  readonly set: ReadonlyArray<string>
  readonly base: Option.Option<string>
  readonly take: ReadonlyArray<string>
  readonly choose: ReadonlyArray<string>
  readonly shrink: boolean
  readonly seed: Option.Option<number>
}
