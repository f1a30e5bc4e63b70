// Powers of 2 and logarithms.
#pragma once

#include "kernel.h"

#define LOG2_E 1.4426950408889634
#define LN_2 0.6931471805599453

// 2^x = 2^k 2^r with k = round(x), |r| ≤ ½, and 2^r by the polynomial of degree 5 with p(0) = 1 whose relative error is smallest
// (1.6e-7 as it is evaluated). 0 below -126.5, infinite from 127.5 to 128, above which it must not be asked. A NaN stays a NaN.
// Exponentials are taken as powers of 2 (with log₂ e in a factor that is there anyway): 13 operations; Cephes' expf, with its
// reduction by ln 2 in two parts, takes 18. -ffast-math would fold the rounding away.
INLINE vec exp2_vec(vec x) {
  x = MAX(x, constant(-127.f));
  vec biased = ADD(x, constant(MAGIC));
  vec r = SUB(x, SUB(biased, constant(MAGIC)));
  vec p = constant(1.3264745939522982e-3f);
  p = FMA(p, r, constant(9.671512991189957e-3f));
  p = FMA(p, r, constant(5.550733581185341e-2f));
  p = FMA(p, r, constant(2.4022242426872253e-1f));
  p = FMA(p, r, constant(6.931470036506653e-1f));
  p = FMA(p, r, constant(1.f));
  return MUL(p, POW2(biased));
}

// 1 / (1 + e⁻ˣ), with e⁻ˣ as a power of 2, at most infinity.
INLINE vec sigmoid(vec x) {
  return DIV(constant(1), ADD(constant(1), exp2_vec(MIN(MUL(x, constant(-(float)LOG2_E)), constant(128.f)))));
}

// log x of a normal x > 0, to double precision of a float: x = 2^k m with m in [√½, √2), log m = 2 artanh s, s = (m-1)/(m+1).
INLINE double log_double(float x) {
  union { float f; unsigned u; } bits = {x};
  if (!(x > 0) || bits.u >= 0x7f800000u) return x == 0 ? -__builtin_inf() : x < 0 ? __builtin_nan("") : x;
  int k = (int)(bits.u >> 23) - 127;
  bits.u = (bits.u & 0x7fffffu) | 0x3f800000u;
  double m = bits.f;
  if (m > 1.4142135623730951) m *= 0.5, k++;
  double s = (m - 1) / (m + 1), q = s * s;
  double series = 1 + q * (1. / 3 + q * (1. / 5 + q * (1. / 7 + q * (1. / 9 + q * (1. / 11 + q * (1. / 13 + q / 15))))));
  return k * 0.6931471805599453 + 2 * s * series;
}

// max x[i]; NaNs are passed over (the sum of exponentials that follows brings them out).
INLINE float row_max(const float *x, long n) {
  vec a = SPLAT(-3.4e38f), b = a, c = a, d = a;
  long i = 0;
  for (; i + 4 * LANES <= n; i += 4 * LANES) {
    a = MAX(a, LD(x + i));
    b = MAX(b, LD(x + i + LANES));
    c = MAX(c, LD(x + i + 2 * LANES));
    d = MAX(d, LD(x + i + 3 * LANES));
  }
  for (; i + LANES <= n; i += LANES) a = MAX(a, LD(x + i));
  float lanes[LANES], max = -3.4e38f;
  ST(lanes, MAX(MAX(a, b), MAX(c, d)));
  for (int l = 0; l < LANES; l++) max = lanes[l] > max ? lanes[l] : max;
  for (; i < n; i++) max = x[i] > max ? x[i] : max;
  return max;
}
