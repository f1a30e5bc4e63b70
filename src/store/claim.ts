/**
 * A folder that one process owns at a time. It is called `<base>` when nobody owns it and `<base>.<owner>` when somebody does; it changes
 * hands by one `rename`. So of several processes one succeeds; and an owner that stood still for so long that another took over
 * finds none of its paths again: it can neither write nor finish.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as PlatformError from "effect/PlatformError"
import { basename, dirname, join } from "node:path"
import { StoreDamaged } from "./store.ts"
import { CurrentOwners, type Owner, ownerOf, tagOf } from "./owner.ts"
import { TakenOver } from "./takenOver.ts"

/** The file in an owned folder that keeps changing. */
const heart = "beat"

/** Name → owner of each folder that is owned under `base`; a name that nobody of ours gave has none. */
const ownedIn = Effect.fnUntraced(function*(base: string) {
  const fs = yield* FileSystem.FileSystem
  const names = yield* fs.readDirectory(dirname(base))
  const prefix = `${basename(base)}.`
  return names.flatMap((name) => {
    const owner = name.startsWith(prefix) ? ownerOf(name.slice(prefix.length)) : undefined
    return owner === undefined ? [] : [{ folder: join(dirname(base), name), owner }]
  })
})

/** The folders under `base`, whoever owns them. */
export const foldersOf = Effect.fnUntraced(function*(base: string) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(dirname(base)))) return []
  const owned = (yield* ownedIn(base)).map(({ folder }) => folder)
  return (yield* fs.exists(base)) ? [...owned, base] : owned
})

const removedOf = (base: string): string => `${base}-removed`

/** Removes a folder: renamed first, so that a crash leaves no half of it under a name that is read. */
const discard = Effect.fnUntraced(function*(base: string, folder: string, owner: Owner) {
  const fs = yield* FileSystem.FileSystem
  const gone = `${removedOf(base)}.${tagOf(owner)}`
  yield* fs.rename(folder, gone)
  yield* fs.remove(gone, { recursive: true, force: true })
})

/** Removes the folders under `base` that no process owns, and what a crash left of others. */
export const tidy = Effect.fnUntraced(function*(base: string) {
  const fs = yield* FileSystem.FileSystem
  const owners = yield* CurrentOwners
  const gone = ({ owner }: { readonly owner: Owner }) => owners.standing(owner) === "gone"
  const free = (yield* fs.exists(base)) ? [base] : []
  const left = [...free, ...(yield* ownedIn(base)).filter(gone).map(({ folder }) => folder)]
  for (const folder of left) {
    const me = owners.enter()
    // Another process may do the same.
    yield* Effect.ensuring(Effect.ignore(discard(base, folder, me)), Effect.sync(() => owners.leave(me)))
  }
  yield* swept(base)
})

/** Removes what processes that are gone had begun to remove. */
const swept = Effect.fnUntraced(function*(base: string) {
  const fs = yield* FileSystem.FileSystem
  const owners = yield* CurrentOwners
  for (const { folder, owner } of yield* ownedIn(removedOf(base))) {
    if (owners.standing(owner) === "gone") yield* Effect.ignore(fs.remove(folder, { recursive: true, force: true }))
  }
})

/** Processes that stood still: what else they own is not waited for again. */
const still = new Set<string>()
const processOf = ({ host, pid, place, started }: Owner): string => [host, pid, place, started].join()

export interface Claim {
  /** Where it is until the scope closes. */
  readonly folder: string
  /** Removes it. */
  readonly drop: Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem>
}

export interface Waits<E> {
  /** Another process owns it: called once when that is seen, and once when it is `sure` to run. */
  readonly held: (owner: Owner, sure: boolean) => Effect.Effect<void, E>
  /** The folder of a process that stood still is taken over. */
  readonly took: (owner: Owner) => Effect.Effect<void, E>
  /** Nothing is left to do: asked before every look. */
  readonly over: Effect.Effect<boolean, PlatformError.PlatformError>
}

/** Fails as `effect` does, but for one reason that is expected. */
const unless = <A, B, R>(
  reason: "NotFound" | "AlreadyExists",
  effect: Effect.Effect<A, PlatformError.PlatformError, R>,
  otherwise: B
): Effect.Effect<A | B, PlatformError.PlatformError, R> =>
  Effect.catch(effect, (error) => error.reason._tag === reason ? Effect.succeed(otherwise) : Effect.fail(error))

/**
 * Owns the folder `base` until the scope closes, made if need be; its parent must exist. Waits while another process owns it; `undefined` if
 * it was over before. A folder with nothing in it is removed when the scope closes.
 */
export const claim = <E>(base: string, waits: Waits<E>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const owners = yield* CurrentOwners
      const me = yield* Effect.acquireRelease(
        Effect.sync(owners.enter),
        (owner) => Effect.sync(() => owners.leave(owner))
      )
      const folder = `${base}.${tagOf(me)}`
      const seen = new Map<string, { beat: string; at: number; sure: boolean }>()

      /** Whether the owner counts as there; says so. */
      const there = Effect.fnUntraced(function*(held: { readonly folder: string; readonly owner: Owner }) {
        const standing = owners.standing(held.owner)
        if (standing === "gone") return false
        const beat = yield* Effect.orElseSucceed(fs.readFileString(join(held.folder, heart)), () => "")
        const at = Number((yield* Clock.currentTimeNanos) / 1_000_000n)
        const before = seen.get(held.folder)
        const moved = before !== undefined && before.beat !== beat
        const sure = before?.sure === true || standing === "running" || moved
        seen.set(held.folder, { beat, at: before === undefined || moved ? at : before.at, sure })
        if (before?.sure !== sure) yield* waits.held(held.owner, sure)
        if (standing === "running") return true
        if (at - seen.get(held.folder)!.at >= owners.patience) still.add(processOf(held.owner))
        return !still.has(processOf(held.owner))
      })

      const release = Effect.gen(function*() {
        if (!(yield* fs.exists(folder))) return
        if ((yield* fs.readDirectory(folder)).every((name) => name === heart)) return yield* discard(base, folder, me)
        yield* fs.remove(join(folder, heart), { force: true })
        yield* fs.rename(folder, base)
      })

      const look = Effect.fnUntraced(function*() {
        if (yield* waits.over) return "over" as const
        const others = yield* ownedIn(base)
        let stale: (typeof others)[number] | undefined
        for (const one of others) {
          if (yield* there(one)) return "held" as const
          stale = one
        }
        if (stale === undefined) {
          // Of two that make it, one finds it gone.
          yield* unless("AlreadyExists", fs.makeDirectory(base), undefined)
        }
        const from = stale?.folder ?? base
        if (!(yield* unless("NotFound", Effect.as(fs.rename(from, folder), true), false))) return "again" as const
        if (stale !== undefined && owners.standing(stale.owner) !== "gone") yield* waits.took(stale.owner)
        return yield* settled().pipe(
          // It stood still here, and another has it by now.
          Effect.catch((error) =>
            Effect.flatMap(fs.exists(folder), (still) => still ? Effect.fail(error) : Effect.succeed("again" as const))
          )
        )
      })

      const settled = Effect.fnUntraced(function*() {
        yield* fs.writeFileString(join(folder, heart), "0")
        // Somebody may have made it in the time between the look and `makeDirectory`: of two, the later one sees the other one.
        for (const one of yield* ownedIn(base)) {
          if (one.folder !== folder && (yield* there(one))) {
            yield* release
            return "held" as const
          }
        }
        return "mine" as const
      })

      for (;;) {
        const found = yield* look()
        if (found === "over") return undefined
        if (found === "mine") break
        if (found === "held") yield* restore(Effect.sleep(owners.poll * (1 + me.pid % 7 / 7)))
      }
      yield* Effect.addFinalizer(() => Effect.ignore(release))
      yield* owners.beats(join(folder, heart))
      yield* swept(base)
      return { folder, drop: discard(base, folder, me) } satisfies Claim as Claim
    })
  )

/** Says of what fails because the folder of a claim is another's by now that it was taken over. */
export const fenced = <A, E, R>(base: string, folder: string, use: Effect.Effect<A, E, R>) =>
  Effect.catch(
    use,
    Effect.fnUntraced(function*(error) {
      const fs = yield* FileSystem.FileSystem
      const gone = error instanceof StoreDamaged ||
        (PlatformError.isPlatformError(error) && error.reason._tag === "NotFound")
      if (!gone || (yield* Effect.orElseSucceed(fs.exists(folder), () => true))) return yield* Effect.fail(error)
      const [now] = yield* Effect.orElseSucceed(ownedIn(base), () => [])
      return yield* new TakenOver({ path: base, by: now === undefined ? null : now.owner })
    })
  )
