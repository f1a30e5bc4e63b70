/** A hub on this machine that speaks the part of the API that Keel asks, with the troubles that a test orders. */
import { createHash } from "node:crypto"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export interface Repository {
  readonly card?: unknown
  /** Commits by branch. */
  readonly branches: Readonly<Record<string, string>>
  /** Files by commit. */
  readonly commits: Readonly<Record<string, Readonly<Record<string, Uint8Array | string>>>>
  /** Paths that Git LFS holds. */
  readonly large?: (path: string) => boolean
  readonly needsToken?: string
}

export interface Trouble {
  /** Answers with the status as long as it returns one. */
  status?: (url: string) => number | undefined
  /** Ends a body after so many bytes. */
  cut?: (url: string) => number | undefined
  /** Another body. */
  body?: (url: string, bytes: Uint8Array) => Uint8Array
}

export const commitOf = (name: string): string => createHash("sha1").update(name).digest("hex")

const sha = (kind: "sha1" | "sha256", bytes: Uint8Array, header = "") =>
  createHash(kind).update(header).update(bytes).digest("hex")

/** `repositories` by `datasets/owner/name` and `models/owner/name`. */
export const fakeHub = async (repositories: Readonly<Record<string, Repository>>, trouble: Trouble = {}) => {
  const asked: Array<{ readonly url: string; readonly range: string | undefined; readonly token: string | undefined }> =
    []
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    const url = decodeURIComponent(request.url!.split("?")[0]!)
    const { authorization: token, range } = request.headers
    asked.push({ url, range, token })
    const end = (status: number, body: unknown = { error: `status ${status}` }): void => {
      response.writeHead(status, { "content-type": "application/json", "retry-after": "0" }).end(JSON.stringify(body))
    }
    const ordered = trouble.status?.(url)
    if (ordered !== undefined) return end(ordered)
    const api = /^\/api\/((?:datasets|models)\/[^/]+\/[^/]+)\/(revision|tree)\/(.+)$/u.exec(url)
    const file = /^\/(datasets\/)?([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/u.exec(url)
    const repository = repositories[api?.[1] ?? `${file?.[1] ?? "models/"}${file?.[2]}`]
    if (repository === undefined) return end(401)
    if (repository.needsToken !== undefined && token !== `Bearer ${repository.needsToken}`) return end(401)
    const revision = api?.[3] ?? file![3]!
    const commit = repository.branches[revision] ?? revision
    const files = repository.commits[commit]
    if (files === undefined) return end(404)
    const bytesOf = (path: string) => Buffer.from(files[path]!)
    if (api?.[2] === "revision") return end(200, { _id: "1", id: "x", sha: commit, cardData: repository.card })
    if (api !== null) {
      return end(
        200,
        Object.keys(files).map((path) => {
          const bytes = bytesOf(path)
          const oid = sha("sha1", bytes, `blob ${bytes.length}\0`)
          const lfs = { oid: sha("sha256", bytes), size: bytes.length, pointerSize: 130 }
          return { type: "file", path, size: bytes.length, oid, ...(repository.large?.(path) === true ? { lfs } : {}) }
        })
      )
    }
    const path = file![4]!
    if (!Object.hasOwn(files, path)) return end(404)
    const whole = trouble.body?.(url, bytesOf(path)) ?? bytesOf(path)
    const from = Number(/bytes=(\d+)-/u.exec(range ?? "")?.[1] ?? 0)
    const bytes = whole.subarray(from)
    response.writeHead(from > 0 ? 206 : 200, {
      "content-length": bytes.length,
      etag: '"x"',
      ...(from > 0 ? { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` } : {})
    })
    const cut = trouble.cut?.(url)
    if (cut === undefined || cut >= bytes.length) return void response.end(bytes)
    response.write(bytes.subarray(0, cut), () => setTimeout(() => response.destroy(), 20))
  }
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}
