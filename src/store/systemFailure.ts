import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"

/** The refusals of an operating system, by their codes in POSIX: the problem, and what to do. */
const refusals: Readonly<Record<string, readonly [problem: string, remedy: string]>> = {
  ENOSPC: ["the disk is full", "Free some space"],
  EDQUOT: ["your quota on this disk is used up", "Free some space"],
  EACCES: ["you have no permission", "Change its owner or mode, or give another path"],
  EPERM: ["you have no permission", "Change its owner or mode, or give another path"],
  EROFS: ["the file system is read-only", "Make it writable, or give another path"],
  EISDIR: ["it is a folder, not a file", "Check the path"],
  ENOTDIR: ["it is a file or lies below a file, and a folder is needed", "Give another path"],
  ENOENT: ["there is no such file or folder", "Check the path"],
  EEXIST: ["it exists already", "Remove it, or give another path"],
  ELOOP: ["its symbolic links lead in a circle", "Check the path"],
  ENAMETOOLONG: ["the name is too long", "Give a shorter path"],
  EMFILE: ["too many files are open", "Raise the limit (`ulimit -n`)"],
  ENFILE: ["too many files are open on this machine", "Close other programs"],
  EIO: ["the disk does not read or write it", "Check the disk"]
}

/** A file or folder that the operating system refused to read or write. */
export class SystemFailure extends Schema.TaggedError<SystemFailure>()("SystemFailure", {
  path: Schema.String,
  /** In POSIX, e.g. ENOSPC; else the reason as Effect names it. */
  code: Schema.String,
  problem: Schema.String,
  remedy: Schema.String
}) {
  override get message() {
    return `${this.path}: ${this.problem} (${this.code}). ${this.remedy}`
  }
}

const codeOf = (cause: unknown): string | undefined =>
  typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : undefined

/** The problem that a code stands for. */
export const problemOf = (code: string): string => refusals[code]?.[0] ?? "the system refuses it"

/** A platform error in words; `folder` is that of a run which can be resumed after the remedy. */
export const systemFailure = ({ reason }: PlatformError.PlatformError, folder: string | null = null): SystemFailure => {
  const code = codeOf(reason.cause) ?? String(reason._tag)
  // Of an open file only its number is known.
  const at = "pathOrDescriptor" in reason ? reason.pathOrDescriptor : undefined
  const path = typeof at === "string" ? at : folder ?? "an open file"
  const [problem, remedy] = refusals[code] ?? [reason.message, "Check the path"]
  return new SystemFailure({
    path,
    code,
    problem,
    remedy: folder === null ? `${remedy}.` : `${remedy}, then go on with: keel resume ${folder}`
  })
}
