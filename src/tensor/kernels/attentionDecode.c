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

// out[e] += Σ_j p[j] v[j, e], in vectors that stay in registers
#define MIX_VECS 4
INLINE void decode_mix(float *out, const float *p, const float *v, long stride, long dim, long n) {
  long e = 0;
  for (; e + MIX_VECS * LANES <= dim; e += MIX_VECS * LANES) {
    vec sum[MIX_VECS];
    UNROLL for (int i = 0; i < MIX_VECS; i++) sum[i] = LD(out + e + i * LANES);
    for (long j = 0; j < n; j++) {
      vec x = LD_SPLAT(p + j);
      UNROLL for (int i = 0; i < MIX_VECS; i++) sum[i] = FMA(x, LD(v + j * stride + e + i * LANES), sum[i]);
    }
    UNROLL for (int i = 0; i < MIX_VECS; i++) ST(out + e + i * LANES, sum[i]);
  }
  for (; e + LANES <= dim; e += LANES) {
    vec sum = LD(out + e);
    for (long j = 0; j < n; j++) sum = FMA(LD_SPLAT(p + j), LD(v + j * stride + e), sum);
    ST(out + e, sum);
  }
  for (; e < dim; e++) {
    float sum = out[e];
    for (long j = 0; j < n; j++) sum += p[j] * v[j * stride + e];
    out[e] = sum;
  }
}

// Keys and values pass the query heads that share them in blocks of this many positions, so that they come from memory once.
#define KEY_BLOCK 64

SCRATCH(attention_decode_scratch)(long heads, long kv_heads, long capacity) { return heads / kv_heads * capacity; }

// out = softmax(scale · q Kᵀ) V over the cached positions that the token sees
KERNEL(attention_decode)(int t, int nt, float *scratch, float *out, const float *qkv, const float *keys, const float *values,
                         const int *slots, const int *positions, long rows, long heads, long kv_heads, long dim, float scale,
                         long window, long capacity) {
  long cached = kv_heads * dim, width = heads * dim + 2 * cached, group = heads / kv_heads;
  range r = share(rows * kv_heads, 1, t, nt);
  for (long item = r.begin; item < r.end; item++) {
    long i = item / kv_heads, kv = item % kv_heads, last = positions[i];
    long first = window > 0 ? max_of(0, last - window + 1) : 0, n = last + 1 - first;
    const float *key = keys + (slots[i] * capacity + first) * cached + kv * dim, *value = values + (key - keys);
    const float *query = qkv + i * width + kv * group * dim;
    float *o = out + (i * heads + kv * group) * dim;
    for (long j = 0; j < n; j += KEY_BLOCK)
      for (long h = 0; h < group; h++)
        decode_scores(scratch + h * capacity + j, query + h * dim, key + j * cached, cached, dim, min_of(KEY_BLOCK, n - j));
    for (long h = 0; h < group; h++) {
      float *p = scratch + h * capacity, inverse = 1 / row_exp(p, n, scale, scale * row_max(p, n));
      long j = 0;
      for (; j + LANES <= n; j += LANES) ST(p + j, MUL(LD(p + j), SPLAT(inverse)));
      for (; j < n; j++) p[j] *= inverse;
    }
    fill_floats(o, 0, group * dim);
    for (long j = 0; j < n; j += KEY_BLOCK)
      for (long h = 0; h < group; h++)
        decode_mix(o + h * dim, scratch + h * capacity + j, value + j * cached, cached, dim, min_of(KEY_BLOCK, n - j));
  }
}
