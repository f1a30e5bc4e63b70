// RMS normalisation (Zhang and Sennrich 2019, eq. 4).
#include "tail.h"

// Σ x[c]²
INLINE float squares(const float *x, long n) {
  vec a = SPLAT(0), b = a;
  long c = 0;
  for (; c + 2 * LANES <= n; c += 2 * LANES) a = FMA(LD(x + c), LD(x + c), a), b = FMA(LD(x + c + LANES), LD(x + c + LANES), b);
  if (c + LANES <= n) a = FMA(LD(x + c), LD(x + c), a), c += LANES;
  if (c < n) b = FMA(LD_PART(x + c, n - c), LD_PART(x + c, n - c), b);
  return sum_lanes(ADD(a, b));
}

// inv = 1 / √(mean(x²) + eps); out = (plus + weight) · x · inv
KERNEL(rms_norm)(int t, int nt, float *scratch, float *out, const float *x, const float *weight, float *inv, long rows,
                 long groups, long dim, long stride, long offset, float eps, float plus) {
  range r = share(rows * groups, 1, t, nt);
  vec more = SPLAT(plus);
  for (long i = r.begin; i < r.end; i++) {
    long at = i / groups * stride + offset + i % groups * dim, c = 0;
    const float *from = x + at;
    float *to = out + at, by = inv[i] = 1 / __builtin_sqrtf(squares(from, dim) / dim + eps);
    for (; c + LANES <= dim; c += LANES) ST(to + c, MUL(MUL(LD(from + c), SPLAT(by)), ADD(LD(weight + c), more)));
    if (c < dim) {
      vec weights = ADD(LD_PART(weight + c, dim - c), more);
      ST_PART(to + c, MUL(MUL(LD_PART(from + c, dim - c), SPLAT(by)), weights), dim - c);
    }
  }
}

// inv · weight · dOut - less · x
INLINE vec norm_gradient(vec d, vec weight, vec x, vec by, vec less) { return SUB(MUL(MUL(d, weight), by), MUL(x, less)); }

// dX (+)= inv · w · dOut - inv³ · x · Σ_c(dOut · w · x) / dim with w = plus + weight
KERNEL(rms_norm_backward)(int t, int nt, float *scratch, float *dX, const float *dOut, const float *x, const float *weight,
                          const float *inv, int accumulate, long rows, long groups, long dim, long stride, long offset,
                          float plus) {
  range r = share(rows * groups, 1, t, nt);
  vec more = SPLAT(plus);
  long whole = dim / LANES * LANES, part = dim - whole;
  for (long i = r.begin; i < r.end; i++) {
    long at = i / groups * stride + offset + i % groups * dim;
    const float *g = dOut + at, *xs = x + at;
    float *d = dX + at, by = inv[i];
    vec sums = SPLAT(0);
    for (long c = 0; c < whole; c += LANES) sums = FMA(MUL(LD(g + c), ADD(LD(weight + c), more)), LD(xs + c), sums);
    if (part)
      sums = FMA(MUL(LD_PART(g + whole, part), ADD(LD_PART(weight + whole, part), more)), LD_PART(xs + whole, part),
                 sums);
    vec inverse = SPLAT(by), less = SPLAT(by * by * by * sum_lanes(sums) / dim);
    for (long c = 0; c < whole; c += LANES) {
      vec y = norm_gradient(LD(g + c), ADD(LD(weight + c), more), LD(xs + c), inverse, less);
      ST(d + c, accumulate ? ADD(LD(d + c), y) : y);
    }
    if (part) {
      long c = whole;
      vec y = norm_gradient(LD_PART(g + c, part), ADD(LD_PART(weight + c, part), more), LD_PART(xs + c, part), inverse, less);
      ST_PART(d + c, accumulate ? ADD(LD_PART(d + c, part), y) : y, part);
    }
  }
}

// dWeight[c] += Σ_i dOut[i, c] · x[i, c] · inv[i]; threads divide the columns, so that every sum keeps its order. Several vectors
// of columns pass together, so that a line of the cache is read once.
#define NORM_BLOCK 256
#define NORM_VECS 4
INLINE void weight_gradient(float *dWeight, const float *dOut, const float *x, const float *inv, long rows, long groups,
                            long stride, const int vecs) {
  vec sum[NORM_VECS];
  UNROLL for (int v = 0; v < vecs; v++) sum[v] = SPLAT(0);
  for (long i = 0; i < rows; i++, dOut += stride, x += stride, inv += groups) {
    vec by = LD_SPLAT(inv);
    UNROLL for (int v = 0; v < vecs; v++) sum[v] = FMA(MUL(LD(dOut + v * LANES), LD(x + v * LANES)), by, sum[v]);
  }
  UNROLL for (int v = 0; v < vecs; v++) ST(dWeight + v * LANES, ADD(LD(dWeight + v * LANES), sum[v]));
}

KERNEL(rms_norm_weight_gradient)(int t, int nt, float *scratch, float *dWeight, const float *dOut, const float *x,
                                 const float *inv, long rows, long groups, long dim, long stride, long offset) {
  range r = share(dim, LANES, t, nt);
  for (long g = 0; g < groups; g++)
    for (long i = 0; i < rows; i += NORM_BLOCK) {
      long m = min_of(NORM_BLOCK, rows - i), at = i * stride + offset + g * dim, c = r.begin;
      const float *by = inv + i * groups + g;
      for (; c + NORM_VECS * LANES <= r.end; c += NORM_VECS * LANES)
        weight_gradient(dWeight + c, dOut + at + c, x + at + c, by, m, groups, stride, NORM_VECS);
      for (; c + LANES <= r.end; c += LANES)
        weight_gradient(dWeight + c, dOut + at + c, x + at + c, by, m, groups, stride, 1);
      if (c < r.end) {
        long part = r.end - c;
        vec sum = SPLAT(0);
        for (long j = 0; j < m; j++) {
          long e = at + j * stride + c;
          sum = FMA(MUL(LD_PART(dOut + e, part), LD_PART(x + e, part)), LD_SPLAT(by + j * groups), sum);
        }
        ST_PART(dWeight + c, ADD(LD_PART(dWeight + c, part), sum), part);
      }
    }
}
