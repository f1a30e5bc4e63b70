import { size } from "../../dsl/Size.ts"
import type { MachineFacts } from "./machine.ts"
import type { Trial } from "./trial.ts"

export interface DoctorReport {
  readonly machine: MachineFacts
  readonly backends: ReadonlyArray<Trial>
  /** Advice on installing more. */
  readonly advice: ReadonlyArray<string>
}

const aligned = (rows: ReadonlyArray<readonly [string, string]>): ReadonlyArray<string> => {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)
}

const outcome = ({ flops, precisions, problem, seconds, works }: Trial): string =>
  works
    ? `works: self-test passed in ${seconds.toFixed(2)} s, ${(flops! / 1e9).toFixed(1)} GF/s, ${
      precisions.join(" and ")
    }`
    : `no: ${problem}`

/** The report as people read it. */
export const text = ({ advice, backends, machine }: DoctorReport): string => {
  const { compilers, cores, cpu, features, gpus, libtorch, memory, node, packages, platform, python, sandbox } = machine
  return [
    "Machine",
    ...aligned([
      ["system", platform],
      ["node", `${node.version}, ${node.enough ? "enough" : "too old"} (${node.needed})`],
      ["cpu", `${cpu}, ${cores} cores${features.length === 0 ? "" : `: ${features.join(" ")}`}`],
      ["memory", size(memory)],
      ...gpus.length === 0
        ? [["gpu", "none that nvidia-smi shows"] as const]
        : gpus.map((gpu) => ["gpu", `${gpu.name}, ${size(gpu.memory)}, driver ${gpu.driver}`] as const),
      ["cc", compilers.cc ?? "none"],
      ["c++", compilers["c++"] ?? "none"],
      ["libtorch", libtorch ?? "none"],
      ["python", python ?? "none"],
      ["sandbox", sandbox === null ? "works: code of completions can be run" : `no: ${sandbox.problem}`],
      ...Object.entries(packages).map(([name, version]) => [name, version ?? "none"] as const)
    ]),
    "",
    "Backends",
    ...aligned(backends.map((trial) => [trial.name, outcome(trial)])),
    "",
    ...(advice.length === 0 ? ["Everything is installed."] : ["For more", ...advice.map((line) => `  ${line}`)])
  ].join("\n")
}
