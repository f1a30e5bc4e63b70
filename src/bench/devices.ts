/** Published figures of devices: dense peaks without sparsity, from the vendor's data sheets. */
export interface Device {
  readonly title: string
  /** Bytes. */
  readonly memory: number
  /** Floating-point operations a second. */
  readonly peak: { readonly bf16: number; readonly f32: number }
}

export const devices = {
  h200: { title: "NVIDIA H200 SXM", memory: 141e9, peak: { bf16: 989e12, f32: 67e12 } },
  h100: { title: "NVIDIA H100 SXM", memory: 80e9, peak: { bf16: 989e12, f32: 67e12 } },
  a100: { title: "NVIDIA A100 80 GB SXM", memory: 80e9, peak: { bf16: 312e12, f32: 19.5e12 } },
  4090: { title: "NVIDIA GeForce RTX 4090", memory: 24e9, peak: { bf16: 165.2e12, f32: 82.6e12 } }
} satisfies Readonly<Record<string, Device>>

export type DeviceName = "h200" | "h100" | "a100" | "4090"

/** The share of a peak that is assumed to be reached; printed with every estimate. */
export const assumedUtilisation = 0.4
