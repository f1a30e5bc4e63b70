/** A process that makes the judged rows of a test, to be killed: `node judgeChild.ts URL STORE`. */
import { Effect } from "effect"
import { making } from "../interpreters/worldly.ts"
import { scoring, stored, world } from "./judging.ts"

const [url, at] = process.argv.slice(2) as [string, string]
await Effect.runPromise(making(scoring(url, { concurrency: 2 }), { world, store: await stored(at) }))
