// Attention of one new token per sequence against the keys and values of the tokens before it.
#include "exp.h"

// cache[slot, position, :] = the keys (values) of row i
KERNEL(cache_write)(int t, int nt, float *scratch, float *keys, float *values, const float *qkv, const int *slots,
                    const int *positions, long rows, long heads, long kv_heads, long dim, long capacity) {
  long cached = kv_heads * dim, width = heads * dim + 2 * cached;
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    long to = (slots[i] * capacity + positions[i]) * cached;
    const float *key = qkv + i * width + heads * dim;
    copy_floats(keys + to, key, cached);
    copy_floats(values + to, key + cached, cached);
  }
}

// s[j] = q · k[j] for n keys `stride` apart, four at a time
INLINE void decode_scores(float *s, const float *q, const float *k, long stride, long dim, long n) {
  long j = 0;
  for (; j + 4 <= n; j += 4, k += 4 * stride) {
    vec a = SPLAT(0), b = a, c = a, d = a;
    long e = 0;
    for (; e + LANES <= dim; e += LANES) {
      vec x = LD(q + e);
      a = FMA(x, LD(k + e), a);
      b = FMA(x, LD(k + stride + e), b);
      c = FMA(x, LD(k + 2 * stride + e), c);
      d = FMA(x, LD(k + 3 * stride + e), d);
    }
    sum_lanes4(a, b, c, d, s + j);
    for (; e < dim; e++)
      for (long r = 0; r < 4; r++) s[j + r] += q[e] * k[r * stride + e];
  }
  for (; j < n; j++, k += stride) s[j] = dot(q, k, dim);
}

// out[e] = by · Σ_j p[j] v[j, e], in vectors that stay in registers
#define MIX_VECS 4
INLINE void decode_mix(float *out, const float *p, const float *v, long stride, long dim, long n, float by) {
  long e = 0;
  for (; e + MIX_VECS * LANES <= dim; e += MIX_VECS * LANES) {
    vec sum[MIX_VECS];
    _Pragma("unroll") for (int i = 0; i < MIX_VECS; i++) sum[i] = SPLAT(0);
    for (long j = 0; j < n; j++) {
      vec x = LD_SPLAT(p + j);
      _Pragma("unroll") for (int i = 0; i < MIX_VECS; i++) sum[i] = FMA(x, LD(v + j * stride + e + i * LANES), sum[i]);
    }
    _Pragma("unroll") for (int i = 0; i < MIX_VECS; i++) ST(out + e + i * LANES, MUL(sum[i], SPLAT(by)));
  }
  for (; e + LANES <= dim; e += LANES) {
    vec sum = SPLAT(0);
    for (long j = 0; j < n; j++) sum = FMA(LD_SPLAT(p + j), LD(v + j * stride + e), sum);
    ST(out + e, MUL(sum, SPLAT(by)));
  }
  for (; e < dim; e++) {
    float sum = 0;
    for (long j = 0; j < n; j++) sum += p[j] * v[j * stride + e];
    out[e] = sum * by;
  }
}

// out = softmax(scale · q Kᵀ) V over the cached positions that the token sees
KERNEL(attention_decode)(int t, int nt, float *scratch, float *out, const float *qkv, const float *keys, const float *values,
                         const int *slots, const int *positions, long rows, long heads, long kv_heads, long dim, float scale,
                         long window, long capacity) {
  long cached = kv_heads * dim, width = heads * dim + 2 * cached, group = heads / kv_heads;
  range r = share(rows * kv_heads, 1, t, nt);
  for (long item = r.begin; item < r.end; item++) {
    long i = item / kv_heads, kv = item % kv_heads, last = positions[i];
    long first = window > 0 ? max_of(0, last - window + 1) : 0, n = last + 1 - first;
    long at = (slots[i] * capacity + first) * cached + kv * dim;
    for (long h = kv * group; h < (kv + 1) * group; h++) {
      decode_scores(scratch, qkv + i * width + h * dim, keys + at, cached, dim, n);
      float sum = row_exp(scratch, n, scale, scale * row_max(scratch, n));
      decode_mix(out + (i * heads + h) * dim, scratch, values + at, cached, dim, n, 1 / sum);
    }
  }
}
