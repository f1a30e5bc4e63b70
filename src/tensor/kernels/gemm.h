// Blocks of matrix products, for linear.c, linearBf16.c and attention.c.
#pragma once

#include "kernel.h"

#define TILE_COLS (TILE_VECS * LANES)
// Blocks: a panel of B of BLOCK_K x TILE_COLS lies in the L1 cache, BLOCK_K x BLOCK_N of B and BLOCK_M x BLOCK_K of A in L2.
#define BLOCK_K 256
#define BLOCK_TILES (96 / TILE_ROWS)
#define BLOCK_M (TILE_ROWS * BLOCK_TILES)
#define BLOCK_N 256

// A packed B [K, N]: panels of TILE_COLS columns, each [K, TILE_COLS], the last one filled up with zeros.
INLINE long packed_floats(long K, long N) { return K * round_up(N, TILE_COLS); }

// packed(B) with B[k, n] = b[k · stride + n], 0 ≤ k < K, 0 ≤ n < N
static void pack_rows(float *packed, const float *b, long stride, long K, long N);
// packed(B) with B[k, n] = b[n · stride + k]
static void pack_columns(float *packed, const float *b, long stride, long K, long N);

// C = A B, or C += A B; A[m, k] = a[m · stride + k], B packed with K_packed rows of which `K` from `packed` on are used.
static void multiply_rows(float *c, long c_stride, const float *a, long stride, const float *packed, long K_packed, long M,
                          long N, long K, int accumulate);
// C = Aᵀ B, or C += Aᵀ B; Aᵀ[m, k] = a[k · stride + m]
static void multiply_columns(float *c, long c_stride, const float *a, long stride, const float *packed, long K_packed,
                             long M, long N, long K, int accumulate);

// What a product is added to: what C holds, or bias[n] + residual[m, n] (either may be null; residual lies like C).
typedef struct { int accumulate; const float *bias, *residual; } addends;
