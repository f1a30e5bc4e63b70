// Choice of a token for each row of logits: inverse of the cumulative softmax at a temperature, or the largest logit.
#include "exp.h"
#include "tail.h"

// Weights are added up in single precision within a chunk of this many tokens and in double precision from chunk to chunk; the
// weights of only the chunk in which the choice falls are computed a second time.
#define SAMPLE_CHUNK 256

// Doubles that hold the sum of each chunk.
SCRATCH(sample_rows_scratch)(long vocab) { return 2 * ((vocab + SAMPLE_CHUNK - 1) / SAMPLE_CHUNK) + 2; }

// Σ 2^((z[i] - max) by) of n logits
INLINE float sample_weights(const float *z, long n, float max, float by) {
  vec sum = SPLAT(0), most = SPLAT(max), factor = SPLAT(by);
  long i = 0;
  for (; i + LANES <= n; i += LANES) sum = ADD(sum, exp2_vec(MUL(SUB(LD(z + i), most), factor)));
  if (i < n) sum = ADD(sum, first_lanes(exp2_vec(MUL(SUB(LD_PART(z + i, n - i), most), factor)), n - i, 0));
  return sum_lanes(sum);
}

// The first of n logits at which the sum of their weights, which begins as `before`, exceeds `goal`; the last that has any
// weight when rounding leaves the sum below it.
INLINE long sample_within(const float *z, long n, float max, float by, double before, double goal) {
  float weights[LANES];
  long last = 0;
  for (long i = 0; i < n; i++) {
    if (i % LANES == 0) {
      vec x = i + LANES <= n ? LD(z + i) : LD_PART(z + i, n - i);
      ST(weights, exp2_vec(MUL(SUB(x, SPLAT(max)), SPLAT(by))));
    }
    float weight = weights[i % LANES];
    if (!(weight > 0)) continue;
    last = i;
    before += weight;
    if (before > goal) break;
  }
  return last;
}

// token = min {v : Σ_{i ≤ v} exp((z[i] - max) / T) > u Σ_i exp((z[i] - max) / T)}, u = uniforms[n, 0] + uniforms[n, 1], or the
// first largest when T = 0; logp = z[token] - max - log Σ exp(z - max).
// Differences from the largest logit are taken before they are divided by T, so that a low temperature does not round them.
KERNEL(sample_rows)(int t, int nt, float *scratch, float *tokens, float *logps, const float *logits, const float *uniforms,
                    long rows, long vocab, float temperature) {
  double *sums = (double *)(((__UINTPTR_TYPE__)scratch + 7) & ~(__UINTPTR_TYPE__)7);
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    const float *z = logits + i * vocab;
    float max = -3.4e38f;
    long first = 0;
    for (long v = 0; v < vocab; v += SAMPLE_CHUNK) {
      float most = row_max(z + v, min_of(SAMPLE_CHUNK, vocab - v));
      if (most > max) max = most, first = v;
    }
    float by = temperature > 0 ? (float)LOG2_E / temperature : 0;
    // A temperature so low that its inverse is infinite: 0 · ∞ would be NaN.
    if (by > 3e38f) by = 3e38f;
    double total = 0, whole = 0;
    for (long v = 0, c = 0; v < vocab; v += SAMPLE_CHUNK, c++) {
      long n = min_of(SAMPLE_CHUNK, vocab - v);
      float plain = sample_weights(z + v, n, max, (float)LOG2_E);
      whole += plain;
      if (temperature > 0) total += sums[c] = temperature == 1 ? plain : sample_weights(z + v, n, max, by);
    }
    long token = first;
    if (temperature > 0) {
      double goal = ((double)uniforms[2 * i] + uniforms[2 * i + 1]) * total, before = 0, last_before = 0;
      long last = first;
      for (long v = 0, c = 0; v < vocab; v += SAMPLE_CHUNK, c++) {
        if (!(sums[c] > 0)) continue;
        last = v, last_before = before, before += sums[c];
        if (before > goal) break;
      }
      token = last + sample_within(z + last, min_of(SAMPLE_CHUNK, vocab - last), max, by, last_before, goal);
    } else {
      while (token < vocab && z[token] != max) token++;
      if (token == vocab) token = 0;
    }
    tokens[i] = token;
    logps[i] = (float)((double)z[token] - max - log_double((float)whole));
  }
}
