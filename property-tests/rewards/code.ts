/** Problems as HumanEval and MBPP have them, each with right and wrong completions. */
import type { Columns } from "../../src/data/rows.ts"

export interface Problem {
  readonly prompt: string
  readonly columns: Columns
  readonly right: ReadonlyArray<string>
  readonly wrong: ReadonlyArray<string>
}

const fenced = (code: string, language = "python"): string =>
  `Here it is.\n\n\`\`\`${language}\n${code}\n\`\`\`\nIt works.`
const unit = (test: string, entry_point: string): Columns => ({ test, entry_point })

export const python: ReadonlyArray<Problem> = [
  {
    // A word, which is a program too, and none that is meant.
    prompt: "add",
    columns: { test_list: ["assert add(1, 2) == 3"] },
    right: ["def add(a, b): return a + b"],
    wrong: ["def add(a, b): return a - b"]
  },
  {
    prompt:
      `from typing import List\n\n\ndef close(numbers: List[float], threshold: float) -> bool:\n    """ Are any two closer than threshold?\n    >>> close([1.0, 2.0], 0.5)\n    False\n    """\n`,
    columns: unit(
      `METADATA = {}\n\ndef check(candidate):\n    assert candidate([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.3) == True\n    assert candidate([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.05) == False\n`,
      "close"
    ),
    right: [
      `    return any(abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[i + 1:])\n`,
      fenced(
        `def close(numbers: List[float], threshold: float) -> bool:\n    s = sorted(numbers)\n    print(s)\n    return any(b - a < threshold for a, b in zip(s, s[1:]))\n\nif __name__ == "__main__":\n    assert False`
      ),
      fenced("import broken") + fenced(`close = lambda n, t: min(b - a for a, b in zip(sorted(n), sorted(n)[1:])) < t`)
    ],
    wrong: [
      `    return True\n`,
      `    return False`,
      `    return any(abs(a - b) < threshold for a in numbers`,
      fenced("def close(numbers, threshold):\n    return None"),
      "I do not know."
    ]
  },
  {
    prompt:
      `import math\n\n\ndef poly(xs: list, x: float):\n    """ Value of the polynomial. """\n    return sum([c * math.pow(x, i) for i, c in enumerate(xs)])\n\n\ndef find_zero(xs: list):\n    """ A zero of the polynomial. """\n`,
    columns: unit(
      `def check(candidate):\n    import math\n    for xs in ([1, 2], [-6, 11, -6, 1], [3.0, 1.5]):\n        assert math.fabs(poly(xs, candidate(list(xs)))) < 1e-4\n`,
      "find_zero"
    ),
    right: [
      `    a, b = -1.0, 1.0\n    while poly(xs, a) * poly(xs, b) > 0:\n        a, b = 2 * a, 2 * b\n    while b - a > 1e-10:\n        m = (a + b) / 2\n        if poly(xs, a) * poly(xs, m) > 0:\n            a = m\n        else:\n            b = m\n    return a\n`
    ],
    wrong: [`    return 0.0\n`, `    poly.__code__ = (lambda xs, x: 0).__code__\n    return 0.0\n`]
  },
  {
    prompt: `def flip(pairs):\n    """ Swaps each pair, as tuples. """\n`,
    columns: unit(
      `def check(candidate):\n    assert candidate([(1, "a"), (2, "b")]) == [("a", 1), ("b", 2)]\n    assert candidate([]) == []\n`,
      "flip"
    ),
    right: [
      `    return [(b, a) for a, b in pairs]`,
      fenced(
        `from collections import namedtuple\nPair = namedtuple("Pair", "a b")\ndef flip(pairs):\n    return [Pair(b, a) for a, b in pairs]`
      )
    ],
    wrong: [`    return [[b, a] for a, b in pairs]`, `    return ((b, a) for a, b in pairs)`]
  },
  {
    prompt: `def rotate(matrix):\n    """ Turns the matrix by 90 degrees in place. """\n`,
    columns: {
      test_list: [
        "m = [[1, 2], [3, 4]]\nassert rotate(m) is None\nassert m == [[3, 1], [4, 2]]",
        "m = [[5]]\nrotate(m)\nassert m == [[5]]"
      ]
    },
    right: [`    matrix[:] = [list(row) for row in zip(*matrix[::-1])]`],
    wrong: [`    return [list(row) for row in zip(*matrix[::-1])]`, `    matrix.reverse()`]
  },
  {
    prompt: "Write a function that applies f to each number and counts the results.",
    columns: {
      test_imports: ["from collections import Counter", "import math"],
      test_setup_code: "calls = []\ndef half(x):\n    calls.append(x)\n    return x // 2",
      test_list: [
        "assert tally(half, [1, 2, 3]) == Counter({1: 2, 0: 1}) and calls == [1, 2, 3]",
        "assert tally(math.floor, [0.5]) == {0: 1}",
        "assert tally(str, [7]) == {'7': 1}"
      ]
    },
    right: [
      fenced(`import collections\ndef tally(f, xs):\n    return collections.Counter(map(f, xs))`),
      fenced(
        `def tally(f, xs):\n    made = {}\n    for x in xs:\n        y = f(x)\n        made[y] = made.get(y, 0) + 1\n    return made`
      )
    ],
    wrong: [fenced(`def tally(f, xs):\n    return {}`), fenced(`def tally(f, xs):\n    return f.__globals__`)]
  },
  {
    prompt: "A stack that raises its own error when it is empty.",
    columns: {
      test:
        `s = Stack()\ns.push(3)\ns.push("é")\nassert len(s) == 2\nassert [one for one in s] == [3, "é"]\nassert s.pop() == "é" and s.top == 3\nassert isinstance(s, Stack) and not isinstance(3, Stack)\ns.pop()\ntry:\n    s.pop()\n    assert False\nexcept Empty as error:\n    assert str(error) == "empty"\nassert s == Stack() and s != 3`
    },
    right: [
      fenced(
        `class Empty(LookupError):\n    pass\n\nclass Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, x):\n        self.items.append(x)\n    def pop(self):\n        if not self.items:\n            raise Empty("empty")\n        return self.items.pop()\n    @property\n    def top(self):\n        return self.items[-1]\n    def __len__(self):\n        return len(self.items)\n    def __iter__(self):\n        return iter(self.items)\n    def __eq__(self, other):\n        return isinstance(other, Stack) and self.items == other.items`
      )
    ],
    wrong: [
      fenced(`class Empty(Exception): pass\nclass Stack(list):\n    def push(self, x): self.append(x)\n    top = 3`),
      fenced(`class Stack:\n    pass`)
    ]
  },
  {
    prompt: "Fibonacci numbers, one after the other.",
    columns: {
      tests:
        `from solution import fib\nimport itertools\n\ndef test_first():\n    assert list(itertools.islice(fib(), 5)) == [0, 1, 1, 2, 3]\n\nclass TestMore:\n    def test_far(self):\n        assert next(itertools.islice(fib(), 90, None)) == 2880067194370816120\n`
    },
    right: [fenced(`def fib():\n    a, b = 0, 1\n    while True:\n        yield a\n        a, b = b, a + b`)],
    wrong: [fenced(`def fib():\n    yield from [0, 1, 1, 2, 3]`), fenced(`def fib():\n    return [0, 1, 1, 2, 3]`)]
  },
  {
    prompt: "The mean of numbers; ValueError of none.",
    columns: {
      tests:
        `import unittest\nfrom solution import mean\n\nclass TestMean(unittest.TestCase):\n    def test_mean(self):\n        self.assertAlmostEqual(mean([0.1, 0.2]), 0.15)\n    def test_none(self):\n        with self.assertRaises(ValueError):\n            mean([])\n\nif __name__ == "__main__":\n    unittest.main()\n`
    },
    right: [fenced(`def mean(xs):\n    if not xs:\n        raise ValueError("none")\n    return sum(xs) / len(xs)`)],
    wrong: [fenced(`def mean(xs):\n    return sum(xs) / len(xs)`), fenced(`def mean(xs):\n    raise ValueError`)]
  },
  {
    prompt: "Read n and n numbers, print their sum and the largest.",
    columns: { inputs: ["3\n1 2 3\n", "1\n-5\n"], outputs: ["6\n3\n", "-5\n-5"] },
    right: [
      fenced(
        `n = int(input())\nxs = list(map(int, input().split()))\nprint(sum(xs))\nprint(max(xs), end="   \\n\\n")\nexit()`
      ),
      fenced(
        `import sys\nn, *xs = map(int, open("/dev/stdin").read().split())\nif __name__ == "__main__":\n    sys.stdout.write(f"{sum(xs)}\\n{max(xs)}")`
      )
    ],
    wrong: [
      fenced(`print(6)\nprint(3)`),
      fenced(`n = int(input())\nxs = list(map(int, input().split()))\nprint(sum(xs), max(xs))`),
      fenced(`n = int(input())\nxs = list(map(int, input().split()))\nprint(sum(xs))\nprint(max(xs))\nexit(1)`)
    ]
  },
  {
    prompt: "",
    columns: { input_output: JSON.stringify({ inputs: ["2\n"], outputs: ["4\n"] }) },
    right: [fenced(`print(int(input()) ** 2)`)],
    wrong: [fenced(`print(int(input()) ** 3)`)]
  }
]

export const javascript: ReadonlyArray<Problem> = [
  {
    prompt: `// Sum of the even numbers.\nfunction evens(xs) {\n`,
    columns: {
      language: "javascript",
      entry_point: "evens",
      test:
        `const assert = require("node:assert")\nfunction test() {\n  let candidate = evens\n  assert.deepEqual(candidate([1, 2, 4]), 6)\n  assert.deepEqual(candidate([]), 0)\n}\ntest()`
    },
    right: [
      `  return xs.filter((x) => x % 2 === 0).reduce((a, b) => a + b, 0)\n}\n`,
      fenced(`const evens = (xs) => { total = 0; for (const x of xs) if (!(x & 1)) total += x; return total }`, "js"),
      fenced(`export default function evens(xs) {\n  return xs.reduce((a, x) => x % 2 ? a : a + x, 0)\n}`, "js"),
      fenced(`module.exports = { evens: (xs) => xs.reduce((a, x) => x % 2 ? a : a + x, 0) }`, "js")
    ],
    wrong: [`  return 6\n}\n`, `  return xs.length`, fenced(`const other = 1`, "js")]
  },
  {
    prompt: "A counter of words, and a promise of it.",
    columns: {
      language: "ts",
      test_list: [
        `const assert = require("assert"); assert.deepStrictEqual(count("a b a"), new Map([["a", 2], ["b", 1]]))`,
        `require("assert").deepStrictEqual(await later("x"), new Map([["x", 1]]))`,
        `require("assert").throws(() => count(null), TypeError)`,
        `const c = new Counter(2); c.add(); if (c.value !== 3 || !(c instanceof Counter)) throw new Error("no")`
      ]
    },
    right: [
      fenced(
        `export function count(text: string): Map<string, number> {\n  const made = new Map<string, number>()\n  for (const word of text.split(" ")) made.set(word, (made.get(word) ?? 0) + 1)\n  return made\n}\nexport const later = async (text: string) => count(text)\nexport class Counter { constructor(public value: number) {}\n  add(): void { this.value++ } }`,
        "ts"
      )
    ],
    wrong: [
      fenced(`const count = (text: string) => ({})`, "ts"),
      fenced(`export function count(text: string) { return new Map([["a", 2], ["b", 1]]) }`, "ts")
    ]
  },
  {
    prompt: "",
    columns: { language: "javascript", inputs: ["3\n"], outputs: ["6\n"] },
    right: [
      fenced(`const n = Number(require("fs").readFileSync("/dev/stdin", "utf8")); console.log(n * 2)`, "js"),
      fenced(
        `require("readline").createInterface({ input: process.stdin }).on("line", (l) => console.log(l * 2))`,
        "js"
      ),
      fenced(`import { readFileSync } from "fs"\nconsole.log(2 * readFileSync(0, "utf8"))`, "js")
    ],
    wrong: [fenced(`console.log(7)`, "js")]
  }
]
