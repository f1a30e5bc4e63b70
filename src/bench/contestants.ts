import * as Effect from "effect/Effect"
import type { Engine, Policy } from "../engine/engine.ts"
import type { Backend } from "../tensor/backend.ts"
import type { Bench, Case, Run } from "./cases.ts"
import type { Contestant } from "./measure.ts"
import type { Workload, WorkloadName } from "./models.ts"
import { numberOf, type Peer } from "./peer.ts"

/** A backend as a contestant: opens the needs of a case at its first measurement and keeps them. */
export const ours = (
  name: string,
  backend: Backend,
  engine: Engine,
  workload: (name: WorkloadName) => Workload
): Contestant => {
  const policies = new Map<WorkloadName, Policy>()
  const bench: Bench = {
    backend,
    engine,
    policy: (name) => {
      const policy = policies.get(name) ?? engine.policy(workload(name).weights)
      policies.set(name, policy)
      return policy
    }
  }
  const open = new Map<Case, Run>()
  return {
    name,
    takes: (one) => !one.heavy || backend.realBytes === 4,
    measure: (one, count) =>
      Effect.sync(() => {
        let run = open.get(one)
        if (run === undefined) open.set(one, run = one.open(bench))
        const start = performance.now()
        for (let i = 0; i < count; i++) run()
        return (performance.now() - start) / 1000 / count
      })
  }
}

/** The processes of a peer as a contestant; `of` finds the one that does a case. */
export const theirs = (name: string, of: (one: Case) => Peer | null): Contestant => ({
  name,
  takes: (one) => of(one) !== null,
  measure: (one, count) =>
    of(one)!.request({ ...one.request, count }).pipe(
      Effect.flatMap((answer) => numberOf(name, answer, "seconds"))
    )
})
