export * from "../../src/testing/worlds.ts"
