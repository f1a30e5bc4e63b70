/**
 * An evaluation in the files of lm-evaluation-harness, which its readers know: `results_DATE.json` (results, configs, versions, n-shot) and
 * `samples_TASK_DATE.jsonl` (a prompt a line) in a folder for each model.
 */
import { sha256 } from "../../dsl/Digest.ts"
import type { ModelReport, Report, Sample } from "../store/report.ts"

/** The task as it was set. */
export interface Task {
  readonly name: string
  /** A name for each verifier. */
  readonly metrics: Readonly<Record<string, string>>
  readonly data: string
  readonly template: string
  readonly shots: number
  readonly chat: boolean
  readonly limit: number | null
  readonly completions: number
  readonly temperature: number
  readonly maxNewTokens: number
  readonly stop: ReadonlyArray<string>
  readonly seed: number
}

/** The filter of lm-evaluation-harness: completions are judged as they are. */
const filter = "none"

const scoresOf = ({ completions, metrics }: Task, { scores = {}, text, verdicts = {} }: ModelReport) => {
  const entry = (name: string, value: number, error: number | null) => [
    [`${name},${filter}`, value],
    [`${name}_stderr,${filter}`, error !== null && Number.isFinite(error) ? error : "N/A"]
  ]
  const perByte = text?.natsPerByte.value
  return Object.fromEntries([
    ...Object.entries(scores).flatMap(([verifier, { majority, pass }]) => {
      const name = metrics[verifier] ?? verifier
      const { mean, standardError } = verdicts[verifier]!
      return [
        ...entry(name, mean, standardError),
        ...pass.flatMap(({ k, value }) => entry(`${name}_pass@${k}`, value, null)),
        ...(majority === undefined ? [] : entry(`${name}_maj@${completions}`, majority.value, null))
      ]
    }),
    ...(perByte === undefined ? [] : [
      ...entry("byte_perplexity", Math.exp(perByte), null),
      ...entry("bits_per_byte", perByte / Math.LN2, null),
      ...entry("token_perplexity", Math.exp(text!.natsPerToken.value), null)
    ])
  ])
}

/** The contents of a results file, for one model. */
export const resultsOf = (
  task: Task,
  report: Report,
  model: { readonly name: string; readonly path: string },
  /** Milliseconds since 1970. */
  date: number
) => {
  const found = report.models.find(({ name }) => name === model.name)!
  const text = found.text !== undefined
  const metrics = text ? ["byte_perplexity", "bits_per_byte", "token_perplexity"] : Object.values(task.metrics)
  const n = text ? found.text!.documents : found.length.n
  const generation = {
    until: task.stop,
    do_sample: task.temperature > 0,
    temperature: task.temperature,
    max_gen_toks: task.maxNewTokens
  }
  return {
    results: { [task.name]: { alias: task.name, ...scoresOf(task, found) } },
    group_subtasks: { [task.name]: [] },
    configs: {
      [task.name]: {
        task: task.name,
        dataset_path: task.data,
        output_type: text ? "loglikelihood_rolling" : "generate_until",
        doc_to_text: task.template,
        doc_to_target: text ? "" : "{{answer}}",
        num_fewshot: task.shots,
        metric_list: metrics.map((metric) => ({ metric, aggregation: "mean", higher_is_better: !text })),
        ...(text ? {} : { generation_kwargs: generation }),
        repeats: task.completions,
        should_decontaminate: false,
        metadata: { version: 1 }
      }
    },
    versions: { [task.name]: 1 },
    "n-shot": { [task.name]: task.shots },
    higher_is_better: { [task.name]: Object.fromEntries(metrics.map((metric) => [metric, !text])) },
    "n-samples": { [task.name]: { original: n, effective: n } },
    config: {
      model: "keel",
      model_args: `pretrained=${model.path}`,
      limit: task.limit,
      bootstrap_iters: report.paired?.[0]?.resamples ?? 0,
      gen_kwargs: text ? null : generation,
      random_seed: task.seed
    },
    date: date / 1000,
    model_source: "keel",
    model_name: model.name,
    model_name_sanitized: model.name.replace(/[\\"<>:/|?*[\]]+/gu, "__"),
    chat_template: null,
    fewshot_as_multiturn: false,
    apply_chat_template: task.chat
  }
}

/** A line of a samples file: a prompt with all its completions. */
export const sampleLine = (
  task: Task,
  { answer = "", completions, prompt, text, verdicts }: Sample
): object => ({
  doc_id: prompt,
  doc: { prompt: text, answer },
  target: answer,
  arguments: {
    gen_args_0: {
      arg_0: text,
      arg_1: { until: task.stop, temperature: task.temperature, max_gen_toks: task.maxNewTokens }
    }
  },
  resps: [completions],
  filtered_resps: completions,
  filter,
  metrics: Object.values(task.metrics),
  doc_hash: sha256(JSON.stringify({ prompt: text, answer })),
  prompt_hash: sha256(text),
  target_hash: sha256(answer),
  ...Object.fromEntries(
    Object.entries(verdicts).map(([verifier, of]) => [
      task.metrics[verifier] ?? verifier,
      of.reduce((sum, x) => sum + x, 0) / of.length
    ])
  )
})
