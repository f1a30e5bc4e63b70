import type { MachineFacts } from "./machine.ts"
import type { Trial } from "./trial.ts"

/** Advice on installing more, the most useful first. */
export const advice = (machine: MachineFacts, trials: ReadonlyArray<Trial>): ReadonlyArray<string> => {
  const { compilers, gpus, node, packages, python, sandbox } = machine
  const fails = (name: string) => trials.some((trial) => trial.name === name && !trial.works)
  const gpu = gpus.length > 0
  return [
    ...(node.enough
      ? []
      : [
        `Node ${node.version} is older than ${
          node.needed.replace(/^\D*/, "")
        }: take Node 24 (npm ci brings one in node_modules/.bin)`
      ]),
    ...(compilers.cc === null ? ["A C compiler makes the native backend, the fastest on a CPU: apt install gcc"] : []),
    ...(fails("torch") ? ["The torch backend: pip install torch, or KEEL_LIBTORCH=… where libtorch lies"] : []),
    ...(fails("tfjs")
      ? [
        `The tfjs backend: ${
          packages.tensorflow === null ? `pip install ${gpu ? "tensorflow[and-cuda]" : "tensorflow-cpu"}, then ` : ""
        }keel backend install ${gpu ? "tfjs-node-gpu" : "tfjs-node"}${
          compilers["c++"] === null ? " (it needs apt install g++)" : ""
        }`
      ]
      : []),
    ...(sandbox === null ? [] : [`Verifier.code: ${sandbox.remedy.replace(/\.$/u, "")}`]),
    ...(python === null || packages.torch === null || packages.trl === null
      ? ["keel bench compares with PyTorch and TRL: pip install torch transformers trl"]
      : [])
  ]
}
