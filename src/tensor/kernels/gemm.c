// Matrix products. C [M, N] is computed in tiles of up to TILE_ROWS x TILE_COLS that stay in registers while k runs; every
// element is a sum over k in order, in blocks of BLOCK_K, whatever tile it falls into: a row's result does not depend on the
// rows beside it. Rows are divided into tiles of almost equal height, so that 16 rows are 8 + 8 and not 14 + 2.
#include "gemm.h"
#include "tail.h"

// Rows that are read in pieces are no stream that the machine recognises: they are asked for this many rows ahead.
#define AHEAD 12
INLINE void fetch_piece(const float *row, long n) {
  for (long i = 0; i < n; i += 16) PREFETCH(row + i);
}

static void pack_rows(float *packed, const float *b, long stride, long K, long N) {
  for (long n = 0; n < N; n += TILE_COLS, packed += K * TILE_COLS) {
    const float *from = b + n;
    long width = min_of(TILE_COLS, N - n);
    if (width == TILE_COLS) {
      for (long k = 0; k < K; k++) {
        fetch_piece(from + (k + AHEAD) * stride, TILE_COLS);
        UNROLL for (int v = 0; v < TILE_VECS; v++) ST(packed + k * TILE_COLS + v * LANES, LD(from + k * stride + v * LANES));
      }
    } else {
      for (long k = 0; k < K; k++)
        UNROLL for (int v = 0; v < TILE_VECS; v++) {
          long rest = width - v * LANES;
          const float *at = from + k * stride + v * LANES;
          ST(packed + k * TILE_COLS + v * LANES, rest >= LANES ? LD(at) : rest > 0 ? LD_PART(at, rest) : SPLAT(0));
        }
    }
  }
}

static void pack_columns(float *packed, const float *b, long stride, long K, long N) {
  for (long n = 0; n < N; n += TILE_COLS, packed += K * TILE_COLS) {
    const float *from = b + n * stride;
    long width = min_of(TILE_COLS, N - n), whole = width / TRANSPOSE * TRANSPOSE, k = 0;
    for (; k + TRANSPOSE <= K; k += TRANSPOSE) {
      for (long j = 0; j < whole; j += TRANSPOSE)
        transpose(from + j * stride + k, stride, packed + k * TILE_COLS + j, TILE_COLS);
      for (long i = k; i < k + TRANSPOSE; i++)
        for (long j = whole; j < TILE_COLS; j++) packed[i * TILE_COLS + j] = j < width ? from[j * stride + i] : 0;
    }
    for (; k < K; k++)
      for (long j = 0; j < TILE_COLS; j++) packed[k * TILE_COLS + j] = j < width ? from[j * stride + k] : 0;
  }
}

// c[m, n] = sum[m][n] + what it is added to, for the `rows` x `cols` of the tile that exist.
INLINE void store_tile(float *c, long stride, vec sum[TILE_ROWS][TILE_VECS], const int rows, long cols, addends plus) {
  const float *base = plus.accumulate ? c : plus.residual;
  if (cols < TILE_COLS) {
    float tile[TILE_ROWS * TILE_COLS];
    UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int v = 0; v < TILE_VECS; v++) ST(tile + i * TILE_COLS + v * LANES, sum[i][v]);
    for (long i = 0; i < rows; i++)
      for (long j = 0; j < cols; j++) {
        float x = tile[i * TILE_COLS + j];
        if (plus.bias) x += plus.bias[j];
        c[i * stride + j] = base ? x + base[i * stride + j] : x;
      }
    return;
  }
  if (plus.bias)
    UNROLL for (int v = 0; v < TILE_VECS; v++) {
      vec bias = LD(plus.bias + v * LANES);
      UNROLL for (int i = 0; i < rows; i++) sum[i][v] = ADD(sum[i][v], bias);
    }
  if (base) {
    UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int v = 0; v < TILE_VECS; v++)
        ST(c + i * stride + v * LANES, ADD(sum[i][v], LD(base + i * stride + v * LANES)));
  } else {
    UNROLL for (int i = 0; i < rows; i++)
      UNROLL for (int v = 0; v < TILE_VECS; v++) ST(c + i * stride + v * LANES, sum[i][v]);
  }
}

// One step of a tile: c[i] += A · b for one k (for one pair of k when the elements are pairs of bfloat16).
#define STEP(A)                                                    \
  {                                                                \
    vec row[TILE_VECS];                                            \
    UNROLL for (int v = 0; v < TILE_VECS; v++) row[v] = LD(b + v * LANES); \
    UNROLL for (int i = 0; i < rows; i++) {                        \
      vec x = LD_SPLAT(A);                                         \
      UNROLL for (int v = 0; v < TILE_VECS; v++) {                 \
        sum[i][v] = pairs ? DOT_PAIRS(x, row[v], sum[i][v]) : FMA(x, row[v], sum[i][v]); \
        PIN(sum[i][v]);                                            \
      }                                                            \
    }                                                              \
    b += TILE_COLS;                                                \
  }

// Stores commit in order: lines of C that come from beyond the L2 cache are asked for before they are needed, a row at a time
// so that the requests do not stand in the way of the loads (K 64, C in L3, one core of Zen 4: 65 GF/s without, 92 with).
INLINE void fetch_row(const float *c, long cols) {
  PREFETCH_WRITE(c);
  for (int j = 16; j < TILE_COLS; j += 16) PREFETCH_WRITE(c + min_of(j, cols - 1));
  PREFETCH_WRITE(c + cols - 1);
}

// A tile of A B where rows of A are `stride` apart. A pointer serves POINTER_ROWS rows.
INLINE void tile_rows(const int rows, const int pairs, float *c, long c_stride, const float *a, long stride, const float *b,
                      long K, long cols, addends plus) {
  const float *at[TILE_ROWS];
  vec sum[TILE_ROWS][TILE_VECS];
  UNROLL for (int i = 0; i < rows; i += POINTER_ROWS) at[i] = a + i * stride;
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < TILE_VECS; v++) sum[i][v] = SPLAT(0);
#define A_ROW(i) at[(i) / POINTER_ROWS * POINTER_ROWS] + (i) % POINTER_ROWS * stride
  long k = 0;
  for (; k + 4 <= K; k += 4) {
    fetch_row(c + min_of(k / 4, rows - 1) * c_stride, cols);
    fetch_piece(a + rows * stride + k / 4 * 64, 4 * rows);
    STEP(A_ROW(i))
    STEP(A_ROW(i) + 1)
    STEP(A_ROW(i) + 2)
    STEP(A_ROW(i) + 3)
    UNROLL for (int i = 0; i < rows; i += POINTER_ROWS) at[i] += 4;
  }
  for (; k < K; k++) {
    STEP(A_ROW(i))
    UNROLL for (int i = 0; i < rows; i += POINTER_ROWS) at[i]++;
  }
  store_tile(c, c_stride, sum, rows, cols, plus);
}

// A tile of Aᵀ B where the rows of Aᵀ lie side by side and successive k are `stride` apart.
INLINE void tile_columns(const int rows, const int pairs, float *c, long c_stride, const float *a, long stride,
                         const float *b, long K, long cols, addends plus) {
  vec sum[TILE_ROWS][TILE_VECS];
  UNROLL for (int i = 0; i < rows; i++) fetch_row(c + i * c_stride, cols);
  UNROLL for (int i = 0; i < rows; i++) UNROLL for (int v = 0; v < TILE_VECS; v++) sum[i][v] = SPLAT(0);
#define FETCH_COLUMN                       \
  PREFETCH(a + AHEAD * stride);            \
  PREFETCH(a + AHEAD * stride + rows - 1); \
  STEP(a + i)                              \
  a += stride;
  long k = 0;
  for (; k + 4 <= K; k += 4) { FETCH_COLUMN FETCH_COLUMN FETCH_COLUMN FETCH_COLUMN }
  for (; k < K; k++) { FETCH_COLUMN }
  store_tile(c, c_stride, sum, rows, cols, plus);
}

// One function for every height of a tile, so that the height is a constant in each.
#define TILE_OF(kind, suffix, pairs, rows)                                                                                 \
  static __attribute__((noinline)) void kind##suffix##_##rows(float *c, long c_stride, const float *a, long stride,       \
                                                              const float *b, long K, long cols, addends plus) {          \
    kind(rows, pairs, c, c_stride, a, stride, b, K, cols, plus);                                                          \
  }
typedef void (*tile)(float *c, long c_stride, const float *a, long stride, const float *b, long K, long cols, addends plus);
#if TILE_ROWS == 14
#define TILES_OF(kind, suffix, pairs)                                                                                      \
  TILE_OF(kind, suffix, pairs, 1) TILE_OF(kind, suffix, pairs, 2) TILE_OF(kind, suffix, pairs, 3)                         \
  TILE_OF(kind, suffix, pairs, 4) TILE_OF(kind, suffix, pairs, 5) TILE_OF(kind, suffix, pairs, 6)                         \
  TILE_OF(kind, suffix, pairs, 7) TILE_OF(kind, suffix, pairs, 8) TILE_OF(kind, suffix, pairs, 9)                         \
  TILE_OF(kind, suffix, pairs, 10) TILE_OF(kind, suffix, pairs, 11) TILE_OF(kind, suffix, pairs, 12)                      \
  TILE_OF(kind, suffix, pairs, 13) TILE_OF(kind, suffix, pairs, 14)                                                       \
  static const tile kind##suffix##_of[] = {0,                                                                             \
    kind##suffix##_1, kind##suffix##_2, kind##suffix##_3, kind##suffix##_4, kind##suffix##_5, kind##suffix##_6,           \
    kind##suffix##_7, kind##suffix##_8, kind##suffix##_9, kind##suffix##_10, kind##suffix##_11, kind##suffix##_12,        \
    kind##suffix##_13, kind##suffix##_14};
#else
#define TILES_OF(kind, suffix, pairs)                                                                                      \
  TILE_OF(kind, suffix, pairs, 1) TILE_OF(kind, suffix, pairs, 2) TILE_OF(kind, suffix, pairs, 3)                         \
  TILE_OF(kind, suffix, pairs, 4) TILE_OF(kind, suffix, pairs, 5) TILE_OF(kind, suffix, pairs, 6)                         \
  static const tile kind##suffix##_of[] = {0,                                                                             \
    kind##suffix##_1, kind##suffix##_2, kind##suffix##_3, kind##suffix##_4, kind##suffix##_5, kind##suffix##_6};
#endif
TILES_OF(tile_rows, , 0)
TILES_OF(tile_columns, , 0)

// M rows are cut into the fewest tiles, and those into the fewest blocks, of almost equal size. Rows of block `b` of them:
INLINE long blocks_of(long M) { return (M + BLOCK_M - 1) / BLOCK_M; }
INLINE range block_of(long M, long b) {
  long tiles = (M + TILE_ROWS - 1) / TILE_ROWS, blocks = blocks_of(M);
  range r = {M * (tiles * b / blocks) / tiles, M * (tiles * (b + 1) / blocks) / tiles};
  return r;
}

// All tiles of C [M, N]; row m of A begins at a + m · m_step, and blocks of BLOCK_K are k_step · BLOCK_K apart.
INLINE void multiply(const tile *tiles, float *c, long c_stride, const float *a, long stride, long m_step, long k_step,
                     const float *packed, long K_packed, long M, long N, long K, addends plus) {
  for (long k = 0; k < K; k += BLOCK_K) {
    long kk = min_of(BLOCK_K, K - k), blocks = blocks_of(M);
    addends added = k > 0 ? (addends){1, 0, 0} : plus;
    for (long b = 0; b < blocks; b++) {
      range block = block_of(M, b);
      long height = block.end - block.begin, count = (height + TILE_ROWS - 1) / TILE_ROWS;
      for (long n = 0; n < N; n += TILE_COLS)
        for (long i = 0; i < count; i++) {
          long m = block.begin + height * i / count, rows = block.begin + height * (i + 1) / count - m;
          addends here = {added.accumulate, added.bias ? added.bias + n : 0,
                          added.residual ? added.residual + m * c_stride + n : 0};
          tiles[rows](c + m * c_stride + n, c_stride, a + m * m_step + k * k_step, stride,
                      packed + n * K_packed + k * TILE_COLS, kk, min_of(TILE_COLS, N - n), here);
        }
    }
  }
}

static void multiply_rows(float *c, long c_stride, const float *a, long stride, const float *packed, long K_packed, long M,
                          long N, long K, int accumulate) {
  multiply(tile_rows_of, c, c_stride, a, stride, stride, 1, packed, K_packed, M, N, K, (addends){accumulate, 0, 0});
}

static void multiply_columns(float *c, long c_stride, const float *a, long stride, const float *packed, long K_packed,
                             long M, long N, long K, int accumulate) {
  multiply(tile_columns_of, c, c_stride, a, stride, 1, stride, packed, K_packed, M, N, K, (addends){accumulate, 0, 0});
}

// The thread's rectangle of C, of nt: of all ways to divide rows and columns, the one with the largest rectangle smallest,
// counting that each thread packs its columns of B (at the price of `pack` more rows) and copies its rows of A.
#define PACK_TRANSPOSED 16
#define PACK_ROWS 4
#define COPY 4
typedef struct { range m, n; } rectangle;
INLINE rectangle divide(long M, long N, int t, int nt, long pack) {
  int across = 1;
  long least = -1;
  for (int a = 1; a <= nt; a++) {
    if (nt % a != 0) continue;
    long rows = round_up((round_up(M, TILE_ROWS) + nt / a - 1) / (nt / a), TILE_ROWS);
    long cols = round_up((round_up(N, TILE_COLS) + a - 1) / a, TILE_COLS), cost = rows * cols + pack * cols + COPY * rows;
    if (least < 0 || cost < least) least = cost, across = a;
  }
  int down = nt / across;
  rectangle r = {share(M, TILE_ROWS, t / across, down), share(N, TILE_COLS, t % across, across)};
  return r;
}
