// Matrix products. C [M, N] is computed in tiles of TILE_ROWS x TILE_COLS that stay in registers while k runs; every element
// is a sum over k in order, in blocks of BLOCK_K.
#include "gemm.h"

static void pack_rows(float *packed, const float *b, long stride, long K, long N) {
  for (long n = 0; n < N; n += TILE_COLS, packed += K * TILE_COLS) {
    const float *from = b + n;
    long width = min_of(TILE_COLS, N - n);
    if (width == TILE_COLS) {
      for (long k = 0; k < K; k++)
        for (int v = 0; v < TILE_VECS; v++) ST(packed + k * TILE_COLS + v * LANES, LD(from + k * stride + v * LANES));
    } else {
      for (long k = 0; k < K; k++)
        for (long j = 0; j < TILE_COLS; j++) packed[k * TILE_COLS + j] = j < width ? from[k * stride + j] : 0;
    }
  }
}

static void pack_columns(float *packed, const float *b, long stride, long K, long N) {
  for (long n = 0; n < N; n += TILE_COLS, packed += K * TILE_COLS) {
    const float *from = b + n * stride;
    long width = min_of(TILE_COLS, N - n), k = 0;
    if (width == TILE_COLS)
      for (; k + TRANSPOSE <= K; k += TRANSPOSE)
        for (long j = 0; j < TILE_COLS; j += TRANSPOSE)
          transpose(from + j * stride + k, stride, packed + k * TILE_COLS + j, TILE_COLS);
    for (; k < K; k++)
      for (long j = 0; j < TILE_COLS; j++) packed[k * TILE_COLS + j] = j < width ? from[j * stride + k] : 0;
  }
}

// One step of a tile: c[i] += a[i] · b for one k. `a` gives row i as a[i][0] when rows are apart, or a[0][i] when side by side.
#define STEP(A)                                                        \
  {                                                                    \
    vec row[TILE_VECS];                                                \
    _Pragma("unroll") for (int v = 0; v < TILE_VECS; v++) row[v] = LD(b + v * LANES); \
    _Pragma("unroll") for (int i = 0; i < TILE_ROWS; i++) {            \
      vec x = LD_SPLAT(A);                                             \
      _Pragma("unroll") for (int v = 0; v < TILE_VECS; v++) { \
        sum[i][v] = FMA(x, row[v], sum[i][v]);                         \
        PIN(sum[i][v]);                                                \
      }                                                                \
    }                                                                  \
    b += TILE_COLS;                                                    \
  }

#define TILE_SUMS                \
  vec sum[TILE_ROWS][TILE_VECS]; \
  _Pragma("unroll") for (int i = 0; i < TILE_ROWS; i++) _Pragma("unroll") for (int v = 0; v < TILE_VECS; v++) sum[i][v] = SPLAT(0);

// c[m, n] (+)= sum[m][n] for the `rows` x `cols` of the tile that exist.
INLINE void store_tile(float *c, long stride, vec sum[TILE_ROWS][TILE_VECS], long rows, long cols, int accumulate) {
  if (rows == TILE_ROWS && cols == TILE_COLS) {
    if (accumulate) {
      _Pragma("unroll") for (int i = 0; i < TILE_ROWS; i++)
        _Pragma("unroll") for (int v = 0; v < TILE_VECS; v++)
          ST(c + i * stride + v * LANES, ADD(LD(c + i * stride + v * LANES), sum[i][v]));
    } else {
      _Pragma("unroll") for (int i = 0; i < TILE_ROWS; i++)
        _Pragma("unroll") for (int v = 0; v < TILE_VECS; v++) ST(c + i * stride + v * LANES, sum[i][v]);
    }
    return;
  }
  float tile[TILE_ROWS * TILE_COLS];
  _Pragma("unroll") for (int i = 0; i < TILE_ROWS; i++)
    _Pragma("unroll") for (int v = 0; v < TILE_VECS; v++) ST(tile + i * TILE_COLS + v * LANES, sum[i][v]);
  for (long i = 0; i < rows; i++)
    for (long j = 0; j < cols; j++) {
      float x = tile[i * TILE_COLS + j];
      c[i * stride + j] = accumulate ? c[i * stride + j] + x : x;
    }
}

// A tile of A B where rows of A are `stride` apart. Rows that do not exist repeat the last one and are not stored.
static void tile_rows(float *c, long c_stride, const float *a, long stride, const float *b, long K, long rows, long cols,
                      int accumulate) {
  const float *at[TILE_ROWS];
  _Pragma("unroll") for (int i = 0; i < TILE_ROWS; i++) at[i] = a + (i < rows ? i : rows - 1) * stride;
  TILE_SUMS
  long k = 0;
  for (; k + 4 <= K; k += 4) {
    STEP(at[i])
    STEP(at[i] + 1)
    STEP(at[i] + 2)
    STEP(at[i] + 3)
    _Pragma("unroll") for (int i = 0; i < TILE_ROWS; i++) at[i] += 4;
  }
  for (; k < K; k++) {
    STEP(at[i])
    _Pragma("unroll") for (int i = 0; i < TILE_ROWS; i++) at[i]++;
  }
  store_tile(c, c_stride, sum, rows, cols, accumulate);
}

// A tile of Aᵀ B where the rows of Aᵀ lie side by side and successive k are `stride` apart.
static void tile_columns(float *c, long c_stride, const float *a, long stride, const float *b, long K, long rows, long cols,
                         int accumulate) {
  TILE_SUMS
  if (rows == TILE_ROWS) {
    for (long k = 0; k < K; k++, a += stride) STEP(a + i)
  } else {
    for (long k = 0; k < K; k++, a += stride) STEP(a + (i < rows ? i : rows - 1))
  }
  store_tile(c, c_stride, sum, rows, cols, accumulate);
}

static void multiply_rows(float *c, long c_stride, const float *a, long stride, const float *packed, long K_packed, long M,
                          long N, long K, int accumulate) {
  for (long k = 0; k < K; k += BLOCK_K)
    for (long m0 = 0; m0 < M; m0 += BLOCK_M)
      for (long n = 0; n < N; n += TILE_COLS)
        for (long m = m0; m < min_of(M, m0 + BLOCK_M); m += TILE_ROWS)
          tile_rows(c + m * c_stride + n, c_stride, a + m * stride + k, stride, packed + n * K_packed + k * TILE_COLS,
                    min_of(BLOCK_K, K - k), min_of(TILE_ROWS, M - m), min_of(TILE_COLS, N - n), accumulate || k > 0);
}

static void multiply_columns(float *c, long c_stride, const float *a, long stride, const float *packed, long K_packed,
                             long M, long N, long K, int accumulate) {
  for (long k = 0; k < K; k += BLOCK_K)
    for (long m0 = 0; m0 < M; m0 += BLOCK_M)
      for (long n = 0; n < N; n += TILE_COLS)
        for (long m = m0; m < min_of(M, m0 + BLOCK_M); m += TILE_ROWS)
          tile_columns(c + m * c_stride + n, c_stride, a + k * stride + m, stride, packed + n * K_packed + k * TILE_COLS,
                       min_of(BLOCK_K, K - k), min_of(TILE_ROWS, M - m), min_of(TILE_COLS, N - n), accumulate || k > 0);
}

// The thread's rectangle of C. Each thread packs the columns of B it needs, so columns are divided first, as long as that
// leaves enough of them to each.
typedef struct { range m, n; } rectangle;
INLINE rectangle divide(long M, long N, int t, int nt) {
  int across = nt;
  while (across > 1 && (nt % across != 0 || N / across < 4 * TILE_COLS)) across--;
  int down = nt / across;
  rectangle r = {share(M, TILE_ROWS, t / across, down), share(N, TILE_COLS, t % across, across)};
  return r;
}

// For the products below: a block of packed B, and for the weight gradient one of A.
SCRATCH(linear_scratch)(void) { return BLOCK_K * (BLOCK_N + BLOCK_M); }

// out[m, n] = Σ_k x[m, k] w[n, k] + bias[n]
KERNEL(linear)(int t, int nt, float *scratch, float *out, const float *x, const float *w, const float *bias, long M, long K,
               long N) {
  rectangle r = divide(M, N, t, nt);
  if (bias)
    for (long m = r.m.begin; m < r.m.end; m++) copy_floats(out + m * N + r.n.begin, bias + r.n.begin, r.n.end - r.n.begin);
  if (r.m.begin == r.m.end) return;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k);
      pack_columns(scratch, w + n * K + k, K, kk, nn);
      multiply_rows(out + r.m.begin * N + n, N, x + r.m.begin * K + k, K, scratch, kk, r.m.end - r.m.begin, nn, kk,
                    bias != 0 || k > 0);
    }
}

// dX[m, n] (+)= Σ_k dOut[m, k] w[k, n]
KERNEL(linear_input_gradient)(int t, int nt, float *scratch, float *dX, const float *dOut, const float *w, int accumulate,
                              long M, long N, long K) {
  rectangle r = divide(M, N, t, nt);
  if (r.m.begin == r.m.end) return;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k);
      pack_rows(scratch, w + k * N + n, N, kk, nn);
      multiply_rows(dX + r.m.begin * N + n, N, dOut + r.m.begin * K + k, K, scratch, kk, r.m.end - r.m.begin, nn, kk,
                    accumulate || k > 0);
    }
}

// dW[m, n] += Σ_k dOut[k, m] x[k, n]
KERNEL(linear_weight_gradient)(int t, int nt, float *scratch, float *dW, const float *dOut, const float *x, long K, long N,
                               long M) {
  rectangle r = divide(M, N, t, nt);
  if (r.m.begin == r.m.end) return;
  float *block = scratch + BLOCK_K * BLOCK_N;
  for (long n = r.n.begin; n < r.n.end; n += BLOCK_N)
    for (long k = 0; k < K; k += BLOCK_K) {
      long nn = min_of(BLOCK_N, r.n.end - n), kk = min_of(BLOCK_K, K - k);
      pack_rows(scratch, x + k * N + n, N, kk, nn);
      // Tiles read dOut down its columns; a copy of a block keeps them from sharing few sets of the cache.
      for (long m = r.m.begin; m < r.m.end; m += BLOCK_M) {
        long mm = min_of(BLOCK_M, r.m.end - m);
        for (long i = 0; i < kk; i++) copy_floats(block + i * BLOCK_M, dOut + (k + i) * M + m, mm);
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
