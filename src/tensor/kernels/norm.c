// RMS normalisation (Zhang and Sennrich 2019, eq. 4).
#include "kernel.h"

// inv = 1 / √(mean(x²) + eps); out = weight · x · inv
KERNEL(rms_norm)(int t, int nt, float *scratch, float *out, const float *x, const float *weight, float *inv, long rows,
                 long groups, long dim, long stride, long offset, float eps) {
  range r = share(rows * groups, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    long at = i / groups * stride + offset + i % groups * dim, c = 0;
    const float *from = x + at;
    float *to = out + at, by = inv[i] = 1 / __builtin_sqrtf(dot(from, from, dim) / dim + eps);
    for (; c + LANES <= dim; c += LANES) ST(to + c, MUL(MUL(LD(from + c), SPLAT(by)), LD(weight + c)));
    for (; c < dim; c++) to[c] = from[c] * by * weight[c];
  }
}

// dX (+)= inv · weight · dOut - inv³ · x · Σ_c(dOut · weight · x) / dim
KERNEL(rms_norm_backward)(int t, int nt, float *scratch, float *dX, const float *dOut, const float *x, const float *weight,
                          const float *inv, int accumulate, long rows, long groups, long dim, long stride, long offset) {
  range r = share(rows * groups, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    long at = i / groups * stride + offset + i % groups * dim, c = 0;
    const float *g = dOut + at, *xs = x + at;
    float *d = dX + at, by = inv[i];
    vec sums = SPLAT(0);
    for (; c + LANES <= dim; c += LANES) sums = FMA(MUL(LD(g + c), LD(weight + c)), LD(xs + c), sums);
    float sum = sum_lanes(sums);
    for (; c < dim; c++) sum += g[c] * weight[c] * xs[c];
    float less = by * by * by * sum / dim;
    for (c = 0; c + LANES <= dim; c += LANES) {
      vec y = SUB(MUL(MUL(LD(g + c), LD(weight + c)), SPLAT(by)), MUL(LD(xs + c), SPLAT(less)));
      ST(d + c, accumulate ? ADD(LD(d + c), y) : y);
    }
    for (; c < dim; c++) {
      float y = g[c] * weight[c] * by - xs[c] * less;
      d[c] = accumulate ? d[c] + y : y;
    }
  }
}

// dWeight[c] += Σ_i dOut[i, c] · x[i, c] · inv[i]; threads divide the columns, so that every sum keeps its order.
#define NORM_BLOCK 256
KERNEL(rms_norm_weight_gradient)(int t, int nt, float *scratch, float *dWeight, const float *dOut, const float *x,
                                 const float *inv, long rows, long groups, long dim, long stride, long offset) {
  range r = share(dim, LANES, t, nt);
  for (long g = 0; g < groups; g++)
    for (long i0 = 0; i0 < rows; i0 += NORM_BLOCK) {
      long i1 = min_of(rows, i0 + NORM_BLOCK), at = offset + g * dim, c = r.begin;
      for (; c + LANES <= r.end; c += LANES) {
        vec sum = SPLAT(0);
        for (long i = i0; i < i1; i++) {
          long e = i * stride + at + c;
          sum = FMA(MUL(LD(dOut + e), LD(x + e)), LD_SPLAT(inv + i * groups + g), sum);
        }
        ST(dWeight + c, ADD(LD(dWeight + c), sum));
      }
      for (; c < r.end; c++) {
        float sum = 0;
        for (long i = i0; i < i1; i++) sum += dOut[i * stride + at + c] * x[i * stride + at + c] * inv[i * groups + g];
        dWeight[c] += sum;
      }
    }
}
