/**
 * The published names, as values: parameters of a stage. `Grpo.make(wires, { ...PolicyGradient.drGrpo, beta: 0,
 * … })`; PPO's own are for `Ppo.make`. A name is only its data: equal data are equal descriptions.
 *
 * Numbers are those of the paper where it has them; otherwise of TRL 1.13, and it is said.
 */
import { Gae, GroupMean, GroupStd, LeaveOneOut, MaxNormalised, MonteCarlo } from "./Advantage.ts"
import {
  type Aggregation,
  Clipped,
  Contrastive,
  DetachedWeight,
  FixedLength,
  GammaWeighted,
  KlInLoss,
  KlInReward,
  Likelihood,
  type Objective,
  PolicyLoss,
  Ratio,
  SequenceMean,
  SequenceSum,
  SoftGated,
  symmetric,
  TokenMean
} from "./PolicyLoss.ts"

const k3 = new KlInLoss({ estimator: "k3" })
/** TRL's numbers; DeepSeekMath says neither. */
const groupStd = new GroupStd({ ddof: 1, epsilon: 1e-4 })

/** Differs from GRPO in the use of the ratio and in the aggregation of tokens. */
const grouped = (objective: Objective, aggregation: Aggregation) => ({
  advantage: groupStd,
  loss: new PolicyLoss({ objective, aggregation, kl: k3 })
})

/** Williams 1992: the return times the score, KL in the reward. */
export const reinforce = {
  advantage: new MonteCarlo(),
  loss: new PolicyLoss({ objective: new Likelihood(), aggregation: new SequenceSum() })
}

/** Ahmadian et al. 2024 (arXiv 2402.14740), as TRL's RLOOTrainer: clipped ratio of whole completions, ε 0.2. */
export const rloo = {
  advantage: new LeaveOneOut(),
  loss: new PolicyLoss({
    objective: new Ratio({ level: "sequence", clip: symmetric(0.2) }),
    aggregation: new SequenceMean()
  })
}

/** Schulman et al. 2017: ε 0.2, GAE λ 0.95. For `Ppo`. */
export const ppo = {
  advantage: new Gae({}),
  loss: new PolicyLoss({ objective: new Ratio({ level: "token", clip: symmetric(0.2) }), aggregation: new TokenMean() })
}

/** InstructGPT's PPO-ptx (arXiv 2203.02155, eq. 2): γ 27.8, 8 times as many pretraining examples. For `Ppo`, with a `pretraining` wire. */
export const ppoPtx = { ...ppo, ptxCoef: 27.8, ptxRatio: 8 }

/** Shao et al. 2024 (arXiv 2402.03300), eq. 3; ε is not in the paper: 0.2 is TRL's. */
export const grpo = grouped(new Ratio({ level: "token", clip: symmetric(0.2) }), new SequenceMean())

/** Liu et al. 2025 (arXiv 2503.20783): no standard deviation, no length in the denominator. */
export const drGrpo = {
  advantage: new GroupMean(),
  loss: new PolicyLoss({ objective: grpo.loss.objective, aggregation: new FixedLength({}), kl: k3 })
}

/** Yu et al. 2025 (arXiv 2503.14476): clip-higher, token mean, dynamic sampling, overlong penalty over the last fifth. */
export const dapo = {
  ...grouped(new Ratio({ level: "token", clip: new Clipped({ low: 0.2, high: 0.28 }) }), new TokenMean()),
  dynamicSampling: { maxBatches: 10 },
  overlong: { share: 0.2 }
}

/** Zheng et al. 2025 (arXiv 2507.18071), §5.1: one length-normalised ratio a completion, ε 3e-4 and 4e-4. */
export const gspo = grouped(
  new Ratio({ level: "sequence-mean", clip: new Clipped({ low: 3e-4, high: 4e-4 }) }),
  new SequenceMean()
)

/** MiniMax 2025 (arXiv 2506.13585), eq. 4. The bound is not in the paper: 5 is ScaleRL's (arXiv 2510.13786), as in TRL's documentation. */
export const cispo = grouped(new Ratio({ level: "token", clip: new DetachedWeight({ max: 5 }) }), new TokenMean())

/** Gao et al. 2025 (arXiv 2511.20347): τ 1 and 1.05. */
export const sapo = grouped(new Ratio({ level: "token", clip: new SoftGated({}) }), new SequenceMean())

/** LUSPO (arXiv 2602.05261), TRL `luspo`: GSPO's ratio without its length in the denominator. */
export const luspo = grouped(gspo.loss.objective, new SequenceSum())

/** VESPO (arXiv 2602.10693), TRL `vespo`. */
export const vespo = grouped(new GammaWeighted({}), new TokenMean())

/** Tajwar et al. 2026 (arXiv 2602.02710): on policy, rewards of 0 and 1. */
export const maxRl = {
  advantage: new MaxNormalised(),
  loss: new PolicyLoss({ objective: new Likelihood(), aggregation: new SequenceSum() })
}

/** Flet-Berliac et al. 2024 (arXiv 2406.19185), for groups of any size. */
export const copg = {
  advantage: new LeaveOneOut(),
  loss: new PolicyLoss({ objective: new Contrastive(), aggregation: new SequenceSum(), kl: new KlInReward() })
}
