// The language-model head on a block of rows whose logits w h, capped (before the temperature), are in `z`.
#include "exp.h"
#include "tail.h"
#include "tanh.h"

// Sums are in single precision within so many words of the vocabulary, and in double precision from there on.
#define HEAD_CHUNK 1024

// z / T → logp = z[target] - lse, lse = max + log Σ exp(z - max), entropy = log Σ e^d - Σ e^d d / Σ e^d with d = z - max;
// e^d is taken as 2 to the d · log₂ e.
KERNEL(head_rows)(int t, int nt, float *scratch, float *logps, float *lse, float *entropy, const float *z, const int *targets,
                  long rows, long vocab, float inverse_temperature) {
  range r = share(rows, 1, t, nt);
  vec by = SPLAT(inverse_temperature * (float)LOG2_E);
  for (long i = r.begin; i < r.end; i++) {
    const float *row = z + i * vocab;
    float most = row_max(row, vocab);
    double sum = 0, mean = 0;
    for (long v0 = 0; v0 < vocab; v0 += HEAD_CHUNK) {
      vec sums = SPLAT(0), weighted = SPLAT(0);
      long v = v0, end = min_of(vocab, v0 + HEAD_CHUNK);
      for (; v + LANES <= end; v += LANES) {
        vec d = MUL(SUB(LD(row + v), SPLAT(most)), by), e = exp2_vec(d);
        sums = ADD(sums, e);
        weighted = FMA(e, d, weighted);
      }
      if (v < end) {
        vec d = first_lanes(MUL(SUB(LD_PART(row + v, end - v), SPLAT(most)), by), end - v, -1e30f), e = exp2_vec(d);
        sums = ADD(sums, e);
        weighted = FMA(e, d, weighted);
      }
      sum += sum_lanes(sums);
      mean += sum_lanes(weighted);
    }
    double log_sum = log_double((float)sum), max = (double)most * inverse_temperature;
    lse[i] = (float)(max + log_sum);
    logps[i] = (float)(((double)row[targets[i]] - most) * inverse_temperature - log_sum);
    entropy[i] = (float)(log_sum - LN_2 * mean / sum);
  }
}

// z[v] = dLogp · (1[v = target] - exp(z[v] / T - lse)) / T, in place; times 1 - (z[v] / cap)² where logits are capped
KERNEL(head_rows_backward)(int t, int nt, float *scratch, float *z, const float *dLogps, const int *targets, const float *lse,
                           long rows, long vocab, float inverse_temperature, float inverse_cap) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    float *row = z + i * vocab, by = dLogps[i] * inverse_temperature;
    vec scale = SPLAT(inverse_temperature * (float)LOG2_E), less = SPLAT(-lse[i] * (float)LOG2_E), factor = SPLAT(-by);
    long v = 0;
    if (inverse_cap > 0) {
      vec inverse = SPLAT(inverse_cap);
      float at = row[targets[i]] * inverse_cap, own = by * (1 - at * at);
      for (; v < vocab; v += LANES) {
        long n = min_of(LANES, vocab - v);
        vec x = n == LANES ? LD(row + v) : LD_PART(row + v, n), u = MUL(x, inverse);
        vec y = MUL(MUL(factor, exp2_vec(FMA(x, scale, less))), SUB(constant(1.f), MUL(u, u)));
        if (n == LANES) ST(row + v, y);
        else ST_PART(row + v, y, n);
      }
      row[targets[i]] += own;
      continue;
    }
    for (; v + LANES <= vocab; v += LANES) ST(row + v, MUL(factor, exp2_vec(FMA(LD(row + v), scale, less))));
    if (v < vocab) ST_PART(row + v, MUL(factor, exp2_vec(FMA(LD_PART(row + v, vocab - v), scale, less))), vocab - v);
    row[targets[i]] += by;
  }
}
