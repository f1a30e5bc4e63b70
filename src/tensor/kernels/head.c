// The language-model head on a block of rows whose logits w h (before the temperature) `linear` has put into `z`.
#include "exp.h"

// z / T → logp = z[target] - lse, lse = max + log Σ exp(z - max), entropy = log Σ e^d - Σ e^d d / Σ e^d with d = z - max
KERNEL(head_rows)(int t, int nt, float *scratch, float *logps, float *lse, float *entropy, const float *z, const int *targets,
                  long rows, long vocab, float inverse_temperature) {
  range r = share(rows, 1, t, nt);
  vec by = SPLAT(inverse_temperature);
  for (long i = r.begin; i < r.end; i++) {
    const float *row = z + i * vocab;
    float max = inverse_temperature * row_max(row, vocab);
    vec sums = SPLAT(0), weighted = SPLAT(0);
    long v = 0;
    for (; v + LANES <= vocab; v += LANES) {
      vec d = FMA(LD(row + v), by, SPLAT(-max)), e = exp_vec(d);
      sums = ADD(sums, e);
      weighted = FMA(e, d, weighted);
    }
    float sum = sum_lanes(sums), mean = sum_lanes(weighted);
    for (; v < vocab; v++) {
      float d = row[v] * inverse_temperature - max, e = exp_float(d);
      sum += e;
      mean += e * d;
    }
    double log_sum = log_double(sum);
    lse[i] = (float)(max + log_sum);
    logps[i] = (float)(row[targets[i]] * inverse_temperature - max - log_sum);
    entropy[i] = (float)(log_sum - mean / sum);
  }
}

// z[v] = dLogp · (1[v = target] - exp(z[v] / T - lse)) / T, in place
KERNEL(head_rows_backward)(int t, int nt, float *scratch, float *z, const float *dLogps, const int *targets, const float *lse,
                           long rows, long vocab, float inverse_temperature) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    float *row = z + i * vocab, by = dLogps[i] * inverse_temperature;
    vec scale = SPLAT(inverse_temperature), less = SPLAT(-lse[i]), factor = SPLAT(-by);
    long v = 0;
    for (; v + LANES <= vocab; v += LANES) ST(row + v, MUL(factor, exp_vec(FMA(LD(row + v), scale, less))));
    for (; v < vocab; v++) row[v] = -by * exp_float(row[v] * inverse_temperature - lse[i]);
    row[targets[i]] += by;
  }
}
