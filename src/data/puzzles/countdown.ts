import type { Task } from "./task.ts"

const largest = 9

/** Three numbers from 1 to 9 in their order, with + and −: `make 8 of 9 , 3 , 2 ?`, answered by `9 - 3 + 2`. */
export const countdown: Task = {
  words: [...Array.from({ length: 3 * largest + 1 }, (_, n) => `${n}`), ..."make of + - , : ?".split(" ")],
  puzzle: (random) => {
    const sign = () => random.next() < 0.5 ? 1 : -1
    for (;;) {
      const [a, b, c] = [1, 2, 3].map(() => 1 + random.int(largest)) as [number, number, number]
      const target = a + sign() * b + sign() * c
      if (target < 0) continue
      const given = `${target} of ${a} , ${b} , ${c}`
      return {
        // Scattered: a rule of the sum would teach what never occurs.
        held: (Math.imul(81 * a + 9 * b + c, 0x9e3779b1) >>> 16) % 6 === 5,
        asked: `make ${given} ?`,
        told: given,
        columns: { numbers: [a, b, c], target },
        answer: (random, right) => {
          const ways = [1, -1].flatMap((one) => [1, -1].map((two) => [one, two] as const))
            .filter(([one, two]) => (a + one * b + two * c === target) === right)
          const [one, two] = ways[random.int(ways.length)]!
          return `${a} ${one > 0 ? "+" : "-"} ${b} ${two > 0 ? "+" : "-"} ${c}`
        }
      }
    }
  }
}
