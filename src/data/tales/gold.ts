import { wordsOf } from "../rows.ts"
import { moodWords, pronouns } from "./lexicon.ts"
import { find, parse, type ParseTree, sentences } from "./parse.ts"
import { read, type Request } from "./request.ts"

/**
 * The gold reward of the built-in task, in points: how well a completion follows its prompt, judged by parsing it
 * with the grammar of the world. At best 5, never under −8; an empty completion gets −1.2. Training never sees it: the reward
 * model learns from labelers who see it through their own taste (`labeler.ts`).
 */
export interface Parts {
  /**
   * The requested character is the agent of two clauses or more, and acts in at least one of them: 1; of one clause: 0.6;
   * merely mentioned: 0.25. Every other character that acts: −0.25. In [−0.5, 1].
   */
  readonly subject: number
  /** The thing asked for is handled by a character in a well-formed clause: 1; merely mentioned: 0.3. */
  readonly object: number
  /** Different words of the right mood (three are enough) less words of the wrong mood, over 3. In [−1, 1]. */
  readonly mood: number
  /** A further request: the story has the place, or the number of sentences (off by one: 0.2). Free without a request. In [0, 0.5]. */
  readonly extra: number
  /**
   * Different well-formed sentences (three are enough), over 3, less 0.75 for every broken sentence, and as much again for
   * every twelve words of it. In [−2, 1].
   */
  readonly grammar: number
  /** −0.5 for every sentence said before, −0.1 for every three words in a row said before. In [−3, 0]. */
  readonly repetition: number
  /** Ends with `the end .` after at least one well-formed sentence: 0.5. */
  readonly ending: number
  /** −0.05 for every token over 48, −0.1 for every token under 12. In [−1.5, 0]. */
  readonly length: number
}

const clamp = (x: number, min: number, max: number): number => Math.min(max, Math.max(min, x))

/** The agent of a clause (a character) and whether it acts, not only feels. */
interface Act {
  readonly who: string
  readonly doing: boolean
}

interface Sentence {
  readonly words: ReadonlyArray<string>
  readonly acts: ReadonlyArray<Act>
  readonly handled: ReadonlyArray<string>
}

/** Parses the sentences in turn; a pronoun stands for the character named last and has to agree with it. */
const understand = (all: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<Sentence | undefined> => {
  let named: string | undefined
  return all.map((words) => {
    const tree = parse(words)
    if (tree === undefined) return undefined
    const acts: Array<Act> = []
    let last = named
    let agrees = true
    const visit = (node: ParseTree, agent: string | undefined): string | undefined => {
      const word = words[node.start]!
      if (node.rule === "Character") last = word
      if (node.rule === "Agent" && node.end === node.start + 1) {
        agrees &&= last !== undefined && pronouns[last] === word
        return last
      }
      if (node.rule === "Predicate" && agent !== undefined) {
        acts.push({ who: agent, doing: find(node, "Feels").length === 0 })
      }
      let current = agent
      for (const child of node.children) current = visit(child, current)
      return node.rule === "Agent" ? last : current
    }
    visit(tree, undefined)
    if (!agrees) return undefined
    named = last
    const handled = find(tree, "Predicate").flatMap((p) => [...find(p, "Thing"), ...find(p, "Breakable")])
    return { words, acts, handled: handled.map((node) => words[node.start]!) }
  })
}

const subjectPart = (who: string | undefined, words: ReadonlySet<string>, acts: ReadonlyArray<Act>): number => {
  const own = acts.filter((act) => act.who === who)
  const others = new Set(acts.filter((act) => act.who !== who).map((act) => act.who)).size
  const score = who === undefined || !words.has(who)
    ? 0
    : own.length === 0 || !own.some((act) => act.doing)
    ? 0.25
    : own.length === 1
    ? 0.6
    : 1
  return clamp(score - 0.25 * others, -0.5, 1)
}

const moodPart = (mood: Request["mood"] | undefined, said: ReadonlyArray<string>): number => {
  if (mood === undefined) return 0
  const matching = new Set(said.filter((word) => moodWords[mood].has(word))).size
  const clashing = said.filter((word) => moodWords[mood === "happy" ? "sad" : "happy"].has(word)).length
  return clamp((Math.min(3, matching) - clashing) / 3, -1, 1)
}

const extraPart = (asked: Partial<Request>, words: ReadonlySet<string>, count: number, well: number): number => {
  if (well === 0) return 0
  if (asked.place !== undefined) return words.has(asked.place) ? 0.5 : 0
  if (asked.sentences === undefined || asked.sentences === count) return 0.5
  return Math.abs(asked.sentences - count) === 1 ? 0.2 : 0
}

const repetitionPart = (all: ReadonlyArray<ReadonlyArray<string>>): number => {
  const told = new Map(all.map((words) => [words.join(" "), words]))
  const seen = new Set<string>()
  let again = 0
  for (const words of told.values()) {
    for (let i = 0; i + 3 < words.length; i++) {
      const three = `${words[i]} ${words[i + 1]} ${words[i + 2]}`
      if (seen.has(three)) again++
      seen.add(three)
    }
  }
  return 0 - Math.min(3, 0.5 * (all.length - told.size) + 0.1 * again)
}

/** The parts of the gold reward. Pure and total: any two strings get finite numbers. */
export const parts = (prompt: string, completion: string): Parts => {
  const asked = read(prompt)
  const all = wordsOf(completion)
  const ended = all.slice(-3).join(" ") === "the end ." && (all.length === 3 || all.at(-4) === ".")
  const told = sentences(ended ? all.slice(0, -3) : all)
  const understood = understand(told)
  const seen = new Set<string>()
  const well = understood.filter((sentence): sentence is Sentence => {
    if (sentence === undefined || seen.has(sentence.words.join(" "))) return false
    seen.add(sentence.words.join(" "))
    return true
  })
  const broken = told.filter((_, i) => understood[i] === undefined)
  const said = well.flatMap((sentence) => sentence.words)
  const words = new Set(said)
  const object = asked.object
  return {
    subject: subjectPart(asked.subject, words, well.flatMap((sentence) => sentence.acts)),
    object: object === undefined
      ? 0
      : well.some((sentence) => sentence.handled.includes(object))
      ? 1
      : words.has(object)
      ? 0.3
      : 0,
    mood: moodPart(asked.mood, said),
    extra: extraPart(asked, words, told.length, well.length),
    grammar: clamp(
      Math.min(3, well.length) / 3 -
        0.75 * broken.reduce((sum, sentence) => sum + 1 + Math.floor(sentence.length / 12), 0),
      -2,
      1
    ),
    repetition: repetitionPart(told),
    ending: ended && well.length > 0 ? 0.5 : 0,
    length: 0 - Math.min(1.5, 0.05 * Math.max(0, all.length - 48) + 0.1 * Math.max(0, 12 - all.length))
  }
}

/** The gold reward of a completion, in points: the sum of its parts. In [−8, 5]. */
export const tales = (prompt: string, completion: string): number =>
  Object.values(parts(prompt, completion)).reduce((sum: number, part: number) => sum + part, 0)
