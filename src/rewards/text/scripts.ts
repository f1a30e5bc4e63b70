/** The scripts that a language (ISO 639-1) is written in, under their names in regular expressions; of an unknown language, Latin. */
export const scriptsOf = (language: string): ReadonlyArray<string> => {
  const script = new Intl.Locale(language).maximize().script ?? "Latn"
  return several[script] ?? [script]
}

const several: Readonly<Record<string, ReadonlyArray<string>>> = {
  Hans: ["Hani"],
  Hant: ["Hani"],
  Jpan: ["Hani", "Hira", "Kana"],
  Kore: ["Hang", "Hani"]
}

/** Any letter of the scripts. */
export const letterOf = (language: string, flags = "u"): RegExp =>
  new RegExp(`[${scriptsOf(language).map((name) => `\\p{Script=${name}}`).join("")}]`, flags)
