import { Validator } from "@cfworker/json-schema"

/** Whether the text is JSON that the schema allows (draft 2020-12). */
export const fits = ({ schema, text }: { readonly schema: unknown; readonly text: string }): boolean | null => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return false
  }
  return new Validator(schema as object, "2020-12").validate(value).valid
}
