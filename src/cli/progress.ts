/** The run on the terminal: a live line per stage with an estimate, or plain lines at intervals where there is no terminal. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { told } from "../data/about.ts"
import { judgedText } from "../report/judged.ts"
import type { Event } from "../store/runLog.ts"
import { fittedText } from "../report/fitted.ts"

const seconds = (s: number): string =>
  !Number.isFinite(s) ? "?" : s < 60 ? `${s.toFixed(0)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`

const count = (n: number): string =>
  n < 1000 ? n.toFixed(0) : n < 1e6 ? `${(n / 1000).toFixed(1)}k` : `${(n / 1e6).toFixed(1)}M`

/** Metrics that fit on a line, under short names. */
const shown: ReadonlyArray<readonly [metric: string, name: string]> = [
  ["loss", "loss"],
  ["accuracy", "accuracy"],
  ["objective/scores", "reward"],
  ["objective/kl", "kl to reference"],
  ["policy/clipfrac_avg", "clipfrac"],
  ["completions/mean_length", "length"],
  ["judge/score", "score"],
  ["gold", "gold"],
  ["proxy", "proxy"]
]

const metricsOf = (metrics: Readonly<Record<string, number>>): string =>
  shown.flatMap(([metric, name]) => metrics[metric] === undefined ? [] : [`${name} ${metrics[metric].toFixed(3)}`])
    .join("  ")

/** Where people see it: on standard error. */
export const terminal = (): Out => ({
  write: (text) => process.stderr.write(text),
  live: process.stderr.isTTY === true,
  columns: process.stderr.columns ?? 100
})

export interface Out {
  readonly write: (text: string) => void
  readonly live: boolean
  readonly columns: number
}

/** Prints events as they come. */
export const progress = (out: Out) => {
  let stage = { name: "", from: 0, began: 0, tokens: 0, printed: 0 }
  let open = false
  const line = (text: string) => {
    out.write(`${open ? "\r\x1b[2K" : ""}${text}\n`)
    open = false
  }
  const status = (text: string) => {
    out.write(`\r\x1b[2K${text.slice(0, Math.max(20, out.columns - 1))}`)
    open = true
  }
  return (event: Event): Effect.Effect<void> =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      switch (event._tag) {
        case "Cached":
          return line(`✓ ${event.stage}  made before`)
        case "Waiting":
          return line(`  ${event.stage}  waits for process ${event.pid} on ${event.host}, which makes it`)
        case "Replaced":
          return line(`! ${event.stage}  process ${event.pid} on ${event.host} stands still: this one goes on with it`)
        case "Read": {
          const [what, ...left] = told(event)
          line(`  ${what}`)
          return left.forEach((one) => line(`! ${one}`))
        }
        case "Started":
          stage = { name: event.stage, from: event.from, began: now, tokens: 0, printed: now }
          return event.from > 0
            ? line(`  ${event.stage}  goes on from step ${event.from} of ${event.steps}`)
            : undefined
        case "Step": {
          stage.tokens += event.tokens
          const took = (now - stage.began) / 1000
          const left = took / (event.step - stage.from) * (event.steps - event.step)
          const text = `  ${event.stage}  ${event.step}/${event.steps}  ${metricsOf(event.metrics)}  ${
            count(stage.tokens / Math.max(took, 1e-3))
          } tok/s  ${seconds(left)} left`
          if (out.live) return status(text)
          if (now - stage.printed < 10_000) return
          stage.printed = now
          return line(text)
        }
        case "Measured": {
          const { asked = 0, cap, from, mean, samples, standardError, step, verdict } = event.measurement
          const more = asked > 0 && samples > asked ? `, ${asked} asked for` : ""
          const open = verdict === "undecided" ? ", which they do not tell it from" : ""
          return line(
            `  ${event.measurement.stage}  step ${step}: KL from ${from} ${mean.toFixed(2)} ± ${
              standardError.toFixed(2)
            } nats per sequence (n ${samples}${more})${cap === null ? "" : `, cap ${cap}${open}`}`
          )
        }
        case "Unmeasured":
          return line(`  ${event.stage}: KL not measured: no held prompts`)
        case "OverBudget": {
          const { cap, from, kept, spent, stage, statistic, step, undecided } = event
          const what = kept === null
            ? "goes on, as its cap says"
            : `goes back to step ${kept.step}, the last within its caps`
          return line(
            `! ${stage}  step ${step}: ${statistic} KL from ${from} ${spent.toFixed(2)}, cap ${cap}${
              undecided === true ? ", which the samples do not tell it from" : ""
            }: it ${what}`
          )
        }
        case "Observed": {
          const { gold, gold_se: error, proxy } = event.observed
          if (gold === undefined) return
          return line(
            `  ${event.stage}  step ${event.step}: gold ${gold.toFixed(2)} ± ${error!.toFixed(2)}${
              proxy === undefined ? "" : `, proxy ${proxy.toFixed(2)}`
            } on held prompts`
          )
        }
        case "Judged":
          return line(`  ${judgedText(event)}`)
        case "PeakPassed": {
          const { decline: { mean, standardError }, kept, stage, step } = event
          return line(
            `! ${stage}  step ${step}: gold has fallen by ${mean.toFixed(2)} ± ${
              standardError.toFixed(2)
            }: it ends with step ${kept}`
          )
        }
        case "Sampled":
          return line(`  ${event.stage}  “${event.prompt}” → ${event.completion}  (${event.score.toFixed(2)})`)
        case "Fitted":
          return line(`! ${event.stage}  ${fittedText(event)}`)
        case "Checkpoint":
          return
        case "Finished":
          return line(`✓ ${event.stage}  ${seconds((now - stage.began) / 1000)}  ${count(event.tokens)} tokens`)
        case "Failed":
          return line(`✗ ${event.stage}  ${event.error}`)
      }
    })
}
