import * as PreferenceLoss from "../../dsl/PreferenceLoss.ts"

/** Every name, with parameters at which its parts all matter. */
export const named: Readonly<Record<string, PreferenceLoss.Loss<boolean>>> = {
  dpo: PreferenceLoss.dpo({ beta: 0.3 }),
  dpoNorm: PreferenceLoss.dpoNorm({ beta: 0.3 }),
  dpoNll: PreferenceLoss.dpoNll({ beta: 0.3, nll: 0.2 }),
  cDpo: PreferenceLoss.cDpo({ beta: 0.3, labelSmoothing: 0.2 }),
  robustDpo: PreferenceLoss.robustDpo({ beta: 0.3, labelSmoothing: 0.2 }),
  ipo: PreferenceLoss.ipo({ beta: 0.3 }),
  copg: PreferenceLoss.copg({ beta: 0.3 }),
  hinge: PreferenceLoss.hinge({ beta: 0.3 }),
  exo: PreferenceLoss.exo({ beta: 0.3 }),
  nca: PreferenceLoss.nca({ beta: 0.3 }),
  bco: PreferenceLoss.bco({ beta: 0.3 }),
  sppo: PreferenceLoss.sppo({ beta: 0.3 }),
  aot: PreferenceLoss.aot({ beta: 0.3, labelSmoothing: 0.1 }),
  aotUnpaired: PreferenceLoss.aot({ beta: 0.3, labelSmoothing: 0.1, paired: false }),
  apoZero: PreferenceLoss.apoZero({ beta: 0.3 }),
  apoDown: PreferenceLoss.apoDown({ beta: 0.3 }),
  discoPop: PreferenceLoss.discoPop({ beta: 0.3 }),
  mpo: PreferenceLoss.mpo({ beta: 0.3 }),
  cpo: PreferenceLoss.cpo({ beta: 0.3 }),
  simPo: PreferenceLoss.simPo({ beta: 2, gamma: 0.5 }),
  orpo: PreferenceLoss.orpo({ lambda: 0.3 })
}
