import { cpus, platform, totalmem } from "node:os"
import type { RateTable } from "../planning/cost/rates.ts"
import type { Result } from "./bench.ts"
import type { BackendProfile, MachineProfile } from "./profile.ts"
import { spread } from "./statistics.ts"

const round = (x: number): number => Number(x.toPrecision(4))

const profileOf = (name: string, { measured, peaks }: Result, costs: RateTable | undefined): BackendProfile => {
  const rates = (prefix: string) =>
    measured.flatMap(({ one, seconds }) => {
      const of = seconds.get(name)
      return of !== undefined && (one.name === prefix || one.name.startsWith(`${prefix}-`))
        ? [{ one, rate: one.amount / spread(of).median }]
        : []
    })
  const byModel = (prefix: string) =>
    Object.fromEntries(rates(prefix).map(({ one, rate }) => [one.name.slice(prefix.length + 1), round(rate)]))
  const peak = peaks.get(name)
  const copy = rates("copy")[0]
  return {
    ...(peak === undefined ? {} : { peak: round(peak / 1e9) }),
    gemm: Object.fromEntries(rates("gemm").map(({ one, rate }) => [one.title.replace("GEMM ", ""), round(rate / 1e9)])),
    train: byModel("train"),
    logprobs: byModel("logprobs"),
    generate: byModel("generate"),
    ...(copy === undefined ? {} : { copy: round(copy.rate / 1e9) }),
    ...(costs === undefined ? {} : { rates: costs })
  }
}

/** The record of this machine in a run; `rates` by backend, where measured. */
export const machineProfile = (
  backends: ReadonlyArray<string>,
  threads: number,
  result: Result,
  rates: ReadonlyMap<string, RateTable> = new Map()
): MachineProfile => {
  const cores = cpus()
  return {
    version: 2,
    cpu: cores[0]?.model ?? "unknown",
    cores: cores.length,
    memory: totalmem(),
    platform: `${platform()} ${process.arch}`,
    node: process.version,
    threads,
    busy: round(result.busy),
    backends: Object.fromEntries(backends.map((name) => [name, profileOf(name, result, rates.get(name))]))
  }
}
