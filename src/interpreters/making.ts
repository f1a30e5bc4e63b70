/** What making an artefact needs and can end with. */
import type * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import type * as Artifact from "../../dsl/Artifact.ts"
import type {
  BudgetExceeded,
  Diverged,
  GateFailed,
  KlBudgetExceeded,
  OutOfMemory,
  Unmergeable,
  UnusableData
} from "../../dsl/Errors.ts"
import type { BadData } from "../data/badData.ts"
import type { Datasets } from "../data/dataset.ts"
import type { CurrentEngine } from "../engine/current.ts"
import type { BadCheckpoint } from "../model/BadCheckpoint.ts"
import type { Judge } from "../rewards/judge.ts"
import type { Made } from "../store/made.ts"
import type { RunLog } from "../store/runLog.ts"
import type { Store, StoreError } from "../store/store.ts"
import type { Refused } from "./check.ts"
import type { Checkpoints } from "./checkpoints.ts"

/** All that making a pipeline can end with. */
export type ExecuteError =
  | Refused
  | KlBudgetExceeded
  | BudgetExceeded
  | Diverged
  | GateFailed
  | UnusableData
  | Unmergeable
  | OutOfMemory
  | BadData
  | BadCheckpoint
  | StoreError
  | PlatformError.PlatformError

export type ExecuteServices = CurrentEngine | Datasets | Judge | Store | RunLog | Checkpoints | FileSystem.FileSystem

/** Makes an artefact, or gives what was made of it before. */
export type Make = (artifact: Artifact.Any) => Effect.Effect<Made, ExecuteError, ExecuteServices>
