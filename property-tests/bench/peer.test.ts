import { Deferred, Effect, Exit, Fiber, Scope } from "effect"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"
import { numberOf, type Peer, PeerFailed, startPeer } from "../../src/bench/peer.ts"

const script = fileURLToPath(new URL("fakePeer.mjs", import.meta.url))
const withPeer = <A, E>(use: (peer: Peer) => Effect.Effect<A, E>): Promise<A> =>
  Effect.runPromise(Effect.scoped(Effect.flatMap(startPeer("fake", process.execPath, [script]), use)))

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

const problemOf = (effect: Effect.Effect<unknown, PeerFailed>) =>
  Effect.map(Effect.flip(effect), (error) => error.message)

describe("a peer", () => {
  it("answers one request after the other in one process", async () => {
    const answers = await withPeer((peer) =>
      Effect.forEach([1, 2, 3], (x) => peer.request({ do: "echo", x, text: "a\nb ü" }))
    )
    assert.deepStrictEqual(answers.map(({ x }) => x), [1, 2, 3])
    assert.strictEqual(answers[0]!["text"], "a\nb ü")
    assert.lengthOf(new Set(answers.map(({ pid }) => pid)), 1)
  })

  it("that ends fails with the last thing it said, then and ever after", async () => {
    const [first, second] = await withPeer((peer) =>
      Effect.all([problemOf(peer.request({ do: "end" })), problemOf(peer.request({ do: "echo" }))])
    )
    assert.strictEqual(first, "peer fake: it ended (3): RuntimeError: out of memory")
    assert.strictEqual(second, first)
  })

  it("that says something else on stdout fails", async () => {
    const problem = await withPeer((peer) => problemOf(peer.request({ do: "noise" })))
    assert.strictEqual(problem, 'peer fake: "Downloading: 100 %" is no answer')
  })

  it("that cannot be started fails when it is asked", async () => {
    const problem = await Effect.runPromise(
      Effect.scoped(
        Effect.flatMap(startPeer("none", "no-such-program-here", []), (peer) => problemOf(peer.request({})))
      )
    )
    assert.match(problem, /^peer none: .*ENOENT/)
  })

  it("whose answer lacks the number fails", async () => {
    const problem = await withPeer((peer) =>
      problemOf(
        Effect.flatMap(peer.request({ do: "echo", seconds: "1" }), (answer) => numberOf("fake", answer, "seconds"))
      )
    )
    assert.match(problem, /no number seconds/)
  })

  it("is killed with its scope, even when it hears no signal and owes an answer", async () => {
    const scope = Scope.makeUnsafe()
    const peer = await Effect.runPromise(Scope.provide(startPeer("fake", process.execPath, [script]), scope))
    const { pid } = await Effect.runPromise(peer.request({ do: "deaf" })) as { readonly pid: number }
    assert.isTrue(alive(pid))
    const waiting = Effect.runFork(Effect.exit(peer.request({ do: "nothing" })))
    await Effect.runPromise(Effect.yieldNow)
    await Effect.runPromise(Scope.close(scope, Exit.void))
    assert.isFalse(alive(pid))
    assert.isTrue(Exit.isFailure(await Effect.runPromise(Fiber.join(waiting))))
  })

  it("leaves nothing behind when its user is interrupted", async () => {
    const started = Deferred.makeUnsafe<number>()
    const fiber = Effect.runFork(Effect.scoped(Effect.gen(function*() {
      const peer = yield* startPeer("fake", process.execPath, [script])
      yield* Deferred.succeed(started, Number((yield* peer.request({ do: "echo" }))["pid"]))
      yield* peer.request({ do: "nothing" })
    })))
    const pid = await Effect.runPromise(Deferred.await(started))
    assert.isTrue(alive(pid))
    await Effect.runPromise(Fiber.interrupt(fiber))
    assert.isFalse(alive(pid))
  })
})
