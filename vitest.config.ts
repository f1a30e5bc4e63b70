import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["property-tests/**/*.test.ts"],
    setupFiles: ["property-tests/seed.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000
  }
})
