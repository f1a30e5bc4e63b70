// Attention of one new token per sequence against the keys and values of the tokens before it.
#include "exp.h"
#include "tail.h"
#include "tanh.h"

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
  long j = 0, part = dim % LANES, whole = dim - part;
  for (; j + 4 <= n; j += 4, k += 4 * stride) {
    vec a = SPLAT(0), b = a, c = a, d = a;
    for (long e = 0; e < whole; e += LANES) {
      vec x = LD(q + e);
      a = FMA(x, LD(k + e), a);
      b = FMA(x, LD(k + stride + e), b);
      c = FMA(x, LD(k + 2 * stride + e), c);
      d = FMA(x, LD(k + 3 * stride + e), d);
    }
    if (part) {
      vec x = LD_PART(q + whole, part);
      a = FMA(x, LD_PART(k + whole, part), a);
      b = FMA(x, LD_PART(k + stride + whole, part), b);
      c = FMA(x, LD_PART(k + 2 * stride + whole, part), c);
      d = FMA(x, LD_PART(k + 3 * stride + whole, part), d);
    }
    sum_lanes4(a, b, c, d, s + j);
  }
  for (; j < n; j++, k += stride) {
    vec a = SPLAT(0);
    for (long e = 0; e < whole; e += LANES) a = FMA(LD(q + e), LD(k + e), a);
    if (part) a = FMA(LD_PART(q + whole, part), LD_PART(k + whole, part), a);
    s[j] = sum_lanes(a);
  }
}

// Σ_j p[j] v[j, :] of n rows of one vector, in four sums: each addition waits for the one before.
#define MIX_ONE(LOAD)                                                                    \
  vec a = SPLAT(0), b = a, c = a, d = a;                                                 \
  long j = 0;                                                                            \
  for (; j + 4 <= n; j += 4, v += 4 * stride) {                                          \
    a = FMA(LD_SPLAT(p + j), LOAD(v), a);                                                \
    b = FMA(LD_SPLAT(p + j + 1), LOAD(v + stride), b);                                   \
    c = FMA(LD_SPLAT(p + j + 2), LOAD(v + 2 * stride), c);                               \
    d = FMA(LD_SPLAT(p + j + 3), LOAD(v + 3 * stride), d);                               \
  }                                                                                      \
  for (; j < n; j++, v += stride) a = FMA(LD_SPLAT(p + j), LOAD(v), a);                  \
  return ADD(ADD(a, b), ADD(c, d));
INLINE vec mix_one(const float *p, const float *v, long stride, long n) { MIX_ONE(LD) }
#define LD_SOME(at) LD_PART(at, part)
INLINE vec mix_part(const float *p, const float *v, long stride, long part, long n) { MIX_ONE(LD_SOME) }

// out[e] += Σ_j p[j] v[j, e]; wide rows in vectors that stay in registers
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
  for (; e + LANES <= dim; e += LANES) ST(out + e, ADD(LD(out + e), mix_one(p, v + e, stride, n)));
  if (e < dim) ST_PART(out + e, ADD(LD_PART(out + e, dim - e), mix_part(p, v + e, stride, dim - e, n)), dim - e);
}

// Keys and values pass the query heads that share them in blocks of this many positions, so that they come from memory once.
#define KEY_BLOCK_DECODE 64

// For each head that shares a key head, its scores, filled up to whole vectors, and 1 / the sum of its exponentials.
SCRATCH(attention_decode_scratch)(long heads, long kv_heads, long capacity) {
  return heads / kv_heads * (capacity + LANES + 1);
}

// p[j] = 2^(p[j] - max); returns their sum. p is a whole number of vectors.
INLINE float decode_softmax(float *p, long n) {
  vec most = SPLAT(row_max(p, n)), sum = SPLAT(0);
  for (long j = 0; j < n; j += LANES) {
    vec e = exp2_vec(SUB(LD(p + j), most));
    ST(p + j, e);
    sum = ADD(sum, e);
  }
  return sum_lanes(sum);
}

// out = softmax(scale · q Kᵀ, capped) V over the cached positions that the token sees
KERNEL(attention_decode)(int t, int nt, float *scratch, float *out, const float *qkv, const float *keys, const float *values,
                         const int *slots, const int *positions, long rows, long heads, long kv_heads, long dim, float scale,
                         long window, long capacity, float cap) {
  long cached = kv_heads * dim, width = heads * dim + 2 * cached, group = heads / kv_heads, stride = capacity + LANES;
  float *inverse = scratch + group * stride;
  range r = share(rows * kv_heads, 1, t, nt);
  for (long item = r.begin; item < r.end; item++) {
    long i = item / kv_heads, kv = item % kv_heads, last = positions[i];
    long first = window > 0 ? max_of(0, last - window + 1) : 0, n = last + 1 - first;
    const float *key = keys + (slots[i] * capacity + first) * cached + kv * dim, *value = values + (key - keys);
    float *o = out + (i * heads + kv * group) * dim;
    // The output holds the queries, scaled to powers of 2, until they have been used.
    const float *query = qkv + i * width + kv * group * dim;
    for (long e = 0; e < group * dim; e++) o[e] = query[e] * scale * (float)LOG2_E;
    for (long j = 0; j < n; j += KEY_BLOCK_DECODE)
      for (long h = 0; h < group; h++)
        decode_scores(scratch + h * stride + j, o + h * dim, key + j * cached, cached, dim, min_of(KEY_BLOCK_DECODE, n - j));
    for (long h = 0; h < group && cap > 0; h++) {
      vec most = SPLAT(cap * (float)LOG2_E), less = SPLAT(1 / (cap * (float)LOG2_E));
      for (long j = 0; j < n; j += LANES) {
        vec s = capped(LD_PART(scratch + h * stride + j, min_of(LANES, n - j)), most, less);
        ST_PART(scratch + h * stride + j, s, min_of(LANES, n - j));
      }
    }
    for (long h = 0; h < group; h++) {
      ST(scratch + h * stride + n, SPLAT(-1e30f));
      inverse[h] = 1 / decode_softmax(scratch + h * stride, round_up(n, LANES));
    }
    fill_floats(o, 0, group * dim);
    for (long j = 0; j < n; j += KEY_BLOCK_DECODE)
      for (long h = 0; h < group; h++)
        decode_mix(o + h * dim, scratch + h * stride + j, value + j * cached, cached, dim, min_of(KEY_BLOCK_DECODE, n - j));
    for (long h = 0; h < group; h++)
      for (long e = 0; e < dim; e++) o[h * dim + e] *= inverse[h];
  }
}
