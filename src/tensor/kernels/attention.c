// Causal attention of packed sequences.
//
// A key head is shared by `group` query heads. The queries of all of them, numbered c = query · group + head, are the columns
// of one product with its keys. Columns are taken COLUMNS at a time, in panels of TILE_COLS, and scores lie transposed,
// S[key, column]:
//  - S = K Qᵀ comes out as the packed operand of the next product, and keys and values are read as they lie: only queries are
//    packed;
//  - softmax runs along keys, which are rows: maxima, sums and exponentials are whole vectors of columns, with no tails;
//  - what is computed in vain at the diagonal is TILE_COLS / group keys high, not TILE_COLS.
// Keys pass in blocks of KEY_BLOCK, so that they, their values and their scores stay in the L1 cache; maxima and sums are
// corrected from block to block (Milakov and Gimelshein 2018). Keys that no query of a panel sees are never computed.
//
// Measured per layer on one core of an EPYC of the Zen 4 generation, milliseconds forward / backward, AVX-512:
//   16 sequences of 128, 4 heads on 2 of 16: 0.57 / 1.21 (scores [query, key], keys and values packed: 1.5 / 2.5)
//    8 of 256, 8 on 4 of 32: 4.2 / 9.0 (5.8 / 10.8)   16 of 256, 8 on 4 of 8: 3.2 / 7.2 (8.0 / 15.1)
//    1 of 2048, 8 on 4 of 64: 49 / 109 (56 / 145), 88 and 99 GF/s of useful work
// AVX2: 0.67 / 1.34, 4.7 / 10.0, 3.6 / 6.8, 53 / 119. Heads of 8 pay for half of every AVX-512 vector in dK and dV.
#include "exp.h"
#include "gemm.h"
#include "tail.h"
#include "tanh.h"

#define COLUMNS 32
#define KEY_BLOCK 64
// Queries of one forward item: long sequences are divided between threads too.
#define QUERY_ITEM 128

// Added to the score of a key that a query does not see: 2 to this is 0.
#define HIDDEN -1e30f

// The columns [first, first + count) of a key head with `group` query heads.
typedef struct { long first, count, group, window; } columns;

// The keys that any of the columns sees.
INLINE range keys_of(columns p) {
  range r = {p.window > 0 ? max_of(0, p.first / p.group - p.window + 1) : 0, (p.first + p.count - 1) / p.group + 1};
  return r;
}
// Panel i of them, if it is there.
INLINE columns panel_of(columns p, long i) {
  columns r = {p.first + i * TILE_COLS, min_of(TILE_COLS, p.count - i * TILE_COLS), p.group, p.window};
  return r;
}
INLINE long panels(columns p) { return (p.count + TILE_COLS - 1) / TILE_COLS; }

// to[i, :] = from[i, :] for rows of `dim` elements `stride` apart
INLINE void gather(float *to, const float *from, long stride, long rows, long dim) {
  for (long i = 0; i < rows; i++) copy_floats(to + i * dim, from + i * stride, dim);
}

// to = scale · from
INLINE void scale_row(float *to, const float *from, long n, float scale) {
  long i = 0;
  for (; i + LANES <= n; i += LANES) ST(to + i, MUL(LD(from + i), SPLAT(scale)));
  if (i < n) ST_PART(to + i, MUL(LD_PART(from + i, n - i), SPLAT(scale)), n - i);
}

// to[c, :] = scale · column c, rows `to_stride` apart, and 0 for the columns that COLUMNS is short of; the row of all heads of
// a query is at from + query · stride
INLINE void gather_columns(float *to, long to_stride, const float *from, long stride, columns p, long dim, float scale) {
  long q = p.first / p.group, h = p.first % p.group;
  for (long c = 0; c < p.count; c++) {
    scale_row(to + c * to_stride, from + q * stride + h * dim, dim, scale);
    if (++h == p.group) h = 0, q++;
  }
  for (long c = p.count; c < COLUMNS; c++) fill_floats(to + c * to_stride, 0, dim);
}

// Column c in `to` = scale · x[:, c], x panels of [dim, TILE_COLS]; `turned` is scratch of the size of x.
INLINE void scatter_columns(float *to, long stride, const float *x, float *turned, columns p, long dim, float scale) {
  for (long i = 0; i < panels(p); i++) {
    const float *from = x + i * dim * TILE_COLS;
    float *rows = turned + i * dim * TILE_COLS;
    long d = 0;
    for (; d + TRANSPOSE <= dim; d += TRANSPOSE)
      for (long c = 0; c < TILE_COLS; c += TRANSPOSE) transpose(from + d * TILE_COLS + c, TILE_COLS, rows + c * dim + d, dim);
    for (; d < dim; d++)
      for (long c = 0; c < TILE_COLS; c++) rows[c * dim + d] = from[d * TILE_COLS + c];
  }
  long q = p.first / p.group, h = p.first % p.group;
  for (long c = 0; c < p.count; c++) {
    scale_row(to + q * stride + h * dim, turned + c * dim, dim, scale);
    if (++h == p.group) h = 0, q++;
  }
}

// What hides keys: zeros between two rows of HIDDEN. Loaded e elements before the zeros, it hides the columns below e; e before
// their end, it hides those from e on.
typedef struct { float at[3 * TILE_COLS]; } edges;
INLINE void make_edges(edges *e) {
  fill_floats(e->at, HIDDEN, TILE_COLS);
  fill_floats(e->at + TILE_COLS, 0, TILE_COLS);
  fill_floats(e->at + 2 * TILE_COLS, HIDDEN, TILE_COLS);
}

// Hides scores s[key, column] of a panel, keys [from, to), of keys after the column's query and of those before its window.
INLINE void hide(float *s, long from, long to, columns p, const edges *e) {
  for (long key = max_of(from, p.first / p.group + 1); key < to; key++) {
    const float *before = e->at + TILE_COLS - min_of(TILE_COLS, key * p.group - p.first);
    float *row = s + (key - from) * TILE_COLS;
    for (int v = 0; v < TILE_COLS; v += LANES) ST(row + v, ADD(LD(row + v), LD(before + v)));
  }
  if (p.window == 0) return;
  for (long key = from; key < to; key++) {
    long seen = (key + p.window) * p.group - p.first;
    if (seen >= TILE_COLS) break;
    const float *after = e->at + 2 * TILE_COLS - max_of(0, seen);
    float *row = s + (key - from) * TILE_COLS;
    for (int v = 0; v < TILE_COLS; v += LANES) ST(row + v, ADD(LD(row + v), LD(after + v)));
  }
}

// s = cap · tanh(s / cap) of `n` scores, a multiple of a vector
INLINE void cap_scores(float *s, long n, float cap) {
  vec most = SPLAT(cap), inverse = SPLAT(1 / cap);
  for (long i = 0; i < n; i += LANES) ST(s + i, capped(LD(s + i), most, inverse));
}

// max[c] becomes the largest of itself and s[:, c], s [keys, TILE_COLS]; NaNs are passed over.
INLINE void column_maxima(float *max, const float *s, long keys) {
  for (int v = 0; v < TILE_COLS; v += LANES) {
    vec a = LD(max + v), b = a, c = a, d = a;
    const float *row = s + v, *end = row + keys * TILE_COLS;
    for (; row + 3 * TILE_COLS < end; row += 4 * TILE_COLS) {
      a = MAX(a, LD(row));
      b = MAX(b, LD(row + TILE_COLS));
      c = MAX(c, LD(row + 2 * TILE_COLS));
      d = MAX(d, LD(row + 3 * TILE_COLS));
    }
    for (; row < end; row += TILE_COLS) a = MAX(a, LD(row));
    ST(max + v, MAX(MAX(a, b), MAX(c, d)));
  }
}

// log x of 1 ≤ x < ∞ (a NaN otherwise), in a form that the compiler makes vectors of: log_double in single precision.
INLINE float log_of_sum(float x) {
  union { float f; int i; } bits = {x};
  int k = (bits.i >> 23) - 127;
  bits.i = (bits.i & 0x7fffff) | 0x3f800000;
  int high = bits.f > 1.41421356f;
  float m = high ? bits.f * 0.5f : bits.f, s = (m - 1) / (m + 1), q = s * s;
  return (k + high) * (float)LN_2 + 2 * s * (1 + q * (1.f / 3 + q * (1.f / 5 + q * (1.f / 7 + q / 9)))) + (x - x);
}

// s = 2^(s - max) with the maxima of the columns up to this block; sums and the output so far, o [dim, TILE_COLS], are brought
// to these maxima and the block's sums added. s is [keys, TILE_COLS], `width` columns of which are there.
INLINE void softmax_block(float *s, long keys, float *max, float *sum, float *o, long dim, long width, int first) {
  float before[TILE_COLS];
  copy_floats(before, max, TILE_COLS);
  column_maxima(max, s, keys);
  for (int v = 0; v < width; v += LANES) {
    vec most = LD(max + v), total = SPLAT(0);
    for (float *at = s + v; at < s + keys * TILE_COLS; at += TILE_COLS) {
      vec e = exp2_vec(SUB(LD(at), most));
      ST(at, e);
      total = ADD(total, e);
    }
    if (!first) {
      vec less = exp2_vec(SUB(LD(before + v), most));
      total = FMA(LD(sum + v), less, total);
      for (float *at = o + v; at < o + dim * TILE_COLS; at += TILE_COLS) ST(at, MUL(LD(at), less));
    }
    ST(sum + v, total);
  }
}

SCRATCH(attention_scratch)(long longest, long dim, long window) {
  long keys = window > 0 ? min_of(longest, QUERY_ITEM + window) : longest;
  return (2 * keys + 3 * COLUMNS) * dim + KEY_BLOCK * TILE_COLS;
}

// out = softmax(S) V, lse = log Σ exp S of S = scale · Q Kᵀ, or cap · tanh(scale · Q Kᵀ / cap)
KERNEL(attention)(int t, int nt, float *scratch, float *out, float *lse, const float *qkv, const int *starts, long sequences,
                  long heads, long kv_heads, long dim, float scale, long window, float cap) {
  long width = (heads + 2 * kv_heads) * dim, group = heads / kv_heads, panel = dim * TILE_COLS, item = 0;
  edges edge;
  make_edges(&edge);
  for (long b = 0; b < sequences; b++) {
    long start = starts[b], n = starts[b + 1] - start;
    for (long q0 = 0; q0 < n; q0 += QUERY_ITEM)
      for (long kv = 0; kv < kv_heads; kv++, item++) {
        if (item % nt != t) continue;
        long q1 = min_of(n, q0 + QUERY_ITEM), origin = window > 0 ? max_of(0, q0 - window + 1) : 0, count = q1 - origin;
        const float *query = qkv + start * width + kv * group * dim, *key = qkv + start * width + (heads + kv) * dim;
        float *keys = scratch, *values = keys + count * dim, *packed = values + count * dim;
        float *o = packed + dim * COLUMNS, *turned = o + dim * COLUMNS, *s = turned + dim * COLUMNS;
        gather(keys, key + origin * width, width, count, dim);
        gather(values, key + kv_heads * dim + origin * width, width, count, dim);
        for (long c = q0 * group; c < q1 * group; c += COLUMNS) {
          columns p = {c, min_of(COLUMNS, q1 * group - c), group, window};
          float max[COLUMNS], sum[COLUMNS];
          fill_floats(max, -3e38f, COLUMNS);
          fill_floats(sum, 1, COLUMNS);
          gather_columns(turned, dim, query, width, p, dim, scale * (float)LOG2_E);
          pack_columns(packed, turned, dim, dim, COLUMNS);
          range seen = keys_of(p);
          for (long k0 = seen.begin; k0 < seen.end; k0 += KEY_BLOCK)
            for (long i = 0; i < panels(p); i++) {
              columns part = panel_of(p, i);
              long k1 = min_of(keys_of(part).end, k0 + KEY_BLOCK), m = k1 - k0;
              if (m <= 0) continue;
              multiply_rows(s, TILE_COLS, keys + (k0 - origin) * dim, dim, packed + i * panel, dim, m, TILE_COLS, dim, 0);
              if (cap > 0) cap_scores(s, m * TILE_COLS, cap * (float)LOG2_E);
              hide(s, k0, k1, part, &edge);
              softmax_block(s, m, max + i * TILE_COLS, sum + i * TILE_COLS, o + i * panel, dim, part.count, k0 == seen.begin);
              multiply_columns(o + i * panel, TILE_COLS, values + (k0 - origin) * dim, dim, s, m, dim, TILE_COLS, m,
                               k0 > seen.begin);
            }
          for (long i = 0; i < panels(p); i++)
            for (int v = 0; v < TILE_COLS; v += LANES) {
              vec inverse = DIV(SPLAT(1), LD(sum + i * TILE_COLS + v));
              for (long d = i * panel + v; d < (i + 1) * panel; d += TILE_COLS) ST(o + d, MUL(LD(o + d), inverse));
            }
          scatter_columns(out + (start * heads + kv * group) * dim, heads * dim, o, turned, p, dim, 1);
          for (long i = 0; i < COLUMNS; i++) max[i] = max[i] * (float)LN_2 + log_of_sum(sum[i]);
          long q = p.first / group, h = p.first % group;
          for (long i = 0; i < p.count; i++) {
            lse[(start + q) * heads + kv * group + h] = max[i];
            if (++h == group) h = 0, q++;
          }
        }
      }
  }
}

// Heights of the tiles of add_product: as many sums as hide the latency of an addition. KEY_BLOCK is a multiple of both.
#define WIDE_ROWS (TILE_ROWS > 8 ? 8 : 4)
#define NARROW_ROWS (2 * WIDE_ROWS)

// c[m, :] += Σ_k a[m, k] b[k, :] for `rows` rows and `vecs` vectors of c whose sums stay in registers while k runs over COLUMNS:
// a is in panels [KEY_BLOCK, TILE_COLS], rows of b and c are `stride` apart.
INLINE void add_tile(float *c, const float *a, const float *b, long stride, const int rows, const int vecs) {
  vec sum[NARROW_ROWS][TILE_VECS];
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < vecs; v++) sum[i][v] = SPLAT(0);
  for (int panel = 0; panel < COLUMNS / TILE_COLS; panel++, a += KEY_BLOCK * TILE_COLS)
    for (int k = 0; k < TILE_COLS; k++, b += stride) {
      vec row[TILE_VECS];
      UNROLL for (int v = 0; v < vecs; v++) row[v] = LD(b + v * LANES);
      UNROLL for (int i = 0; i < rows; i++) {
        vec x = LD_SPLAT(a + i * TILE_COLS + k);
        UNROLL for (int v = 0; v < vecs; v++) {
          sum[i][v] = FMA(x, row[v], sum[i][v]);
          PIN(sum[i][v]);
        }
      }
    }
  UNROLL for (int i = 0; i < rows; i++)
    UNROLL for (int v = 0; v < vecs; v++)
      ST(c + i * stride + v * LANES, ADD(LD(c + i * stride + v * LANES), sum[i][v]));
}
// All of c [rows, stride], rows a multiple of NARROW_ROWS: tiles TILE_VECS vectors wide, and taller ones for a vector left over.
static void add_product(float *c, const float *a, const float *b, long stride, long rows) {
  long n = 0;
  for (; n + TILE_COLS <= stride; n += TILE_COLS)
    for (long m = 0; m < rows; m += WIDE_ROWS)
      add_tile(c + m * stride + n, a + m * TILE_COLS, b + n, stride, WIDE_ROWS, TILE_VECS);
  for (; n < stride; n += LANES)
    for (long m = 0; m < rows; m += NARROW_ROWS)
      add_tile(c + m * stride + n, a + m * TILE_COLS, b + n, stride, NARROW_ROWS, 1);
}

SCRATCH(attention_backward_scratch)(long longest, long dim) {
  long row = round_up(dim, LANES);
  return 2 * longest * dim + 2 * (round_up(longest, KEY_BLOCK) + COLUMNS) * row + 4 * COLUMNS * dim + 3 * KEY_BLOCK * COLUMNS;
}

INLINE float row_dot(const float *a, const float *b, long n) {
  vec sum = SPLAT(0);
  long i = 0;
  for (; i + LANES <= n; i += LANES) sum = FMA(LD(a + i), LD(b + i), sum);
  if (i < n) sum = FMA(LD_PART(a + i, n - i), LD_PART(b + i, n - i), sum);
  return sum_lanes(sum);
}

// Where the gradients of a sequence and a key head come from and go to; rows are `width` and `out_width` apart.
typedef struct {
  const float *query, *key, *value, *d_out, *out, *lse;
  float *d_query, *d_key, *d_value;
  long n, width, out_width, heads, group, dim, window;
  float scale, cap;
} head_group;

// The gradient with respect to `keys` and their values, if `of_keys`, and to the queries of the columns in `of`, if
// `of_queries`, as far as it comes by these keys and columns. `keys` begin at a multiple of KEY_BLOCK.
static void attention_gradient(head_group g, range keys, range of, int of_keys, int of_queries, const edges *edge,
                               float *scratch) {
  long dim = g.dim, count = keys.end - keys.begin, padded = round_up(count, KEY_BLOCK);
  long row = round_up(dim, LANES), panel = dim * TILE_COLS;
  float *key = scratch, *value = key + count * dim, *d_key = value + count * dim, *d_value = d_key + padded * row;
  float *query = d_value + padded * row, *d_o = query + COLUMNS * row;
  float *query_panels = d_o + COLUMNS * row, *d_o_panels = query_panels + dim * COLUMNS;
  float *d_query = d_o_panels + dim * COLUMNS, *turned = d_query + dim * COLUMNS;
  float *p = turned + dim * COLUMNS, *ds = p + KEY_BLOCK * COLUMNS, *slopes = ds + KEY_BLOCK * COLUMNS;
  gather(key, g.key + keys.begin * g.width, g.width, count, dim);
  gather(value, g.value + keys.begin * g.width, g.width, count, dim);
  fill_floats(d_key, 0, 2 * (padded + COLUMNS) * row);
  for (long c = of.begin; c < of.end; c += COLUMNS) {
    columns block = {c, min_of(COLUMNS, of.end - c), g.group, g.window};
    range seen = keys_of(block);
    seen.begin = max_of(seen.begin / KEY_BLOCK * KEY_BLOCK, keys.begin);
    seen.end = min_of(seen.end, keys.end);
    if (seen.begin >= seen.end) continue;

    // Columns that the block has not take part in products as zeros. mean = rowsum(dOut ∘ out)
    gather_columns(query, row, g.query, g.width, block, dim, g.scale);
    gather_columns(d_o, row, g.d_out, g.out_width, block, dim, 1);
    pack_columns(query_panels, query, row, dim, COLUMNS);
    pack_columns(d_o_panels, d_o, row, dim, COLUMNS);
    float lse[COLUMNS], mean[COLUMNS];
    fill_floats(lse, 0, COLUMNS);
    fill_floats(mean, 0, COLUMNS);
    long q = c / g.group, h = c % g.group;
    for (long i = 0; i < block.count; i++) {
      lse[i] = g.lse[q * g.heads + h] * (float)LOG2_E;
      mean[i] = row_dot(d_o + i * row, g.out + q * g.out_width + h * dim, dim);
      if (++h == g.group) h = 0, q++;
    }

    for (long k0 = seen.begin; k0 < seen.end; k0 += KEY_BLOCK) {
      long all = round_up(min_of(KEY_BLOCK, seen.end - k0), NARROW_ROWS), at = k0 - keys.begin;
      for (long i = 0; i < COLUMNS / TILE_COLS; i++) {
        columns part = panel_of(block, i);
        long m = part.count > 0 ? max_of(0, min_of(min_of(seen.end - k0, KEY_BLOCK), keys_of(part).end - k0)) : 0;
        float *pp = p + i * KEY_BLOCK * TILE_COLS, *dsp = ds + i * KEY_BLOCK * TILE_COLS;
        fill_floats(pp + m * TILE_COLS, 0, (all - m) * TILE_COLS);
        fill_floats(dsp + m * TILE_COLS, 0, (all - m) * TILE_COLS);
        if (m == 0) continue;
        multiply_rows(pp, TILE_COLS, key + at * dim, dim, query_panels + i * panel, dim, m, TILE_COLS, dim, 0);
        multiply_rows(dsp, TILE_COLS, value + at * dim, dim, d_o_panels + i * panel, dim, m, TILE_COLS, dim, 0);
        if (g.cap > 0) cap_scores(pp, m * TILE_COLS, g.cap);
        vec inverse_cap = SPLAT(g.cap > 0 ? 1 / g.cap : 0);
        // Hidden scores have no gradient, and their slope must not be infinite.
        if (g.cap > 0)
          for (long j = 0; j < m * TILE_COLS; j += LANES) {
            vec u = MUL(LD(pp + j), inverse_cap);
            ST(slopes + j, SUB(constant(1.f), MUL(u, u)));
          }
        hide(pp, k0, k0 + m, part, edge);
        for (int v = 0; v < part.count; v += LANES) {
          vec less = NEG(LD(lse + i * TILE_COLS + v)), by = LD(mean + i * TILE_COLS + v), log2_e = SPLAT((float)LOG2_E);
          for (long j = v; j < m * TILE_COLS; j += TILE_COLS) {
            vec probability = exp2_vec(FMA(LD(pp + j), log2_e, less));
            ST(pp + j, probability);
            vec ds_j = MUL(probability, SUB(LD(dsp + j), by));
            ST(dsp + j, g.cap > 0 ? MUL(ds_j, LD(slopes + j)) : ds_j);
          }
        }
        if (of_queries)
          multiply_columns(d_query + i * panel, TILE_COLS, key + at * dim, dim, dsp, m, dim, TILE_COLS, m, k0 > seen.begin);
      }
      if (of_keys) {
        add_product(d_key + at * row, ds, query, row, all);
        add_product(d_value + at * row, p, d_o, row, all);
      }
    }
    if (of_queries) scatter_columns(g.d_query, g.width, d_query, turned, block, dim, g.scale);
  }
  if (of_keys)
    for (long i = 0; i < count; i++) {
      copy_floats(g.d_key + (keys.begin + i) * g.width, d_key + i * row, dim);
      copy_floats(g.d_value + (keys.begin + i) * g.width, d_value + i * row, dim);
    }
}

// Keys of an item, or queries, when the gradient of one key head is divided between threads.
#define GRADIENT_ITEM 256

// P = exp(scale · Q Kᵀ - lse); dV = Pᵀ dOut; dP = dOut Vᵀ; dS = scale · P ∘ (dP - rowsum(dOut ∘ out)), ∘ 1 - (S / cap)² of capped scores S; dQ = dS K; dK = dSᵀ Q
//
// An item is a sequence and a key head, with five products. A sequence so long that such an item would be all there is to do
// for several threads is divided further, into keys and into queries, which costs two products more; sums keep their order.
KERNEL(attention_backward)(int t, int nt, float *scratch, float *dQkv, const float *dOut, const float *qkv, const float *out,
                           const float *lse, const int *starts, long sequences, long heads, long kv_heads, long dim,
                           float scale, long window, float cap) {
  long width = (heads + 2 * kv_heads) * dim, group = heads / kv_heads, out_width = heads * dim, item = 0;
  edges edge;
  make_edges(&edge);
  double all = 0;
  for (long b = 0; b < sequences; b++) all += (double)(starts[b + 1] - starts[b]) * (starts[b + 1] - starts[b]) * kv_heads;
  for (long b = 0; b < sequences; b++) {
    long start = starts[b], n = starts[b + 1] - start, last = n * group;
    if (n == 0) continue;
    int divided = n > GRADIENT_ITEM && (double)n * n * nt > 4 * all;
    for (long kv = 0; kv < kv_heads; kv++) {
      const float *rows = qkv + start * width;
      float *d_rows = dQkv + start * width;
      long query = kv * group * dim, key = (heads + kv) * dim, value = key + kv_heads * dim;
      head_group g = {
        rows + query, rows + key, rows + value, dOut + start * out_width + query, out + start * out_width + query,
        lse + start * heads + kv * group, d_rows + query, d_rows + key, d_rows + value,
        n, width, out_width, heads, group, dim, window, scale, cap
      };
      if (!divided) {
        if (item++ % nt == t) attention_gradient(g, (range){0, n}, (range){0, last}, 1, 1, &edge, scratch);
        continue;
      }
      for (long i = 0; i < n; i += GRADIENT_ITEM) {
        long end = min_of(n, i + GRADIENT_ITEM);
        range own = {i * group, end * group}, later = {i * group / COLUMNS * COLUMNS, last};
        if (item++ % nt == t) attention_gradient(g, (range){i, end}, later, 1, 0, &edge, scratch);
        if (item++ % nt == t) attention_gradient(g, (range){0, end}, own, 0, 1, &edge, scratch);
      }
    }
  }
}
