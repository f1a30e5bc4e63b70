/** The part of the WebAssembly JavaScript API that this backend uses; TypeScript declares it only together with the DOM. */
declare namespace WebAssembly {
  class Memory {
    constructor(descriptor: { readonly initial: number; readonly maximum: number; readonly shared: true })
    readonly buffer: SharedArrayBuffer
    grow(pages: number): number
  }
  class Module {
    constructor(bytes: BufferSource)
    static exports(module: Module): Array<{ readonly name: string; readonly kind: string }>
  }
  class Global {
    value: number
  }
  class Instance {
    constructor(module: Module, imports: { readonly env: { readonly memory: Memory } })
    readonly exports: Record<string, unknown>
  }
  type BufferSource = ArrayBuffer | Uint8Array<ArrayBuffer>
  const validate: (bytes: BufferSource) => boolean
}
