// AdamW (Loshchilov and Hutter 2019, Algorithm 2).
#include "kernel.h"

// g = grad_scale · grad; m = β₁ m + (1-β₁) g; v = β₂ v + (1-β₂) g²;
// p = decay · p - rate · m / (√(v · square_correction) + eps), decay = 1 - learning rate · weight decay,
// rate = learning rate / (1 - β₁ˢ), square_correction = 1 / (1 - β₂ˢ); grad = 0
KERNEL(adamw)(int t, int nt, float *scratch, float *params, float *grads, float *m, float *v, long n, float grad_scale,
              float beta1, float rest1, float beta2, float rest2, float rate, float square_correction, float eps,
              float decay) {
  range r = share(n, LANES, t, nt);
  long i = r.begin;
  for (; i + LANES <= r.end; i += LANES) {
    vec g = MUL(LD(grads + i), SPLAT(grad_scale));
    vec mean = ADD(MUL(LD(m + i), SPLAT(beta1)), MUL(g, SPLAT(rest1)));
    vec square = ADD(MUL(LD(v + i), SPLAT(beta2)), MUL(MUL(g, g), SPLAT(rest2)));
    vec change = DIV(MUL(mean, SPLAT(rate)), ADD(SQRT(MUL(square, SPLAT(square_correction))), SPLAT(eps)));
    ST(m + i, mean);
    ST(v + i, square);
    ST(params + i, SUB(MUL(LD(params + i), SPLAT(decay)), change));
    ST(grads + i, SPLAT(0));
  }
  for (; i < r.end; i++) {
    float g = grads[i] * grad_scale;
    m[i] = m[i] * beta1 + g * rest1;
    v[i] = v[i] * beta2 + g * g * rest2;
    params[i] = params[i] * decay - m[i] * rate / (__builtin_sqrtf(v[i] * square_correction) + eps);
    grads[i] = 0;
  }
}
