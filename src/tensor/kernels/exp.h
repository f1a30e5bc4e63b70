// Exponential and logarithm.
#pragma once

#include "kernel.h"

// e^x = 2^k e^r with k = round(x / ln 2), |r| ≤ ln 2 / 2, and e^r by the polynomial of Cephes' expf (2 ulp). Held
// within [-88, 89], x gives k from -127, for which POW2 is 0, to 128, for which it is infinite: the result underflows to 0
// below -87.7 and overflows above 88.3. A NaN stays a NaN. -ffast-math would fold the rounding away.
INLINE vec exp_vec(vec x) {
  x = MIN(MAX(x, constant(-88.f)), constant(89.f));
  vec biased = ADD(MUL(x, constant(1.44269504f)), constant(MAGIC));
  vec k = SUB(biased, constant(MAGIC));
  // ln 2 in two parts, the first exact when multiplied by k.
  vec r = FMA(k, constant(2.12194440e-4f), FMA(k, constant(-0.693359375f), x));
  vec p = constant(1.9875691500e-4f);
  p = FMA(p, r, constant(1.3981999507e-3f));
  p = FMA(p, r, constant(8.3334519073e-3f));
  p = FMA(p, r, constant(4.1665795894e-2f));
  p = FMA(p, r, constant(1.6666665459e-1f));
  p = FMA(p, r, constant(5.0000001201e-1f));
  p = FMA(MUL(p, r), r, ADD(r, constant(1)));
  return MUL(p, POW2(biased));
}

INLINE float exp_float(float x) {
  float lanes[LANES];
  ST(lanes, exp_vec(SPLAT(x)));
  return lanes[0];
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
  vec most = SPLAT(-3.4e38f);
  long i = 0;
  for (; i + LANES <= n; i += LANES) most = MAX(most, LD(x + i));
  float lanes[LANES], max = -3.4e38f;
  ST(lanes, most);
  for (int l = 0; l < LANES; l++) max = lanes[l] > max ? lanes[l] : max;
  for (; i < n; i++) max = x[i] > max ? x[i] : max;
  return max;
}

// x[i] = e^(scale · x[i] - shift); returns their sum.
INLINE float row_exp(float *x, long n, float scale, float shift) {
  vec sum = SPLAT(0), by = SPLAT(scale), less = SPLAT(-shift);
  long i = 0;
  for (; i + LANES <= n; i += LANES) {
    vec e = exp_vec(FMA(LD(x + i), by, less));
    ST(x + i, e);
    sum = ADD(sum, e);
  }
  float total = sum_lanes(sum);
  for (; i < n; i++) total += x[i] = exp_float(scale * x[i] - shift);
  return total;
}
