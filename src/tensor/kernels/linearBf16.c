// The products of linear.c with factors rounded to bfloat16 and sums in float32, where the machine multiplies pairs of them:
// twice the f32 peak with AVX512-BF16. An element of the packed blocks holds two successive k, so tiles and packing are those
// of gemm.c with half as many k.
#include "gemm.h"

// Whether they are there.
SCRATCH(multiplies_pairs)(void) { return HAS_PAIRS; }

#if HAS_PAIRS
#define PAIRS(k) (((k) + 1) / 2)
#define PAIR_STRIDE (BLOCK_K + 16)

TILES_OF(tile_rows, _pairs, 1)
TILES_OF(tile_columns, _pairs, 1)

// to[i, p] = (x[i, 2p], x[i, 2p + 1]); the second is 0 past the end
static void pairs_along(float *to, long to_stride, const float *x, long stride, long rows, long K) {
  for (long i = 0; i < rows; i++)
    for (long k = 0; k < K; k += 2 * LANES) ST_PAIRS_ALONG(to + i * to_stride + k / 2, x + i * stride + k, K - k);
}

// to[p, i] = (x[2p, i], x[2p + 1, i]); the second is 0 past the end
static void pairs_across(float *to, long to_stride, const float *x, long stride, long K, long n) {
  for (long k = 0; k < K; k += 2)
    for (long i = 0; i < n; i += LANES) {
      long rest = min_of(LANES, n - i);
      const float *first = x + k * stride + i;
      ST_PART(to + k / 2 * to_stride + i, PAIRS_ACROSS(LD_PART(first, rest), k + 1 < K ? LD_PART(first + stride, rest) : SPLAT(0)),
              rest);
    }
}

// A block of B and its pairs before they are packed, and a block of A.
#define UNPACKED (BLOCK_K * BLOCK_N)
SCRATCH(linear_bf16_scratch)(void) { return 2 * BLOCK_K * BLOCK_N + PAIR_STRIDE * BLOCK_M; }

// packed(B) in pairs, with B[k, n] = b[n · stride + k]
INLINE void pack_pairs(float *packed, float *unpacked, const float *b, long stride, long K, long N) {
  pairs_along(unpacked, PAIRS(K), b, stride, N, K);
  pack_columns(packed, unpacked, PAIRS(K), PAIRS(K), N);
}

INLINE void multiply_pairs(float *c, long N, const float *a, long stride, float *copy, const float *packed, long packed_K,
                           long M, long nn, long kk, addends plus) {
  for (long b = 0; b < blocks_of(M); b++) {
    range block = block_of(M, b);
    long m = block.begin, mm = block.end - m;
    pairs_along(copy, PAIR_STRIDE, a + m * stride, stride, mm, kk);
    addends here = {plus.accumulate, plus.bias, plus.residual ? plus.residual + m * N : 0};
    multiply(tile_rows_pairs_of, c + m * N, N, copy, PAIR_STRIDE, PAIR_STRIDE, 1, packed, packed_K, mm, nn, PAIRS(kk), here);
  }
}

KERNEL(linear_bf16)(int t, int nt, float *scratch, float *out, const float *x, const float *w, const float *bias,
                    const float *residual, long M, long K, long N) {
  rectangle r = divide(M, N, t, nt, PACK_TRANSPOSED);
  if (r.m.begin == r.m.end || r.n.begin == r.n.end) return;
  float *unpacked = scratch + UNPACKED, *copy = unpacked + UNPACKED;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k), at = r.m.begin * N + n;
      addends plus = k > 0 ? (addends){1, 0, 0} : (addends){0, bias ? bias + n : 0, residual ? residual + at : 0};
      pack_pairs(scratch, unpacked, w + n * K + k, K, kk, nn);
      multiply_pairs(out + at, N, x + r.m.begin * K + k, K, copy, scratch, PAIRS(kk), r.m.end - r.m.begin, nn, kk, plus);
    }
}

SCRATCH(packed_weight_bf16)(long K, long N) { return packed_floats(PAIRS(K), N); }

KERNEL(pack_weight_bf16)(int t, int nt, float *scratch, float *packed, const float *w, long K, long N) {
  range r = share(N, TILE_COLS, t, nt);
  for (long n = r.begin; n < r.end; n += TILE_COLS)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(TILE_COLS, r.end - n), kk = min_of(BLOCK_K, K - k);
      pack_pairs(packed + n * PAIRS(K) + k / 2 * TILE_COLS, scratch, w + n * K + k, K, kk, nn);
    }
}

KERNEL(linear_packed_bf16)(int t, int nt, float *scratch, float *out, const float *x, const float *packed, const float *bias,
                           const float *residual, long M, long K, long N) {
  range r = share(N, TILE_COLS, t, nt);
  if (r.begin == r.end) return;
  for (long k = 0; k < K; k += BLOCK_K) {
    addends plus = k > 0 ? (addends){1, 0, 0} : (addends){0, bias ? bias + r.begin : 0, residual ? residual + r.begin : 0};
    multiply_pairs(out + r.begin, N, x + k, K, scratch, packed + r.begin * PAIRS(K) + k / 2 * TILE_COLS, PAIRS(K), M,
                   r.end - r.begin, min_of(BLOCK_K, K - k), plus);
  }
}

KERNEL(linear_input_gradient_bf16)(int t, int nt, float *scratch, float *dX, const float *dOut, const float *w,
                                   int accumulate, long M, long N, long K) {
  rectangle r = divide(M, N, t, nt, PACK_ROWS);
  if (r.m.begin == r.m.end || r.n.begin == r.n.end) return;
  float *unpacked = scratch + UNPACKED, *copy = unpacked + UNPACKED;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k);
      pairs_across(unpacked, nn, w + k * N + n, N, kk, nn);
      pack_rows(scratch, unpacked, nn, PAIRS(kk), nn);
      multiply_pairs(dX + r.m.begin * N + n, N, dOut + r.m.begin * K + k, K, copy, scratch, PAIRS(kk),
                     r.m.end - r.m.begin, nn, kk, (addends){accumulate || k > 0, 0, 0});
    }
}

KERNEL(linear_weight_gradient_bf16)(int t, int nt, float *scratch, float *dW, const float *dOut, const float *x, long K,
                                    long N, long M) {
  rectangle r = divide(M, N, t, nt, PACK_ROWS);
  if (r.m.begin == r.m.end || r.n.begin == r.n.end) return;
  float *unpacked = scratch + UNPACKED, *copy = unpacked + UNPACKED;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k);
      pairs_across(unpacked, nn, x + k * N + n, N, kk, nn);
      pack_rows(scratch, unpacked, nn, PAIRS(kk), nn);
      for (long b = 0; b < blocks_of(r.m.end - r.m.begin); b++) {
        range rows = block_of(r.m.end - r.m.begin, b);
        long m = r.m.begin + rows.begin, mm = rows.end - rows.begin;
        pairs_across(copy, BLOCK_M, dOut + k * M + m, M, kk, mm);
        multiply(tile_columns_pairs_of, dW + m * N + n, N, copy, BLOCK_M, 1, BLOCK_M, scratch, PAIRS(kk), mm, nn, PAIRS(kk),
                 (addends){1, 0, 0});
      }
    }
}
#endif
