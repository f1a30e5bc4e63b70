/** Rows of cells to text with aligned columns, as a Markdown table. */
export const markdown = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const [head = [], ...body] = rows
  const widths = head.map((_, i) => Math.max(...rows.map((row) => [...row[i] ?? ""].length)))
  const line = (row: ReadonlyArray<string>) =>
    `| ${row.map((cell, i) => cell + " ".repeat(Math.max(0, widths[i]! - [...cell].length))).join(" | ")} |`
  return [line(head), `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...body.map(line)].join("\n")
}
