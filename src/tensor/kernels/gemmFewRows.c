// x wᵀ for few rows of x, as in generation: both are read along k, so nothing is packed and w is read once. Every output is
// one chain of vector sums along k, whatever the number of rows: a row's result does not depend on the rows beside it.
#include "kernel.h"

#define GROUP 4

// out[r, o] for `ROWS` rows r and GROUP outputs o; two rows are what the registers of x86 hold beside their sums.
#define DOT_TILE(ROWS)                                                                                                       \
  INLINE void dot_tile_##ROWS(float *out, const float *x, const float *w, const float *bias, long K, long N) {               \
    vec sum[ROWS][GROUP];                                                                                                    \
    _Pragma("unroll") for (int r = 0; r < ROWS; r++) _Pragma("unroll") for (int o = 0; o < GROUP; o++) sum[r][o] = SPLAT(0); \
    long k = 0;                                                                                                              \
    for (; k + LANES <= K; k += LANES) {                                                                                     \
      vec row[ROWS];                                                                                                         \
      _Pragma("unroll") for (int r = 0; r < ROWS; r++) row[r] = LD(x + r * K + k);                                           \
      _Pragma("unroll") for (int o = 0; o < GROUP; o++) {                                                                    \
        vec weight = LD(w + o * K + k);                                                                                      \
        _Pragma("unroll") for (int r = 0; r < ROWS; r++) {                                                                   \
          sum[r][o] = FMA(row[r], weight, sum[r][o]);                                                                        \
          PIN(sum[r][o]);                                                                                                    \
        }                                                                                                                    \
      }                                                                                                                      \
    }                                                                                                                        \
    for (int r = 0; r < ROWS; r++) {                                                                                         \
      float total[GROUP];                                                                                                    \
      sum_lanes4(sum[r][0], sum[r][1], sum[r][2], sum[r][3], total);                                                         \
      for (int o = 0; o < GROUP; o++) {                                                                                      \
        for (long i = k; i < K; i++) total[o] += x[r * K + i] * w[o * K + i];                                                \
        out[r * N + o] = bias ? total[o] + bias[o] : total[o];                                                               \
      }                                                                                                                      \
    }                                                                                                                        \
  }
DOT_TILE(1)
DOT_TILE(2)

// out[m, n] = Σ_k x[m, k] w[n, k] + bias[n]
KERNEL(linear_few_rows)(int t, int nt, float *scratch, float *out, const float *x, const float *w, const float *bias, long M,
                        long K, long N) {
  range r = share(N, GROUP, t, nt);
  long n = r.begin;
  for (; n + GROUP <= r.end; n += GROUP) {
    const float *b = bias ? bias + n : 0, *wn = w + n * K;
    long m = 0;
    for (; m + 2 <= M; m += 2) dot_tile_2(out + m * N + n, x + m * K, wn, b, K, N);
    for (; m < M; m++) dot_tile_1(out + m * N + n, x + m * K, wn, b, K, N);
  }
  for (; n < r.end; n++)
    for (long m = 0; m < M; m++) out[m * N + n] = dot(x + m * K, w + n * K, K) + (bias ? bias[n] : 0);
}
