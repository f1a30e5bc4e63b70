// Rotary position embedding (Su et al. 2021, §3.2.2), halves of a head paired as Hugging Face does.
#include "kernel.h"

// Halves of a head are often shorter than a vector: these have the width that fits. (Masked vectors are slower, because the
// next head's load waits for the store of this one that it seems to overlap.)
typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

// (a, b) → (a·cos - b·sin, b·cos + a·sin) for one element or vector of each of `heads` heads; the inverse has `sign` -1.
#define ROTATE(type)                                                                  \
  {                                                                                   \
    type co = *(const type *)(cs + c), si = *(const type *)(sn + c) * sign;           \
    float *a = x + i * stride + c;                                                    \
    for (long h = 0; h < heads; h++, a += dim) {                                      \
      type p = *(type *)a, q = *(type *)(a + half);                                   \
      *(type *)a = p * co - q * si;                                                   \
      *(type *)(a + half) = q * co + p * si;                                          \
    }                                                                                 \
  }

KERNEL(rope)(int t, int nt, float *scratch, float *x, const float *cos, const float *sin, const int *positions, long rows,
             long heads, long dim, long turned, long stride, int inverse) {
  long half = turned / 2;
  float sign = inverse ? -1 : 1;
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    const float *cs = cos + positions[i] * half, *sn = sin + positions[i] * half;
    long c = 0;
    for (; c + LANES <= half; c += LANES) {
      vec co = LD(cs + c), si = MUL(LD(sn + c), SPLAT(sign));
      float *a = x + i * stride + c;
      for (long h = 0; h < heads; h++, a += dim) {
        vec p = LD(a), q = LD(a + half);
        ST(a, SUB(MUL(p, co), MUL(q, si)));
        ST(a + half, ADD(MUL(q, co), MUL(p, si)));
      }
    }
    if (c + 8 <= half) { ROTATE(eight) c += 8; }
    if (c + 4 <= half) { ROTATE(four) c += 4; }
    for (; c < half; c++) ROTATE(float)
  }
}
