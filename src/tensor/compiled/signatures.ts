/** A function of the C sources that TypeScript calls: a kernel, or a value (`SCRATCH`) that the host asks for. */
export interface Signature {
  readonly kind: "kernel" | "value"
  readonly name: string
  /** C types of its parameters; of a kernel, those after the thread, the number of threads and the scratch. */
  readonly parameters: ReadonlyArray<string>
}

const declaration = /^(KERNEL|SCRATCH)\((\w+)\)\(([^)]*)\)\s*\{/gm

/** "const float *x" → "const float *" */
const typeOf = (parameter: string): string => parameter.trim().replace(/\w+$/, "").trim()

/** The functions declared in C sources with the macros of `../kernels/kernel.h`, in order of appearance. */
export const signatures = (sources: Readonly<Record<string, string>>): ReadonlyArray<Signature> =>
  Object.values(sources).flatMap((source) =>
    Array.from(source.matchAll(declaration), ([, macro, name, list]): Signature => {
      const parameters = list!.trim() === "void" ? [] : list!.split(",").map(typeOf)
      return macro === "KERNEL"
        ? { kind: "kernel", name: name!, parameters: parameters.slice(3) }
        : { kind: "value", name: name!, parameters }
    })
  )
