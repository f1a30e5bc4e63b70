// tanh and the error function as x · p(x²) / q(x²), with the coefficients of Eigen (MathFunctionsImpl.h); errors below 5e-7. A NaN
// stays a NaN.
#pragma once

#include "exp.h"

INLINE vec tanh_vec(vec x) {
  x = MAX(MIN(x, constant(7.90531110763549805f)), constant(-7.90531110763549805f));
  vec q = MUL(x, x), p = FMA(constant(-2.76076847742355e-16f), q, constant(2.00018790482477e-13f));
  p = FMA(p, q, constant(-8.60467152213735e-11f));
  p = FMA(p, q, constant(5.12229709037114e-8f));
  p = FMA(p, q, constant(1.48572235717979e-5f));
  p = FMA(p, q, constant(6.37261928875436e-4f));
  p = FMA(p, q, constant(4.89352455891786e-3f));
  vec r = FMA(constant(1.19825839466702e-6f), q, constant(1.18534705686654e-4f));
  r = FMA(r, q, constant(2.26843463243900e-3f));
  r = FMA(r, q, constant(4.89352518554385e-3f));
  return DIV(MUL(p, x), r);
}

INLINE vec erf_vec(vec x) {
  x = MAX(MIN(x, constant(4.f)), constant(-4.f));
  vec q = MUL(x, x), p = FMA(constant(-2.72614225801306e-10f), q, constant(2.77068142495902e-8f));
  p = FMA(p, q, constant(-2.10102402082508e-6f));
  p = FMA(p, q, constant(-5.69250639462346e-5f));
  p = FMA(p, q, constant(-7.34990630326855e-4f));
  p = FMA(p, q, constant(-2.95459980854025e-3f));
  p = FMA(p, q, constant(-1.60960333262415e-2f));
  vec r = FMA(constant(-1.45660718464996e-5f), q, constant(-2.13374055278905e-4f));
  r = FMA(r, q, constant(-1.68282697438203e-3f));
  r = FMA(r, q, constant(-7.37332916720468e-3f));
  r = FMA(r, q, constant(-1.42647390514189e-2f));
  return DIV(MUL(p, x), r);
}

// cap · tanh(x / cap)
INLINE vec capped(vec x, vec cap, vec inverse) { return MUL(cap, tanh_vec(MUL(x, inverse))); }
