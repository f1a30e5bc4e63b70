// What every kernel shares. A kernel is called once by each thread `t` of `nt` and does that thread's share; who computes an
// element never changes how it is computed, so results are the same bits for any number of threads.
#pragma once

#include "simd.h"

#define INLINE static inline __attribute__((always_inline))

// Floats of scratch that each thread needs for a kernel.
#define SCRATCH(name) KERNEL_OF(long, name)

INLINE long min_of(long a, long b) { return a < b ? a : b; }
INLINE long max_of(long a, long b) { return a > b ? a : b; }
INLINE long round_up(long n, long unit) { return (n + unit - 1) / unit * unit; }

typedef struct { long begin, end; } range;

// The share of thread t in n things, in whole multiples of `unit`.
INLINE range share(long n, long unit, int t, int nt) {
  long long units = (n + unit - 1) / unit;
  range r = {min_of(n, (long)(units * t / nt) * unit), min_of(n, (long)(units * (t + 1) / nt) * unit)};
  return r;
}

// Σ a[i] b[i]
INLINE float dot(const float *a, const float *b, long n) {
  vec sum = SPLAT(0);
  long i = 0;
  for (; i + LANES <= n; i += LANES) sum = FMA(LD(a + i), LD(b + i), sum);
  float total = sum_lanes(sum);
  for (; i < n; i++) total += a[i] * b[i];
  return total;
}

INLINE void copy_floats(float *to, const float *from, long n) {
  long i = 0;
  for (; i + LANES <= n; i += LANES) ST(to + i, LD(from + i));
#ifdef LD_PART
  if (i < n) ST_PART(to + i, LD_PART(from + i, n - i), n - i);
#else
  for (; i < n; i++) to[i] = from[i];
#endif
}

INLINE void fill_floats(float *to, float value, long n) {
  long i = 0;
  for (; i + LANES <= n; i += LANES) ST(to + i, SPLAT(value));
#ifdef LD_PART
  if (i < n) ST_PART(to + i, SPLAT(value), n - i);
#else
  for (; i < n; i++) to[i] = value;
#endif
}
