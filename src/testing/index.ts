/**
 * `keel/testing`: property-test your own pipelines, stages, losses and rewards as Keel tests its own. Arbitraries for fast-check,
 * which you install yourself (an optional peer dependency: `npm i -D fast-check`), and the laws as functions. They throw when
 * they do not hold, so any test runner will do.
 *
 *     it("gradient", () => laws.gradient(ragged(-3, 0, "logps"), ({ logps }) => logps, ({ offsets }, logps) => myLoss(logps, offsets)))
 */
export * as laws from "./laws/index.ts"
export { finiteDifferences, masks, numbers, ragged, rowOffsets } from "./arrays.ts"
export { capped } from "./pipelines/capped.ts"
export { type Drawn, type Options, pipelines, steps } from "./pipelines/pipelines.ts"
export { type Of, onShelf, pick, type Shelf, type ShelfPolicy, type ShelfStep, stocked } from "./pipelines/shelf.ts"
export { everyRow, randomPolicy, readGradient, worlds } from "./worlds.ts"
/** What is exactly true of weights in a tabular world, by enumeration. */
export * as exact from "../engine/tabular/exact.ts"
export { type World, world } from "../engine/tabular/world.ts"
