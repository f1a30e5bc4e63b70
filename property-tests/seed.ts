/**
 * The seed of all properties: fixed, so that a failure comes from a change and not from the draw. `KEEL_SEED=7 npm test` draws other
 * examples, `KEEL_SEED=random` new ones each time; a failing property prints its own seed.
 */
import fc from "fast-check"

const asked = process.env["KEEL_SEED"] ?? "1"
if (asked !== "random") {
  const seed = Number(asked)
  if (!Number.isSafeInteger(seed)) throw new Error(`KEEL_SEED is "${asked}": give an integer or "random"`)
  fc.configureGlobal({ seed })
}
