// GELU (Hendrycks and Gimpel 2016): x Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2, or ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2.
#include "tail.h"
#include "tanh.h"

#define ROOT_2_PI 0.7978845608028654f
#define CUBIC 0.044715f

// (1 + tanh u) / 2 = σ(2u), which is exact in the tail below.
INLINE vec distribution(vec x, int tanh) {
  if (tanh) return sigmoid(MUL(MUL(x, constant(2 * ROOT_2_PI)), FMA(MUL(x, x), constant(CUBIC), constant(1.f))));
  return MUL(constant(0.5f), ADD(constant(1.f), erf_vec(MUL(x, constant(0.7071067811865476f)))));
}

// Φ(x) + x Φ'(x): with tanh, Φ' = 2 Φ (1 - Φ) √(2/π) (1 + 3 · 0.044715 x²); else e^(-x²/2) / √(2π)
INLINE vec gelu_slope(vec x, vec phi, int tanh) {
  vec square = MUL(x, x), density;
  if (tanh) {
    vec inner = MUL(constant(2 * ROOT_2_PI), FMA(square, constant(3 * CUBIC), constant(1.f)));
    density = MUL(MUL(phi, SUB(constant(1.f), phi)), inner);
  } else density = MUL(constant(0.3989422804014327f), exp2_vec(MUL(square, constant(-0.5f * (float)LOG2_E))));
  return FMA(x, density, phi);
}

// out = gelu(x), times up where x has both, the gate first
KERNEL(gelu)(int t, int nt, float *scratch, float *out, const float *x, long rows, long dim, int gated, int tanh) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    const float *gate = x + i * dim * (gated ? 2 : 1), *up = gate + dim;
    float *to = out + i * dim;
    for (long c = 0; c < dim; c += LANES) {
      long n = min_of(LANES, dim - c);
      vec g = n == LANES ? LD(gate + c) : LD_PART(gate + c, n), y = MUL(g, distribution(g, tanh));
      if (gated) y = MUL(y, n == LANES ? LD(up + c) : LD_PART(up + c, n));
      if (n == LANES) ST(to + c, y);
      else ST_PART(to + c, y, n);
    }
  }
}

// dGate = dOut · up · gelu'(gate), dUp = dOut · gelu(gate); dX = dOut · gelu'(x) without a gate
KERNEL(gelu_backward)(int t, int nt, float *scratch, float *dX, const float *dOut, const float *x, long rows, long dim,
                      int gated, int tanh) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    long width = dim * (gated ? 2 : 1);
    const float *gate = x + i * width, *up = gate + dim, *d = dOut + i * dim;
    float *to = dX + i * width;
    for (long c = 0; c < dim; c += LANES) {
      long n = min_of(LANES, dim - c);
      int whole = n == LANES;
      vec g = whole ? LD(gate + c) : LD_PART(gate + c, n), by = whole ? LD(d + c) : LD_PART(d + c, n);
      vec phi = distribution(g, tanh), slope = gelu_slope(g, phi, tanh);
      vec own = MUL(by, slope), other = MUL(by, MUL(g, phi));
      if (gated) own = MUL(own, whole ? LD(up + c) : LD_PART(up + c, n));
      if (whole) ST(to + c, own);
      else ST_PART(to + c, own, n);
      if (!gated) continue;
      if (whole) ST(to + dim + c, other);
      else ST_PART(to + dim + c, other, n);
    }
  }
}
