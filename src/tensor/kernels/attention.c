// Causal attention of packed sequences. Work is divided into items of one sequence and one key head; the queries of every
// query head that shares it pass in blocks, so keys and values are packed once and never copied per query head. Scores of a
// block are [QUERY_BLOCK, keys] and live in scratch; what lies right of a block's diagonal is never computed.
#include "exp.h"
#include "gemm.h"

#define QUERY_BLOCK 24
// Queries of one forward item: long sequences are divided between threads too.
#define QUERY_ITEM 192

// The keys that any of the queries [begin, end) of a sequence sees begin here.
INLINE long first_key(long begin, long window) { return window > 0 ? max_of(0, begin - window + 1) : 0; }

// Rows of scores are this far apart: a multiple of a cache line, but never of many.
INLINE long score_stride(long keys) { return round_up(keys, 16) + 16; }

// S = Q Kᵀ of one block: rows [q, q + rows) of a head against keys [from, q + rows) of a pack that begins at key `origin`.
// `from - origin` is a multiple of TILE_COLS.
INLINE void scores(float *s, long stride, const float *queries, long query_stride, const float *packed, long dim, long rows,
                   long from, long to, long origin) {
  multiply_rows(s, stride, queries, query_stride, packed + (from - origin) * dim, dim, rows, to - from, dim, 0);
}

SCRATCH(attention_scratch)(long longest, long dim, long window) {
  long count = window > 0 ? min_of(longest, QUERY_ITEM + window) : longest;
  return packed_floats(dim, count) + packed_floats(count, dim) + QUERY_BLOCK * score_stride(count);
}

// out = softmax(scale · Q Kᵀ) V, lse = log Σ exp(scale · q kᵀ)
KERNEL(attention)(int t, int nt, float *scratch, float *out, float *lse, const float *qkv, const int *starts, long sequences,
                  long heads, long kv_heads, long dim, float scale, long window) {
  long width = (heads + 2 * kv_heads) * dim, group = heads / kv_heads, item = 0;
  for (long b = 0; b < sequences; b++) {
    long start = starts[b], n = starts[b + 1] - start;
    for (long q0 = 0; q0 < n; q0 += QUERY_ITEM)
      for (long kv = 0; kv < kv_heads; kv++, item++) {
        if (item % nt != t) continue;
        long q1 = min_of(n, q0 + QUERY_ITEM), origin = first_key(q0, window), count = q1 - origin;
        const float *rows = qkv + start * width, *key = rows + (heads + kv) * dim, *value = key + kv_heads * dim;
        float *keys = scratch, *values = keys + packed_floats(dim, count), *s = values + packed_floats(count, dim);
        pack_columns(keys, key + origin * width, width, dim, count);
        pack_rows(values, value + origin * width, width, count, dim);
        for (long q = q0; q < q1; q += QUERY_BLOCK) {
          long m = min_of(QUERY_BLOCK, q1 - q), to = q + m;
          long from = origin + (first_key(q, window) - origin) / TILE_COLS * TILE_COLS, stride = score_stride(to - from);
          for (long h = kv * group; h < (kv + 1) * group; h++) {
            scores(s, stride, rows + q * width + h * dim, width, keys, dim, m, from, to, origin);
            float inverse[QUERY_BLOCK];
            for (long i = 0; i < m; i++) {
              float *p = s + i * stride;
              long left = max_of(first_key(q + i, window) - from, 0), right = q + i + 1 - from;
              float max = scale * row_max(p + left, right - left);
              float sum = row_exp(p + left, right - left, scale, max);
              fill_floats(p, 0, left);
              fill_floats(p + right, 0, to - from - right);
              inverse[i] = 1 / sum;
              lse[(start + q + i) * heads + h] = (float)(max + log_double(sum));
            }
            float *o = out + ((start + q) * heads + h) * dim;
            multiply_rows(o, heads * dim, s, stride, values + (from - origin) * TILE_COLS, count, m, dim, to - from, 0);
            for (long i = 0; i < m; i++) {
              float *row = o + i * heads * dim;
              long c = 0;
              for (; c + LANES <= dim; c += LANES) ST(row + c, MUL(LD(row + c), SPLAT(inverse[i])));
              for (; c < dim; c++) row[c] *= inverse[i];
            }
          }
        }
      }
  }
}

// ds = scale · p (dp - mean), elementwise along a row
INLINE void score_gradient(float *dp, const float *p, long n, float mean, float scale) {
  long j = 0;
  for (; j + LANES <= n; j += LANES) ST(dp + j, MUL(MUL(LD(p + j), SPLAT(scale)), SUB(LD(dp + j), SPLAT(mean))));
  for (; j < n; j++) dp[j] = p[j] * scale * (dp[j] - mean);
}

SCRATCH(attention_backward_scratch)(long longest, long dim) {
  return 2 * packed_floats(dim, longest) + packed_floats(longest, dim) + packed_floats(QUERY_BLOCK, dim) +
         2 * QUERY_BLOCK * score_stride(longest);
}

// P = exp(scale · Q Kᵀ - lse); dV = Pᵀ dOut; dP = dOut Vᵀ; dS = scale · P ∘ (dP - rowsum(dOut ∘ out)); dQ = dS K; dK = dSᵀ Q
KERNEL(attention_backward)(int t, int nt, float *scratch, float *dQkv, const float *dOut, const float *qkv, const float *out,
                           const float *lse, const int *starts, long sequences, long heads, long kv_heads, long dim,
                           float scale, long window) {
  long width = (heads + 2 * kv_heads) * dim, group = heads / kv_heads, out_width = heads * dim, item = 0;
  for (long b = 0; b < sequences; b++) {
    long start = starts[b], n = starts[b + 1] - start;
    for (long kv = 0; kv < kv_heads; kv++, item++) {
      if (item % nt != t) continue;
      const float *rows = qkv + start * width, *key = rows + (heads + kv) * dim, *value = key + kv_heads * dim;
      float *d_rows = dQkv + start * width, *d_key = d_rows + (heads + kv) * dim, *d_value = d_key + kv_heads * dim;
      float *keys_t = scratch, *values_t = keys_t + packed_floats(dim, n), *keys = values_t + packed_floats(dim, n);
      float *block = keys + packed_floats(n, dim), *p0 = block + packed_floats(QUERY_BLOCK, dim);
      float *dp0 = p0 + QUERY_BLOCK * score_stride(n);
      pack_columns(keys_t, key, width, dim, n);
      pack_columns(values_t, value, width, dim, n);
      pack_rows(keys, key, width, n, dim);
      for (long i = 0; i < n; i++) {
        fill_floats(d_key + i * width, 0, dim);
        fill_floats(d_value + i * width, 0, dim);
      }
      for (long h = kv * group; h < (kv + 1) * group; h++)
        for (long q = 0; q < n; q += QUERY_BLOCK) {
          long m = min_of(QUERY_BLOCK, n - q), to = q + m, from = first_key(q, window) / TILE_COLS * TILE_COLS;
          long count = to - from, stride = score_stride(count);
          const float *query = rows + q * width + h * dim, *d_o = dOut + (start + q) * out_width + h * dim;
          const float *o = out + (start + q) * out_width + h * dim;
          scores(p0, stride, query, width, keys_t, dim, m, from, to, 0);
          scores(dp0, stride, d_o, out_width, values_t, dim, m, from, to, 0);
          for (long i = 0; i < m; i++) {
            float *p = p0 + i * stride, *dp = dp0 + i * stride;
            long left = max_of(first_key(q + i, window) - from, 0), right = q + i + 1 - from;
            row_exp(p + left, right - left, scale, lse[(start + q + i) * heads + h]);
            score_gradient(dp + left, p + left, right - left, dot(d_o + i * out_width, o + i * out_width, dim), scale);
            fill_floats(p, 0, left);
            fill_floats(dp, 0, left);
            fill_floats(p + right, 0, count - right);
            fill_floats(dp + right, 0, count - right);
          }
          multiply_rows(d_rows + q * width + h * dim, width, dp0, stride, keys + from * TILE_COLS, n, m, dim, count, 0);
          pack_rows(block, query, width, m, dim);
          multiply_columns(d_key + from * width, width, dp0, stride, block, m, count, dim, m, 1);
          pack_rows(block, d_o, out_width, m, dim);
          multiply_columns(d_value + from * width, width, p0, stride, block, m, count, dim, m, 1);
        }
    }
  }
}
