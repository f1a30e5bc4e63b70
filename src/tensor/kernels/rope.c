// Rotary position embedding (Su et al. 2021, §3.2.2), halves of a head paired as Hugging Face does.
#include "kernel.h"

// (a, b) → (a·cos - b·sin, b·cos + a·sin); the inverse has sin negated.
KERNEL(rope)(int t, int nt, float *scratch, float *x, const float *cos, const float *sin, const int *positions, long rows,
             long heads, long dim, long stride, int inverse) {
  long half = dim / 2;
  float sign = inverse ? -1 : 1;
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    const float *cs = cos + positions[i] * half, *sn = sin + positions[i] * half;
    for (long h = 0; h < heads; h++) {
      float *a = x + i * stride + h * dim, *b = a + half;
      long c = 0;
      for (; c + LANES <= half; c += LANES) {
        vec p = LD(a + c), q = LD(b + c), co = LD(cs + c), si = MUL(LD(sn + c), SPLAT(sign));
        ST(a + c, SUB(MUL(p, co), MUL(q, si)));
        ST(b + c, ADD(MUL(q, co), MUL(p, si)));
      }
      for (; c < half; c++) {
        float p = a[c], q = b[c], si = sign * sn[c];
        a[c] = p * cs[c] - q * si;
        b[c] = q * cs[c] + p * si;
      }
    }
  }
}
