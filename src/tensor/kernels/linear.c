// Linear layers: out = x wᵀ + bias + residual, and its gradients.
#include "gemm.h"

// C = A B + what it is added to, for a block of packed B. Rows of A whole pages apart share few sets of the cache: such a block
// is copied, ROW_STRIDE apart (K 1024 on one core of Zen 4: 80 GF/s instead of 54; at other strides it would cost 5 %).
#define ROW_STRIDE (BLOCK_K + 16)
INLINE void multiply_block(float *c, long N, const float *a, long stride, float *copy, const float *packed, long M, long nn,
                           long kk, addends plus) {
  if (stride % 1024 != 0 || M < BLOCK_M) {
    multiply(tile_rows_of, c, N, a, stride, stride, 1, packed, kk, M, nn, kk, plus);
    return;
  }
  for (long b = 0; b < blocks_of(M); b++) {
    range block = block_of(M, b);
    long m = block.begin, mm = block.end - m;
    for (long i = 0; i < mm; i++) copy_floats(copy + i * ROW_STRIDE, a + (m + i) * stride, kk);
    addends here = {plus.accumulate, plus.bias, plus.residual ? plus.residual + m * N : 0};
    multiply(tile_rows_of, c + m * N, N, copy, ROW_STRIDE, ROW_STRIDE, 1, packed, kk, mm, nn, kk, here);
  }
}

// For the products below: a block of packed B and a block of A.
SCRATCH(linear_scratch)(void) { return BLOCK_K * BLOCK_N + ROW_STRIDE * BLOCK_M; }

// out[m, n] = Σ_k x[m, k] w[n, k] + bias[n] + residual[m, n]
KERNEL(linear)(int t, int nt, float *scratch, float *out, const float *x, const float *w, const float *bias,
               const float *residual, long M, long K, long N) {
  rectangle r = divide(M, N, t, nt, PACK_TRANSPOSED);
  if (r.m.begin == r.m.end || r.n.begin == r.n.end) return;
  float *copy = scratch + BLOCK_K * BLOCK_N;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k), at = r.m.begin * N + n;
      addends plus = k > 0 ? (addends){1, 0, 0} : (addends){0, bias ? bias + n : 0, residual ? residual + at : 0};
      pack_columns(scratch, w + n * K + k, K, kk, nn);
      multiply_block(out + at, N, x + r.m.begin * K + k, K, copy, scratch, r.m.end - r.m.begin, nn, kk, plus);
    }
}

// A weight that many small products share is packed once, all of K at a time.
SCRATCH(packed_weight)(long K, long N) { return packed_floats(K, N); }

KERNEL(pack_weight)(int t, int nt, float *scratch, float *packed, const float *w, long K, long N) {
  range r = share(N, TILE_COLS, t, nt);
  if (r.begin < r.end) pack_columns(packed + r.begin * K, w + r.begin * K, K, K, r.end - r.begin);
}

// The same sums in the same order as `linear`.
KERNEL(linear_packed)(int t, int nt, float *scratch, float *out, const float *x, const float *packed, const float *bias,
                      const float *residual, long M, long K, long N) {
  range r = share(N, TILE_COLS, t, nt);
  addends plus = {0, bias ? bias + r.begin : 0, residual ? residual + r.begin : 0};
  if (r.begin < r.end)
    multiply(tile_rows_of, out + r.begin, N, x, K, K, 1, packed + r.begin * K, K, M, r.end - r.begin, K, plus);
}

// dX[m, n] (+)= Σ_k dOut[m, k] w[k, n]
KERNEL(linear_input_gradient)(int t, int nt, float *scratch, float *dX, const float *dOut, const float *w, int accumulate,
                              long M, long N, long K) {
  rectangle r = divide(M, N, t, nt, PACK_ROWS);
  if (r.m.begin == r.m.end || r.n.begin == r.n.end) return;
  float *copy = scratch + BLOCK_K * BLOCK_N;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k);
      pack_rows(scratch, w + k * N + n, N, kk, nn);
      multiply_block(dX + r.m.begin * N + n, N, dOut + r.m.begin * K + k, K, copy, scratch, r.m.end - r.m.begin, nn, kk,
                     (addends){accumulate || k > 0, 0, 0});
    }
}

// dW[m, n] += Σ_k dOut[k, m] x[k, n]
KERNEL(linear_weight_gradient)(int t, int nt, float *scratch, float *dW, const float *dOut, const float *x, long K, long N,
                               long M) {
  rectangle r = divide(M, N, t, nt, PACK_ROWS);
  if (r.m.begin == r.m.end || r.n.begin == r.n.end) return;
  float *block = scratch + BLOCK_K * BLOCK_N;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k);
      pack_rows(scratch, x + k * N + n, N, kk, nn);
      if (M % 1024 != 0) {
        multiply_columns(dW + r.m.begin * N + n, N, dOut + k * M + r.m.begin, M, scratch, kk, r.m.end - r.m.begin, nn, kk, 1);
        continue;
      }
      // Tiles read dOut down its columns; where its rows are whole pages apart, they would share few sets of the cache.
      for (long b = 0; b < blocks_of(r.m.end - r.m.begin); b++) {
        range rows = block_of(r.m.end - r.m.begin, b);
        long m = r.m.begin + rows.begin, mm = rows.end - rows.begin;
        for (long i = 0; i < kk; i++) {
          fetch_piece(dOut + (k + i + AHEAD) * M + m, mm);
          copy_floats(block + i * BLOCK_M, dOut + (k + i) * M + m, mm);
        }
        multiply_columns(dW + m * N + n, N, block, BLOCK_M, scratch, kk, mm, nn, kk, 1);
      }
    }
}

// dBias[m] += Σ_k dOut[k, m]
KERNEL(linear_bias_gradient)(int t, int nt, float *scratch, float *dBias, const float *dOut, long K, long M) {
  range r = share(M, LANES, t, nt);
  for (long k0 = 0; k0 < K; k0 += BLOCK_K) {
    long k1 = min_of(K, k0 + BLOCK_K), m = r.begin;
    for (; m + LANES <= r.end; m += LANES) {
      vec sum = SPLAT(0);
      for (long k = k0; k < k1; k++) sum = ADD(sum, LD(dOut + k * M + m));
      ST(dBias + m, ADD(LD(dBias + m), sum));
    }
    for (; m < r.end; m++) {
      float sum = 0;
      for (long k = k0; k < k1; k++) sum += dOut[k * M + m];
      dBias[m] += sum;
    }
  }
}
