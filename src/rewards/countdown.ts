import { evaluated, plainSigns } from "./arithmetic.ts"
import { answerIn } from "./mathematics/extract.ts"

const tag = "<answer>"

/** The expression that a completion ends with. */
const expressionIn = (completion: string): string => {
  const at = completion.lastIndexOf(tag)
  const said = at >= 0
    ? completion.slice(at + tag.length).split("</answer>", 1)[0]!
    : answerIn(completion, false) ?? completion.trimEnd().split("\n").at(-1)!
  return plainSigns(said.slice(0, 1000)).replaceAll("$", "").split("=", 1)[0]!.match(/[\d+\-*/()\s]*$/u)![0]
}

const sorted = (numbers: ReadonlyArray<number>): string => numbers.toSorted((a, b) => a - b).join(" ")

/** Whether the completion's expression has the value `target` and uses each of `numbers` once. */
export const reaches = (completion: string, numbers: ReadonlyArray<number>, target: number): boolean => {
  const found = evaluated(expressionIn(completion))
  return Number.isInteger(target) && found !== undefined && sorted(found.used) === sorted(numbers) &&
    found.value.n === BigInt(target) * found.value.d
}
