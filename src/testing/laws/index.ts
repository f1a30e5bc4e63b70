/** Laws as functions: each throws, with fast-check's counterexample, when it does not hold. */
export { type DescriptionOptions, identity, jsonRoundTrip, wellTyped } from "./description.ts"
export { environment, type EnvironmentOptions } from "./environment.ts"
export { failsClosed, gradient, type GradientOptions } from "./loss.ts"
export { ownLoss, type OwnLossOptions } from "./ownLoss.ts"
export { reward, type RewardOptions } from "./reward.ts"
export { improves, reproducible, resumes, simulates, type SimulatesOptions, stageErrors } from "./stage.ts"
export { verifier, type VerifierOptions } from "./verifier.ts"
