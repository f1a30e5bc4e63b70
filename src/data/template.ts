import { Unfit } from "./encode.ts"

/** `{{column}}`, or `{{"{{"}}` for two braces that are none. */
const places = /\{\{\s*(?:"(\{\{)"|([\p{L}\d_.-]+))\s*\}\}/gu

/** A text that stands for itself in a template. */
export const verbatim = (text: string): string => text.replaceAll("{{", '{{"{{"}}')

/** The template with the columns of the row in their places: texts and numbers. */
export const filled = (template: string, row: Readonly<Record<string, unknown>>): string =>
  template.replaceAll(places, (_, braces: string | undefined, column: string) => {
    if (braces !== undefined) return braces
    const value = Object.hasOwn(row, column) ? row[column] : undefined
    if (typeof value === "string" || typeof value === "number") return String(value)
    throw new Unfit(
      value === undefined
        ? `no column "${column}", which the template names; the row has ${Object.keys(row).join(", ")}`
        : `"${column}", which the template names, is neither a text nor a number`,
      "Correct the template, or give a file with this column."
    )
  })
