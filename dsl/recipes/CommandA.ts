/**
 * Command A, 111B (Cohere 2025, arXiv 2504.00698, §3): an instruct model; six experts by SFT from it, merged; six experts by reinforcement
 * learning or preferences from the merge, merged again; then polish: SFT on the best of four, and offline preferences and online CoPG in
 * ping-pong. All merges are linear.
 *
 * Differences: the weights of the merges were searched by hand and are not reported: they are equal here. SRPO, the paper's offline preference
 * method (Choi et al. 2024, arXiv 2406.01660), trains a policy to improve its own answers too; IPO, the part of it without that, stands here.
 * "Until nothing improves" is a number of rounds. Each expert's own reward, of the code expert the result of its tests, is one reward model.
 */
import * as Artifact from "../Artifact.ts"
import * as Checkpoint from "../Checkpoint.ts"
import * as Kl from "../Kl.ts"
import * as MergeMethod from "../MergeMethod.ts"
import * as Pipeline from "../Pipeline.ts"
import { copg } from "../PolicyGradient.ts"
import * as PreferenceLoss from "../PreferenceLoss.ts"
import * as Recipe from "../Recipe.ts"
import * as Source from "../Source.ts"
import * as Dpo from "../stages/Dpo.ts"
import * as Grpo from "../stages/Grpo.ts"
import * as Merge from "../stages/Merge.ts"
import * as Pair from "../stages/Pair.ts"
import * as RewardModeling from "../stages/RewardModeling.ts"
import * as Sample from "../stages/Sample.ts"
import * as Score from "../stages/Score.ts"
import * as Select from "../stages/Select.ts"
import * as Sft from "../stages/Sft.ts"
import * as RejectionSampling from "./RejectionSampling.ts"

/** §3.2: the second stage of reward modelling. */
export const rewardLearningRate = 3e-6

/** §3.5: completions of a prompt, of which the best trains. */
export const bestOf = 4

/** §3.3: the domains of the experts. */
export const domains = ["code", "safety", "rag", "math", "multilingual", "longContext"] as const

type Model = Artifact.Of<"BaseModel" | "Policy", "command">

const each = <A>(of: (domain: typeof domains[number]) => A) =>
  Object.fromEntries(domains.map((domain) => [domain, of(domain)])) as Record<typeof domains[number], A>

export const commandA = Recipe.make({
  name: "command-a",
  title: "Command A, 111B",
  paper: "arXiv 2504.00698",
  takes: {
    base: ["BaseModel", "command"],
    instructions: "Demonstrations",
    code: "Demonstrations",
    safety: "Demonstrations",
    rag: "Demonstrations",
    math: "Demonstrations",
    multilingual: "Demonstrations",
    longContext: "Demonstrations",
    relabelled: "Preferences",
    preferences: "Preferences",
    codeProblems: "Prompts",
    mathProblems: "Prompts",
    documents: "Prompts",
    safetyPairs: "Preferences",
    ragPairs: "Preferences",
    multilingualPairs: "Preferences",
    polishPairs: "Preferences",
    prompts: "Prompts",
    held: "Prompts"
  },
  open: {
    sft: Recipe.notReported({ batchSize: 128, learningRate: 1e-5 }, "of the instruct model and of the experts"),
    reward: Recipe.notReported({ batchSize: 256, learningRate: 1e-5 }, "of the first stage; the batch of both"),
    copg: Recipe.notReported(
      { beta: 0.05, steps: 100, batchSize: 128, groupSize: 4, learningRate: 1e-6 },
      "of online CoPG"
    ),
    offlineCopg: Recipe.notReported(
      { completionsPerPrompt: 2, beta: 0.05, batchSize: 128, learningRate: 1e-6 },
      "of offline CoPG, which trains the code expert"
    ),
    offline: Recipe.notReported({ batchSize: 128, learningRate: 1e-6 }, "of offline preferences"),
    polish: Recipe.notReported(3, "rounds of ping-pong: until nothing improves"),
    maxNewTokens: Recipe.notReported(4096, "longest completion")
  },
  published: () => {
    const rows = (name: string, rows: number) =>
      Source.described(name, { rows, tokens: { prompt: 300, completion: 500 } })
    const prompts = (name: string, rows: number) =>
      Source.prompts(Source.described(name, { rows, tokens: { prompt: 300 } }))
    return {
      base: Checkpoint.described("command", {
        name: "Command A 111B, base",
        layers: 64,
        dim: 12_288,
        heads: 96,
        kvHeads: 8,
        ffn: 36_864,
        tied: true,
        vocab: 256_000,
        context: 131_072
      }),
      instructions: Source.demonstrations(rows("instructions", 1_000_000)),
      ...each((domain) => Source.demonstrations(rows(domain, 200_000))),
      relabelled: Source.preferences(rows("relabelled comparisons", 4_000_000)),
      preferences: Source.preferences(rows("comparisons of high quality", 350_000)),
      codeProblems: prompts("programming problems", 100_000),
      mathProblems: prompts("mathematical problems", 100_000),
      documents: prompts("questions about long documents", 100_000),
      safetyPairs: Source.preferences(rows("safety pairs", 100_000)),
      ragPairs: Source.preferences(rows("pairs of grounded answers", 100_000)),
      multilingualPairs: Source.preferences(rows("multilingual pairs", 100_000)),
      polishPairs: Source.preferences(rows("pairs of general chats", 100_000)),
      prompts: prompts("chats", 100_000),
      held: prompts("held-out chats", 1000)
    }
  },
  make: (given, open) => {
    const { base, held, instructions, preferences, prompts, relabelled } = given
    const { maxNewTokens } = open
    const measured = (from: Model) =>
      ({ kl: Kl.measured, from, held, maxNewTokens, measure: { every: 500, samples: 256 } }) as const
    const soup = { method: MergeMethod.uniformSoup } as const

    const instruct = Sft.make({ base, demonstrations: instructions }, open.sft)
    const experts = each((domain) => Sft.make({ base: instruct, demonstrations: given[domain] }, open.sft))
    const sftSoup = Merge.make({}, experts, soup)

    const first = RewardModeling.make({ init: sftSoup, preferences: relabelled }, open.reward)
    const reward = RewardModeling.make({ init: first, preferences }, {
      ...open.reward,
      learningRate: rewardLearningRate
    })

    const online = (init: Model, prompts: Artifact.Of<"Prompts">): Model =>
      Pipeline.observe(
        Grpo.make({ init, reference: init, reward, prompts }, { ...copg, ...open.copg, maxNewTokens }),
        measured(init)
      )
    const offline = (init: Model, preferences: Artifact.Of<"Preferences">): Model =>
      Pipeline.observe(
        Dpo.make({ init, reference: init, preferences }, { ...open.offline, loss: PreferenceLoss.ipo() }),
        measured(init)
      )
    /** Every two answers of a problem that score differently, with their margin. */
    const offlineCopg = (init: Model, prompts: Artifact.Of<"Prompts">): Model => {
      const { beta, completionsPerPrompt, ...training } = open.offlineCopg
      const completions = Sample.make({ policy: init, prompts }, { completionsPerPrompt, maxNewTokens })
      const scored = Score.byReward({ completions, reward })
      const preferences = Pair.make({ completions: scored }, { rejected: "every-lower", margins: true })
      const loss = PreferenceLoss.copg({ beta })
      return Pipeline.observe(Dpo.make({ init, reference: init, preferences }, { ...training, loss }), measured(init))
    }
    const rlExperts = {
      code: offlineCopg(sftSoup, given.codeProblems),
      math: online(sftSoup, given.mathProblems),
      longContext: online(sftSoup, given.documents),
      safety: offline(sftSoup, given.safetyPairs),
      rag: offline(sftSoup, given.ragPairs),
      multilingual: offline(sftSoup, given.multilingualPairs)
    }
    const rlSoup = Pipeline.observe(Merge.make({}, rlExperts, soup), measured(sftSoup))

    const { selected } = RejectionSampling.make({ policy: rlSoup, prompts, reward }, {
      completionsPerPrompt: bestOf,
      maxNewTokens,
      rule: Select.perPrompt()
    })
    const bestOfFour: Model = Sft.make({ base: rlSoup, demonstrations: selected }, open.sft)
    const policy = Pipeline.repeat(
      bestOfFour,
      open.polish,
      (previous: Model) => online(offline(previous, given.polishPairs), prompts)
    )
    return { instruct, sftSoup, reward, rlSoup, policy }
  }
})
