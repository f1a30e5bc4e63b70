/**
 * Published figures of devices: dense peaks without sparsity, with sums in float32, and memory bandwidths. From NVIDIA's data sheets: "H200
 * Tensor Core GPU" (2023), "H100 Tensor Core GPU" (2023, SXM5), "A100 Tensor Core GPU" (2022, SXM4 80 GB), "L40S" (2023), and the white
 * papers "Ada GPU architecture" (2022: RTX 4090) and "Ampere GA102 GPU architecture" (2021: RTX A6000).
 */
export interface Device {
  readonly title: string
  /** Bytes. */
  readonly memory: number
  /** Floating-point operations a second. */
  readonly peak: { readonly bf16: number; readonly f32: number }
  /** Of the memory, bytes a second. */
  readonly bandwidth: number
}

export const devices = {
  h200: { title: "NVIDIA H200 SXM", memory: 141e9, peak: { bf16: 989e12, f32: 67e12 }, bandwidth: 4.8e12 },
  h100: { title: "NVIDIA H100 SXM", memory: 80e9, peak: { bf16: 989e12, f32: 67e12 }, bandwidth: 3.35e12 },
  a100: { title: "NVIDIA A100 80 GB SXM", memory: 80e9, peak: { bf16: 312e12, f32: 19.5e12 }, bandwidth: 2.039e12 },
  l40s: { title: "NVIDIA L40S", memory: 48e9, peak: { bf16: 362e12, f32: 91.6e12 }, bandwidth: 864e9 },
  a6000: { title: "NVIDIA RTX A6000", memory: 48e9, peak: { bf16: 154.8e12, f32: 38.7e12 }, bandwidth: 768e9 },
  4090: { title: "NVIDIA GeForce RTX 4090", memory: 24e9, peak: { bf16: 165.2e12, f32: 82.6e12 }, bandwidth: 1.008e12 }
} satisfies Readonly<Record<string, Device>>

export type DeviceName = "h200" | "h100" | "a100" | "l40s" | "a6000" | "4090"
