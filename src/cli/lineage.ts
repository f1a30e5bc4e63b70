/** Where each model of a pipeline comes from, for people. */
import type * as Artifact from "../../dsl/Artifact.ts"
import { descents } from "../interpreters/lineage.ts"
import { markdown } from "../report/table.ts"

export const lineageText = (root: Artifact.Any): string => {
  const all = descents(root)
  const columns = ["reference", "reward", "value", "teacher"].filter((name) => all.some(({ models }) => name in models))
  return markdown([
    ["model", "by", "weights from", ...columns, "data, and whose answers or verdicts they are"],
    ...all.map(({ data, models, name, op, parents }) => [
      name,
      op,
      parents.join(" + ") || "–",
      ...columns.map((column) => models[column] ?? "–"),
      data.map(({ authors, wire }) => `${wire}: ${authors.join(", ")}`).join("; ") || "–"
    ])
  ])
}
