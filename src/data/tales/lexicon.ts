/**
 * The words of the world of the tales: eight characters, eight things, nine places, two moods. Everything else about
 * the task (grammar, instructions, writers, the gold reward) is said in terms of this file.
 */

export type Mood = "happy" | "sad"
export const moods: ReadonlyArray<Mood> = ["happy", "sad"]

/** Every character has a fixed pronoun, so that agreement can be learnt and checked. */
export const pronouns: Readonly<Record<string, "he" | "she">> = {
  dog: "he",
  cat: "she",
  bird: "she",
  fox: "he",
  duck: "she",
  girl: "she",
  boy: "he",
  king: "he"
}
export const characters: ReadonlyArray<string> = Object.keys(pronouns)

/** Every thing, and the verbs that a character does with it (a drum is not eaten). */
export const uses: Readonly<Record<string, string>> = {
  ball: "kicked",
  hat: "wore",
  kite: "flew",
  cake: "ate",
  boat: "sailed",
  box: "opened",
  drum: "hit",
  bell: "rang"
}
export const things: ReadonlyArray<string> = Object.keys(uses)

/** Things that can break. */
export const breakable: ReadonlyArray<string> = ["hat", "kite", "boat", "box", "drum", "bell"]

/** Every place, and the preposition that goes with it. */
export const prepositions: Readonly<Record<string, string>> = {
  park: "in",
  forest: "in",
  garden: "in",
  house: "in",
  beach: "on",
  farm: "on",
  hill: "on",
  river: "by",
  lake: "by"
}
export const places: ReadonlyArray<string> = Object.keys(prepositions)

export const looks: ReadonlyArray<string> = ["little", "big", "young", "brave", "small"]
export const colours: ReadonlyArray<string> = ["red", "blue", "green", "big", "new", "small"]
export const feelings: Readonly<Record<Mood, ReadonlyArray<string>>> = {
  happy: ["happy", "glad", "proud"],
  sad: ["sad", "lonely", "upset"]
}

export const weather: Readonly<Record<Mood, ReadonlyArray<string>>> = {
  happy: ["the sun was warm", "the day was bright"],
  sad: ["the rain was cold", "the sky was dark", "the wind was cold"]
}
/** The acts of a character when all goes well or badly, without a thing. */
export const does: Readonly<Record<Mood, ReadonlyArray<string>>> = {
  happy: ["smiled", "laughed", "danced", "sang a song", "jumped for joy"],
  sad: ["cried", "cried big tears", "sighed", "sat alone", "went home alone"]
}

/** The words that carry a mood; the gold reward counts them in well-formed sentences, the labelers count them anywhere. */
export const moodWords: Readonly<Record<Mood, ReadonlySet<string>>> = {
  happy: new Set([
    "happy",
    "glad",
    "proud",
    "smiled",
    "laughed",
    "danced",
    "sang",
    "joy",
    "played",
    "loved",
    "warm",
    "bright",
    "helped"
  ]),
  sad: new Set([
    "sad",
    "lonely",
    "upset",
    "cried",
    "sighed",
    "alone",
    "lost",
    "broke",
    "dropped",
    "cold",
    "dark",
    "gone",
    "tears"
  ])
}

/** Sentence counts that an instruction may ask for. */
export const counts: Readonly<Record<string, number>> = { three: 3, four: 4, five: 5 }

/** `in the park`, `by the lake`. */
export const where = (place: string): string => `${prepositions[place]} the ${place}`
