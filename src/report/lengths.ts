import type { TopLevelSpec } from "vega-lite"

export interface Lengths {
  readonly unit: "tokens" | "words"
  /** Of the prompts and of everything that is written in answer, in ascending order. */
  readonly prompts: ReadonlyArray<number>
  readonly answers: ReadonlyArray<number>
}

/** A histogram of the lengths of prompts and answers. */
export const lengthPlot = (title: string, { answers, prompts, unit }: Lengths): TopLevelSpec => ({
  title,
  data: {
    values: [
      ...prompts.map((length) => ({ of: "prompts", length })),
      ...answers.map((length) => ({ of: "answers", length }))
    ]
  },
  width: 480,
  height: 140,
  mark: "bar",
  encoding: {
    x: { field: "length", type: "quantitative", bin: { maxbins: 40 }, title: unit },
    y: { aggregate: "count", type: "quantitative", title: "rows" },
    row: { field: "of", type: "nominal", title: null }
  }
} as TopLevelSpec)
