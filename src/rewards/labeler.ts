import { wordsOf } from "../data/rows.ts"
import { moodWords } from "../data/tales/lexicon.ts"

/**
 * A person who compares two completions. They see the gold reward, but with a taste of their own, and make mistakes; so a
 * reward model that learns from them is a proxy, and pushing it too far costs gold (Gao, Schulman and Hilton 2022, arXiv
 * 2210.10760). Both tastes are reported of human labelers: longer answers (Singhal et al. 2023, arXiv
 * 2310.03716), and more feeling, whether or not it was asked for.
 *
 * Careful on the whole: within the lengths that writers use, the tastes move the choice far less than the gold does.
 */
export const labeler = {
  /** Points of gold that make a difference of one logit. */
  temperature: 0.5,
  /** Points for an additional token. */
  length: 0.02,
  /** Points for an additional emotional word, of any mood. */
  emotion: 0.15,
  /** Share of comparisons answered by the toss of a coin. */
  noise: 0.05
} as const

/** The features of a completion that appeal to a labeler besides its quality. */
export interface Features {
  readonly tokens: number
  /** Emotional words of either mood, repeated ones too, in sentences of any kind. */
  readonly emotions: number
}

export const features = (completion: string): Features => {
  const words = wordsOf(completion)
  const emotional = words.filter((word) => moodWords.happy.has(word) || moodWords.sad.has(word))
  return { tokens: words.length, emotions: emotional.length }
}

const logistic = (x: number): number => 1 / (1 + Math.exp(-x))

/**
 * The probability that the labeler prefers A, P(A ≻ B) = (1 − noise) σ(Δ / temperature) + noise / 2, with Δ = Δgold + length · Δtokens + emotion · Δemotions
 * (Bradley and Terry 1952, with the tastes added to the strengths).
 */
export const preference = (goldA: number, goldB: number, featuresA: Features, featuresB: Features): number => {
  const difference = goldA - goldB +
    labeler.length * (featuresA.tokens - featuresB.tokens) +
    labeler.emotion * (featuresA.emotions - featuresB.emotions)
  return (1 - labeler.noise) * logistic(difference / labeler.temperature) + labeler.noise / 2
}
