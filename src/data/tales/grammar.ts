import * as lexicon from "./lexicon.ts"

/**
 * The grammar of a sentence, full stop included, as data. A name with a capital is a rule; every other word stands for
 * itself. It is not recursive: the longest sentence has under 25 words. The writers' sentences all belong to it (a test
 * says so); the gold reward parses with it.
 */
export const grammar: Readonly<Record<string, ReadonlyArray<string>>> = {
  Sentence: ["Introduction .", "Weather .", "Clause .", "Link Clause ."],
  Introduction: ["Once was a Somebody", "Once was a Somebody Where"],
  Once: ["there", "once there"],
  Weather: [...lexicon.weather.happy, "the sky was blue", ...lexicon.weather.sad],
  Link: ["one day", "then", "soon", "so", "but", "at last", "that day"],
  Clause: [
    "Agent Predicate",
    "Agent Predicate and Predicate",
    "Agent Predicate because Agent Predicate",
    "the Thing was gone",
    "a friend helped the Character",
    "a friend came to the Place"
  ],
  Agent: ["the Character", "a Somebody", "he", "she"],
  Predicate: [
    "Finds a Something",
    "Finds a Something Where",
    "Handles the Thing",
    "broke the Breakable",
    "showed the Thing to a friend",
    "Uses",
    "Uses Where",
    "Goes to the Place",
    "sat Where",
    "went home",
    "Feels Feeling",
    "Feels very Feeling",
    "Does"
  ],
  Somebody: ["Character", "Looks Character"],
  Something: ["Thing", "Colour Thing"],
  Finds: ["had", "found", "saw", "made", "took", "wanted"],
  Handles: ["wanted", "loved", "liked", "lost", "dropped", "took", "played with", "looked at", "looked for"],
  Goes: ["went", "ran", "walked"],
  Feels: ["was", "felt"],
  Does: [...lexicon.does.happy, ...lexicon.does.sad],
  Where: ["in the In", "on the On", "by the By"],
  Place: Object.keys(lexicon.prepositions),
  In: Object.keys(lexicon.prepositions).filter((place) => lexicon.prepositions[place] === "in"),
  On: Object.keys(lexicon.prepositions).filter((place) => lexicon.prepositions[place] === "on"),
  By: Object.keys(lexicon.prepositions).filter((place) => lexicon.prepositions[place] === "by"),
  Uses: lexicon.things.map((thing) => `${lexicon.uses[thing]} the Thing:${thing}`),
  Character: lexicon.characters,
  Thing: lexicon.things,
  Breakable: lexicon.breakable,
  Looks: lexicon.looks,
  Colour: lexicon.colours,
  Feeling: [...lexicon.feelings.happy, ...lexicon.feelings.sad]
}

/** The length of the longest sentence of the grammar: a longer sentence is not parsed. */
export const longestSentence = 32
