/** Which files of a repository hold a split of a data set: as its README says, by their names, or as the hub has converted them. */
import type { Choose, Entry } from "../model/hubFetch.ts"
import { type Repo, shown } from "../model/hub.ts"
import { Unfetched } from "../model/hubFetch.ts"
import { kindOf } from "./kinds.ts"

/** Kinds by preference, where a split is there in several. */
const kinds = ["parquet", "jsonl", "ndjson", "json", "csv", "tsv", "txt"]

/** A pattern of the shell as a regular expression. */
const patternOf = (glob: string): RegExp =>
  new RegExp(
    `^${
      glob.replace(/^\.?\//u, "").replaceAll(/[.+^${}()|[\]\\]/gu, "\\$&")
        .replaceAll(/\*\*\/?|\*|\?/gu, (star) => star.startsWith("**") ? ".*" : star === "*" ? "[^/]*" : "[^/]")
    }$`,
    "u"
  )

interface Configured {
  readonly name: string
  /** Patterns by split. */
  readonly splits: ReadonlyMap<string, ReadonlyArray<string>>
}

const listed = (value: unknown): ReadonlyArray<unknown> =>
  Array.isArray(value) ? value : value === undefined ? [] : [value]
const textsIn = (value: unknown) => listed(value).filter((one) => typeof one === "string")

/** The configurations that the README's metadata name (`configs`, huggingface.co/docs/datasets/repository_structure). */
const configured = (card: unknown): ReadonlyArray<Configured> =>
  listed((card as { readonly configs?: unknown } | undefined)?.configs).flatMap((one) => {
    const { config_name: name, data_files: files, data_dir: folder } = one as Readonly<Record<string, unknown>>
    if (typeof name !== "string") return []
    const within = (pattern: string) => typeof folder === "string" ? `${folder}/${pattern}` : pattern
    const splits = new Map<string, ReadonlyArray<string>>()
    for (const entry of listed(files)) {
      if (typeof entry === "string") splits.set("train", [...splits.get("train") ?? [], within(entry)])
      const { path, split } = entry as { readonly split?: unknown; readonly path?: unknown }
      if (typeof split === "string") splits.set(split, textsIn(path).map(within))
    }
    return [{ name, splits }]
  })

/** Other words for a split in names of files, as `datasets` has them. */
const words: Readonly<Record<string, ReadonlyArray<string>>> = {
  train: ["train", "training"],
  validation: ["validation", "valid", "val", "dev"],
  test: ["test", "testing", "eval", "evaluation"]
}

const named = (path: string, word: string): boolean =>
  new RegExp(`(?:^|[-._ /])${patternOf(word).source.slice(1, -1)}(?:[-._ /]|$)`, "iu").test(path)

/** Files of the split by their names; without any split in the names, all are `train`. */
const byName = (files: ReadonlyArray<Entry>, split: string): ReadonlyArray<Entry> => {
  const own = files.filter(({ path }) => (words[split] ?? [split]).some((word) => named(path, word)))
  const known = Object.values(words).flat()
  return own.length > 0 || split !== "train" || files.some(({ path }) => known.some((word) => named(path, word)))
    ? own
    : files
}

const ofOneKind = (files: ReadonlyArray<Entry>): ReadonlyArray<string> => {
  const kind = kinds.find((kind) => files.some(({ path }) => kindOf(path) === kind))
  return files.filter(({ path }) => kindOf(path) === kind).map(({ path }) => path)
}

/** Chooses the files of `repo`. */
export const split = (repo: Repo): Choose => (entries, card) => {
  const { config, split = "train" } = repo
  const bad = (problem: string, remedy: string) => new Unfetched({ name: shown(repo), problem, remedy })
  const rows = entries.filter(({ path }) =>
    kindOf(path) !== undefined && !/(?:^|\/)[._]|(?:^|\/)(?:README|LICENSE)/iu.test(path)
  )
  const configs = configured(card)
  const names = configs.map(({ name }) => name)
  const one = configs.find(({ name }) => name === (config ?? "default")) ??
    (config === undefined && configs.length === 1 ? configs[0] : undefined)
  if (configs.length > 0 && one === undefined) {
    return bad(
      config === undefined ? "it has several configurations" : `it has no configuration ${config}`,
      `Give one of them: config: ${names.map((name) => JSON.stringify(name)).join(" | ")}.`
    )
  }
  if (one !== undefined && one.splits.size > 0) {
    const patterns = one.splits.get(split)?.map(patternOf)
    const files = patterns === undefined
      ? []
      : rows.filter(({ path }) => patterns.some((pattern) => pattern.test(path)))
    if (files.length > 0) return ofOneKind(files)
    return bad(
      `it has no split ${split}`,
      `Give one of them: split: ${[...one.splits.keys()].map((name) => JSON.stringify(name)).join(" | ")}.`
    )
  }
  const inConfig = config === undefined
    ? rows
    : rows.filter(({ path }) => path.split("/").includes(config) || named(path, config))
  const files = byName(inConfig, split)
  return files.length > 0 ? ofOneKind(files) : { revision: "refs/convert/parquet", choose: converted(repo) }
}

/** The hub's own conversion: `config/split/0000.parquet`. */
const converted = (repo: Repo): Choose => (entries) => {
  const { config, split = "train" } = repo
  const bad = (problem: string, remedy: string) => new Unfetched({ name: shown(repo), problem, remedy })
  const found = entries.flatMap(({ path }) => {
    const [config, split, file, more] = path.split("/")
    return more === undefined && file !== undefined && file.endsWith(".parquet")
      ? [{ path, config: config!, split: split! }]
      : []
  })
  const configs = [...new Set(found.map(({ config }) => config))]
  const one = config ?? (configs.length === 1 ? configs[0] : configs.find((name) => name === "default"))
  if (one === undefined || !configs.includes(one)) {
    return configs.length === 0
      ? bad(
        "it has no files of rows, and the hub has not converted it",
        "Download it and give its files: Source.file(…)."
      )
      : bad(
        `it has the configurations ${configs.join(", ")}`,
        `Give one of them, e.g. config: ${JSON.stringify(configs[0])}.`
      )
  }
  const files = found.filter((file) => file.config === one && file.split === split).map(({ path }) => path)
  if (files.length > 0) return files
  const splits = [...new Set(found.filter(({ config }) => config === one).map(({ split }) => split))]
  return bad(
    `it has no split ${split}`,
    `Give one of them: split: ${splits.map((name) => JSON.stringify(name)).join(" | ")}.`
  )
}
