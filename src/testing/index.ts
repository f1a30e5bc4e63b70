/**
 * `keel/testing`: property-test your own pipelines, stages, losses and rewards as Keel tests its own, with arbitraries
 * for fast-check (install it yourself: `npm i -D fast-check`) and laws as functions, for any test runner. A law throws
 * when it does not hold.
 *
 *     it("gradient", () =>
 *       laws.gradient(ragged(-3, 0, "logps"), ({ logps }) => logps, ({ offsets }, logps) => myLoss(logps, offsets)))
 */
export * as laws from "./laws/index.ts"
export { finiteDifferences, masks, numbers, ragged, rowOffsets } from "./arrays.ts"
export { capped } from "./pipelines/capped.ts"
export { type Drawn, type Options, pipelines, steps } from "./pipelines/pipelines.ts"
export { type Of, onShelf, pick, type Shelf, type ShelfPolicy, type ShelfStep, stocked } from "./pipelines/shelf.ts"
export { everyRow, randomPolicy, readGradient, worlds } from "./worlds.ts"
/** Exact quantities of weights in a tabular world, by enumeration. */
export * as exact from "../engine/tabular/exact.ts"
export { type World, world } from "../engine/tabular/world.ts"
