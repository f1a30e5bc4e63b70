/** Options that several commands share. */
import type * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"

export const pipeline = Argument.String("file").pipe(
  Argument.withDescription("A .ts file whose default export is a pipeline, or a .json description")
)

export const overrides = {
  set: Flag.String("set").pipe(
    Flag.withDescription("Override a parameter, e.g. --set ppo.beta=0.1; may be repeated"),
    Flag.atLeast(0)
  ),
  base: Flag.String("base").pipe(
    Flag.withDescription("Folder of the base model: the path of every Checkpoint in the pipeline"),
    Flag.optional
  ),
  seed: Flag.Int("seed").pipe(Flag.withDescription("Set the seed of every stage"), Flag.optional)
}

export const device = Flag.String("device").pipe(
  Flag.withDescription("Where it computes: cpu, or with --backend torch a GPU, cuda:N"),
  Flag.optional
)

/** `{ device }` when it was given. */
export const deviceOption = (device: Option.Option<string>): { readonly device?: string } =>
  device._tag === "Some" ? { device: device.value } : {}

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON on standard output"),
  Flag.withDefault(false)
)

/** The parsed values of `overrides`. */
export interface Overridden {
  readonly set: ReadonlyArray<string>
  readonly base: Option.Option<string>
  readonly seed: Option.Option<number>
}
