/** The machine of a plan: this machine as measured, or a device by its published figures. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type DeviceName, devices } from "../bench/devices.ts"
import { BadProfile, type MachineProfile, profilePath, readProfile } from "../bench/profile.ts"
import { assumed, type Costs, measured, roofline } from "../planning/cost/costs.ts"
import { efficiencyNote } from "../planning/cost/efficiency.ts"
import { knownError } from "../planning/cost/published.ts"
import type { Packing } from "../engine/engine.ts"
import type { BackendName } from "./backend.ts"

export interface PlannedMachine {
  readonly title: string
  /** Memory in bytes; infinite if unknown. */
  readonly memory: number
  /** Null without a measurement. */
  readonly costs: Costs | null
  /** Bytes of packed weights on the machine; by default as in our kernels. */
  readonly packing?: Packing
  /** The accuracy of the planned times, or the reason why there are none. */
  readonly note: string
}

/** libtorch: a GPU reads weights directly, or a copy in bf16; the processor rounds to bf16 but keeps f32 storage. */
const libtorch = {
  gpu: (precision, inputs, outputs) => (precision === "bf16" ? 0.5 : 0) * inputs * outputs,
  cpu: (_, inputs, outputs) => inputs * outputs
} as const satisfies Record<string, Packing>

const percent = (share: number): string => `${100 * share} %`

const published = (name: DeviceName): PlannedMachine => {
  const device = devices[name]
  const { attention, bandwidth, launch, products } = assumed
  return {
    title: device.title,
    memory: device.memory,
    costs: roofline(device),
    packing: libtorch.gpu,
    note: `Time on ${device.title} (${device.peak.bf16 / 1e12} TF/s in bf16, ${
      device.peak.f32 / 1e12
    } in f32): ${efficiencyNote} It is never below what kernels can do at assumed shares of the published peaks: products ${
      percent(products)
    }, attention ${percent(attention)}, whatever memory bounds ${percent(bandwidth)} of ${
      device.bandwidth / 1e12
    } TB/s, ${1e6 * launch} µs a kernel. Without the host's work. ${knownError}`
  }
}

/** The backends that `run` tries, best first, by their names in a profile. */
const columnsOf = (backend: BackendName): ReadonlyArray<string> =>
  backend === "auto" ? ["native", "wasm"] : [backend === "torch" ? "libtorch" : backend]

const unmeasured = (why: string, memory = Infinity): PlannedMachine => ({
  title: "this machine",
  memory,
  costs: null,
  note: `No time: ${why}. Run keel bench --calibrate, or name a device with --device.`
})

const ofProfile = ({ backends, busy, cpu, memory }: MachineProfile, backend: BackendName): PlannedMachine => {
  const columns = columnsOf(backend)
  const column = columns.find((name) => backends[name]?.rates !== undefined)
  const rates = column === undefined ? undefined : backends[column]?.rates
  if (rates === undefined) return unmeasured(`the costs of work were not measured with ${columns.join(" or ")}`, memory)
  return {
    title: `${cpu}, ${column}`,
    memory,
    costs: measured(rates),
    note: `Time on ${cpu}, ${column}, as keel bench measured it${
      busy > 0.1 ? ` while others used ${percent(Math.round(100 * busy) / 100)} of it` : ""
    }.`
  }
}

const packed = (machine: PlannedMachine, backend: BackendName): PlannedMachine =>
  backend === "torch" ? { ...machine, packing: libtorch.cpu } : machine

/** This machine, as measured. */
export const thisMachine = (backend: BackendName) =>
  readProfile(profilePath()).pipe(
    Effect.map((found) => found === null ? unmeasured("this machine was not measured") : ofProfile(found, backend)),
    Effect.catchTag("BadProfile", ({ path, problem }) => Effect.succeed(unmeasured(`${path}: ${problem}`))),
    Effect.map((machine) => packed(machine, backend))
  )

export const machineOf = Effect.fnUntraced(function*(
  device: Option.Option<DeviceName>,
  profile: Option.Option<string>,
  backend: BackendName
) {
  if (Option.isSome(device)) return published(device.value)
  if (Option.isNone(profile)) return yield* thisMachine(backend)
  const path = profile.value
  const found = yield* readProfile(path)
  if (found === null) return yield* new BadProfile({ path, problem: "there is no such file" })
  return packed(ofProfile(found, backend), backend)
})
