#include "tail.h"
#include "tanh.h"

// out[i] += x[i]
KERNEL(add)(int t, int nt, float *scratch, float *out, const float *x, long n) {
  range r = share(n, LANES, t, nt);
  long i = r.begin;
  for (; i + LANES <= r.end; i += LANES) ST(out + i, ADD(LD(out + i), LD(x + i)));
  for (; i < r.end; i++) out[i] += x[i];
}

// out[i] = x[i]
KERNEL(copy)(int t, int nt, float *scratch, float *out, const float *x, long n) {
  range r = share(n, LANES, t, nt);
  copy_floats(out + r.begin, x + r.begin, r.end - r.begin);
}

// out[i] = stay out[i] + rate x[i]
KERNEL(lerp)(int t, int nt, float *scratch, float *out, const float *x, long n, float stay, float rate) {
  range r = share(n, LANES, t, nt);
  long i = r.begin;
  for (; i + LANES <= r.end; i += LANES) ST(out + i, ADD(MUL(SPLAT(stay), LD(out + i)), MUL(SPLAT(rate), LD(x + i))));
  for (; i < r.end; i++) out[i] = stay * out[i] + rate * x[i];
}

// x[i] *= by
KERNEL(scale)(int t, int nt, float *scratch, float *x, long n, float by) {
  range r = share(n, LANES, t, nt);
  long i = r.begin;
  for (; i + LANES <= r.end; i += LANES) ST(x + i, MUL(LD(x + i), SPLAT(by)));
  for (; i < r.end; i++) x[i] *= by;
}

// x[i] = cap · tanh(x[i] / cap)
KERNEL(softcap)(int t, int nt, float *scratch, float *x, long n, float cap, float inverse) {
  range r = share(n, LANES, t, nt);
  long i = r.begin, rest = r.end - (r.end - r.begin) % LANES;
  for (; i < rest; i += LANES) ST(x + i, capped(LD(x + i), SPLAT(cap), SPLAT(inverse)));
  if (i < r.end) ST_PART(x + i, capped(LD_PART(x + i, r.end - i), SPLAT(cap), SPLAT(inverse)), r.end - i);
}

// out[i] = 0
KERNEL(zero)(int t, int nt, float *scratch, float *out, long n) {
  range r = share(n, LANES, t, nt);
  fill_floats(out + r.begin, 0, r.end - r.begin);
}

#define SQUARES 16
// sums[c] = Σ x[i]² over chunk c of `chunk` elements, in double precision; the chunks do not depend on the threads.
KERNEL(sum_squares)(int t, int nt, float *scratch, double *sums, const float *x, long n, long chunk) {
  range r = share((n + chunk - 1) / chunk, 1, t, nt);
  for (long c = r.begin; c < r.end; c++) {
    // Each addition waits for the one before: several sums.
    double part[SQUARES] = {0}, sum = 0;
    long i = c * chunk, end = min_of(n, i + chunk);
    for (; i + SQUARES <= end; i += SQUARES)
      UNROLL for (int l = 0; l < SQUARES; l++) part[l] += (double)x[i + l] * x[i + l];
    for (; i < end; i++) sum += (double)x[i] * x[i];
    for (int l = 0; l < SQUARES; l++) sum += part[l];
    sums[c] = sum;
  }
}
