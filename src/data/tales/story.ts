import { type Random, stream } from "../../sampling/random.ts"
import {
  breakable,
  characters,
  colours,
  does,
  feelings,
  looks,
  type Mood,
  moods,
  places,
  pronouns,
  things,
  uses,
  weather,
  where
} from "./lexicon.ts"
import type { Request } from "./request.ts"

/** The writers of the demonstrations: fluent, and half listening. Imitating them well is not the same as doing well. */
export const mediocre = {
  subject: 0.8,
  object: 0.65,
  mood: 0.6,
  place: 0.5,
  sentences: 0.5,
  /** Ends with `the end .` */
  ending: 0.75,
  /** Every sentence belongs to the grammar. */
  grammar: 0.95,
  /** Repeats no sentence. */
  fresh: 0.85
}

/** How likely a writer is to do each thing that is asked of them. */
export type Skill = Readonly<typeof mediocre>

/** Does everything that is asked, always. */
export const perfect: Skill = {
  subject: 1,
  object: 1,
  mood: 1,
  place: 1,
  sentences: 1,
  ending: 1,
  grammar: 1,
  fresh: 1
}

const pick = <A>(random: Random, from: ReadonlyArray<A>): A => from[random.int(from.length)]!
const other = <A>(random: Random, from: ReadonlyArray<A>, than: A): A => pick(random, from.filter((a) => a !== than))

/** The plan of a writer: character, thing, place, and the mood of each sentence. */
interface Scene {
  readonly who: string
  readonly thing: string
  readonly place: string
  readonly mood: () => Mood
}

/** The acts of a character with the thing when all goes well or badly. */
const handles = ({ thing }: Scene, mood: Mood): ReadonlyArray<string> =>
  mood === "happy"
    ? [
      `played with the ${thing}`,
      `loved the ${thing}`,
      `liked the ${thing}`,
      `showed the ${thing} to a friend`,
      `${uses[thing]} the ${thing}`
    ]
    : [
      `lost the ${thing}`,
      `dropped the ${thing}`,
      `looked for the ${thing}`,
      ...breakable.includes(thing) ? [`broke the ${thing}`] : []
    ]

/** Takes each choice once, so that no sentence is repeated. */
const freshly = (random: Random) => {
  const said = new Set<string>()
  return (from: ReadonlyArray<string>): string => {
    const left = from.filter((words) => !said.has(words))
    const words = pick(random, left.length === 0 ? from : left)
    said.add(words)
    return words
  }
}

/** The sentences of a story, without `the end .`; all of them belong to the grammar. `extra`: the place has to be named. */
const sentencesOf = (random: Random, scene: Scene, count: number, extra: boolean): Array<string> => {
  const { place, thing, who } = scene
  const choose = freshly(random)
  const agent = () => random.next() < 0.5 ? `the ${who}` : pronouns[who]!
  const feels = (mood: Mood) =>
    `${pick(random, ["was", "felt"])} ${random.next() < 0.3 ? "very " : ""}${choose(feelings[mood])}`
  const somebody = random.next() < 0.5 ? who : `${pick(random, looks)} ${who}`
  const something = random.next() < 0.5 ? thing : `${pick(random, colours)} ${thing}`
  const found = `${pick(random, ["had", "found", "saw", "made", "took", "wanted"])} a ${something}`
  const setting = extra || random.next() < 0.3

  const went = random.next() < 0.3
  const opening = went
    ? `one day a ${somebody} went to the ${place}`
    : `${pick(random, ["there", "once there"])} was a ${somebody}${setting ? ` ${where(place)}` : ""}`
  const link = went || random.next() < 0.4 ? "" : pick(random, ["one day ", "that day "])
  const getting = `${link}${agent()} ${found}`

  const middles: ReadonlyArray<(mood: Mood) => string> = [
    (mood) => choose(weather[mood]),
    (mood) =>
      `${pick(random, ["", "then ", "soon "])}${agent()} ${choose(handles(scene, mood))} and ${choose(does[mood])}`,
    (mood) => `${pick(random, ["", "then ", "soon "])}${agent()} ${choose(handles(scene, mood))}`,
    (mood) =>
      mood === "happy"
        ? choose([`a friend helped the ${who}`, `a friend came to the ${place}`])
        : choose([`the ${thing} was gone`]),
    (mood) =>
      `${pick(random, ["", "so "])}${agent()} ${choose([`ran to the ${place}`, `walked to the ${place}`])} and ${
        choose(does[mood])
      }`
  ]
  const closings: ReadonlyArray<(mood: Mood) => string> = [
    (mood) => `${pick(random, ["at last ", "so ", ""])}${agent()} ${feels(mood)}`,
    (mood) => `${pick(random, ["at last ", "so ", ""])}${agent()} ${feels(mood)} and ${choose(does[mood])}`,
    (mood) => `${agent()} ${feels(mood)} because ${pronouns[who]} ${choose(handles(scene, mood))}`,
    (mood) => `${pick(random, ["at last ", ""])}${agent()} ${choose(does[mood])} and ${feels(mood)}`
  ]

  if (count <= 2) {
    return [`one day a ${somebody} ${found}${extra ? ` ${where(place)}` : ""}`, pick(random, closings)(scene.mood())]
  }
  // Something is always done with the thing; the other middles come in any order, each at most once.
  const doing = middles[1 + random.int(2)]!
  const rest = random.shuffle(middles.filter((m) => m !== doing)).slice(0, Math.max(0, count - 4))
  const middle = count === 3 ? [] : random.shuffle([doing, ...rest])
  return [
    opening,
    getting,
    ...middle.map((m) => m(scene.mood())),
    pick(random, closings)(scene.mood())
  ]
}

/** A slip of the pen in a sentence: a word left out, said twice, in the wrong place, or the wrong pronoun. */
const slip = (random: Random, sentence: string): string => {
  const words = sentence.split(" ")
  const at = random.int(words.length - 1)
  const kind = random.int(4)
  if (kind === 0) return words.toSpliced(at, 1).join(" ")
  if (kind === 1) return words.toSpliced(at, 0, words[at]!).join(" ")
  if (kind === 2) return words.toSpliced(at, 2, words[at + 1]!, words[at]!).join(" ")
  const wrong: Readonly<Record<string, string>> = { he: "she", she: "he", the: "a", a: "the" }
  const swapped = words.findIndex((word) => Object.hasOwn(wrong, word))
  return swapped < 0 ? words.toSpliced(at, 1).join(" ") : words.with(swapped, wrong[words[swapped]!]!).join(" ")
}

/** A story that answers a request as well as the writer can, tokens separated by spaces. */
export const write = (random: Random, request: Request, skill: Skill): string => {
  const does = (part: keyof Skill) => random.next() < skill[part]
  const who = does("subject") ? request.subject : other(random, characters, request.subject)
  const thing = does("object") ? request.object : other(random, things, request.object)
  const placed = request.place !== undefined && does("place")
  const place = placed ? request.place : pick(random, places)
  const wanted = request.sentences ?? 3 + random.int(2)
  const count = does("sentences") ? wanted : 3 + random.int(2)
  // Who does not get the mood right is as often of two minds as of the wrong one.
  const opposite = request.mood === "happy" ? "sad" : "happy"
  const minds = does("mood") ? 0 : 1 + random.int(2)
  const mood = (): Mood => minds === 0 ? request.mood : minds === 1 ? opposite : pick(random, moods)

  let story = sentencesOf(random, { who, thing, place, mood }, count, placed)
  if (!does("fresh")) {
    const at = 1 + random.int(story.length - 1)
    story = story.toSpliced(at + random.int(2), 0, story[at]!)
  }
  if (!does("grammar")) {
    const at = random.int(story.length)
    story = story.with(at, slip(random, story[at]!))
  }
  return [...story, ...does("ending") ? ["the end"] : []].map((sentence) => `${sentence} .`).join(" ")
}

/** A request at random: something about a place or a number of sentences in half of them. */
export const wish = (key: string): Request => {
  const random = stream(key)
  const request = { mood: pick(random, moods), subject: pick(random, characters), object: pick(random, things) }
  const extra = random.next()
  if (extra < 0.3) return { ...request, place: pick(random, places) }
  return extra < 0.5 ? { ...request, sentences: 3 + random.int(3) } : request
}
