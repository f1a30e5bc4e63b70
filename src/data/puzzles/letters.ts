import type { Task } from "./task.ts"

const alphabet = [..."abcdefghij"]

/** Letters of a word. */
const length = 6

/** How often a letter occurs in a word of six letters, counted aloud: `b 0 a 1 n 1 a 2 n 2 a 3 so 3`. */
export const letters: Task = {
  words: [...alphabet, ...Array.from({ length: length + 1 }, (_, n) => `${n}`), ..."how many in so , : ?".split(" ")],
  puzzle: (random) => {
    // Words of few different letters, so that there is something to count.
    const pool = Array.from({ length: 2 + random.int(4) }, () => alphabet[random.int(alphabet.length)]!)
    const word = Array.from({ length }, () => pool[random.int(pool.length)]!)
    const letter = random.next() < 0.85 ? word[random.int(length)]! : alphabet[random.int(alphabet.length)]!
    const spelled = `${letter} in ${word.join(" , ")}`
    return {
      held: word.reduce((sum, one) => (31 * sum + alphabet.indexOf(one)) % 1009, 7) % 6 === 5,
      asked: `how many ${spelled} ?`,
      told: spelled,
      columns: { word: word.join(""), letter },
      answer: (random, right) => {
        const slip = right ? -1 : random.int(length)
        let n = 0
        const counted = word.map((one, i) => {
          if ((one === letter) !== (i === slip)) n++
          return `${one} ${n}`
        })
        return `${counted.join(" ")} so ${n}`
      }
    }
  }
}
