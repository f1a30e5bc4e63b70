/** What is installed: every package pinned by content, by no machine's registry, and with a licence that can be shipped. */
import * as fc from "fast-check"
import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { audited } from "../audit.ts"
import { isPermissive, licencesOf, type Locked } from "../licences.ts"

const text = readFileSync(new URL("../../package-lock.json", import.meta.url), "utf8")
const { packages } = JSON.parse(text) as { readonly packages: Readonly<Record<string, Locked>> }
const installed = Object.entries(packages).filter(([path]) => path !== "")

describe("package-lock.json", () => {
  it("has the SHA-512 of every package", () => {
    assert.isAbove(installed.length, 100)
    const without = installed.filter(([, { integrity }]) => !/^sha512-[\w+/]{86}==$/u.test(integrity ?? ""))
    // Builds of the formatter for other systems, which the registry that the lock was made with did not have.
    const others = without.filter(([path, { dev, optional }]) =>
      path.startsWith("node_modules/@dprint/") && dev === true && optional === true
    )
    if (others.length > 0) console.warn(`skipped: ${others.length} builds of dprint for other systems have no checksum`)
    assert.deepStrictEqual(without.map(([path]) => path), others.map(([path]) => path))
    assert.isAtMost(others.length, 13)
  })

  it("names no registry but npm's own", () => {
    const hosts = installed.flatMap(([, { resolved }]) => resolved === undefined ? [] : [new URL(resolved).host])
    assert.deepStrictEqual([...new Set(hosts)].filter((host) => host !== "registry.npmjs.org"), [])
    assert.notMatch(text, /"resolved": "(?!https:\/\/registry\.npmjs\.org\/)/u)
  })
})

describe("the licences of what is shipped", () => {
  it("ask for no more than a notice", () => {
    const all = licencesOf(packages)
    assert.include(all.map(({ name }) => name), "effect")
    assert.notInclude(all.map(({ name }) => name), "vitest")
    assert.deepStrictEqual(all.filter(({ flagged }) => flagged), [])
  })

  it("are flagged when unknown or copyleft, in any expression", () => {
    const [fine, foul] = [["MIT", "ISC", "Apache-2.0"], [
      "GPL-3.0-only",
      "AGPL-3.0",
      "MPL-2.0",
      "UNLICENSED",
      "unknown"
    ]]
    const one = fc.record({ good: fc.constantFrom(...fine), bad: fc.constantFrom(...foul) })
    fc.assert(fc.property(one, ({ bad, good }) => {
      assert.isTrue(isPermissive(good))
      assert.isFalse(isPermissive(bad))
      assert.isTrue(isPermissive(`(${bad} OR ${good})`))
      assert.isFalse(isPermissive(`(${bad} AND ${good})`))
      assert.isFalse(isPermissive(`${bad} AND (${good} OR ${bad})`))
      const [licensed] = licencesOf({ "": {}, "node_modules/a": { license: bad }, "node_modules/b": { dev: true } })
      assert.deepInclude(licensed, { name: "a", licence: bad, flagged: true })
    }))
    assert.isTrue(licencesOf({ "node_modules/a": {} })[0]!.flagged)
  })
})

describe("npm audit", () => {
  it("fails on a vulnerability, and not on a registry that does not answer", () => {
    assert.strictEqual(audited('{"vulnerabilities":{}}').code, 0)
    assert.deepStrictEqual(audited('{"vulnerabilities":{"a":{"severity":"high","range":"<1"}}}'), {
      code: 1,
      text: "! a <1  high\n1 vulnerable packages: see npm audit"
    })
    for (const silent of ["", "<html>", '{"message":"request failed"}', '{"error":{"code":"ENOTFOUND"}}']) {
      assert.strictEqual(audited(silent).code, 0)
      assert.match(audited(silent).text, /^skipped: the registry does not answer/u)
    }
  })
})
