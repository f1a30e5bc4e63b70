// Layer normalisation (Ba et al. 2016, eq. 4).
#include "tail.h"

INLINE vec load(const float *from, long n) { return n >= LANES ? LD(from) : LD_PART(from, n); }
INLINE void store(float *to, vec a, long n) {
  if (n >= LANES) ST(to, a);
  else ST_PART(to, a, n);
}

// stats = mean, 1 / √(variance + eps); out = weight · (x - mean) · inv + bias
KERNEL(layer_norm)(int t, int nt, float *scratch, float *out, const float *x, const float *weight, const float *bias,
                   float *stats, long rows, long dim, float eps) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    const float *from = x + i * dim;
    float *to = out + i * dim;
    vec sum = SPLAT(0), squares = SPLAT(0);
    long c = 0;
    for (; c < dim; c += LANES) sum = ADD(sum, load(from + c, dim - c));
    float mean = sum_lanes(sum) / dim;
    for (c = 0; c + LANES <= dim; c += LANES) {
      vec d = SUB(LD(from + c), SPLAT(mean));
      squares = FMA(d, d, squares);
    }
    if (c < dim) {
      vec d = first_lanes(SUB(LD_PART(from + c, dim - c), SPLAT(mean)), dim - c, 0);
      squares = FMA(d, d, squares);
    }
    float inv = 1 / __builtin_sqrtf(sum_lanes(squares) / dim + eps);
    stats[2 * i] = mean;
    stats[2 * i + 1] = inv;
    for (c = 0; c < dim; c += LANES) {
      long n = dim - c;
      vec y = MUL(MUL(SUB(load(from + c, n), SPLAT(mean)), SPLAT(inv)), load(weight + c, n));
      store(to + c, bias ? ADD(y, load(bias + c, n)) : y, n);
    }
  }
}

// With u = (x - mean) · inv and d = weight · dOut: dX (+)= inv · (d - mean(d) - u · mean(d · u))
KERNEL(layer_norm_backward)(int t, int nt, float *scratch, float *dX, const float *dOut, const float *x, const float *weight,
                            const float *stats, int accumulate, long rows, long dim) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    const float *g = dOut + i * dim, *xs = x + i * dim;
    float *to = dX + i * dim, inv = stats[2 * i + 1];
    vec mean = SPLAT(stats[2 * i]), by = SPLAT(inv), sums = SPLAT(0), products = SPLAT(0);
    // Lanes beyond the row are 0 in dOut, and so in both sums.
    for (long c = 0; c < dim; c += LANES) {
      long n = dim - c;
      vec d = MUL(load(g + c, n), load(weight + c, n));
      sums = ADD(sums, d);
      products = FMA(d, MUL(SUB(load(xs + c, n), mean), by), products);
    }
    vec less = SPLAT(sum_lanes(sums) / dim), slope = SPLAT(sum_lanes(products) / dim);
    for (long c = 0; c < dim; c += LANES) {
      long n = dim - c;
      vec u = MUL(SUB(load(xs + c, n), mean), by), d = MUL(load(g + c, n), load(weight + c, n));
      vec y = MUL(by, SUB(SUB(d, less), MUL(u, slope)));
      store(to + c, accumulate ? ADD(load(to + c, n), y) : y, n);
    }
  }
}

// dWeight += Σ dOut · u; threads divide the columns, so that every sum keeps its order.
KERNEL(layer_norm_weight_gradient)(int t, int nt, float *scratch, float *dWeight, const float *dOut, const float *x,
                                   const float *stats, long rows, long dim) {
  range r = share(dim, LANES, t, nt);
  for (long c = r.begin; c < r.end; c += LANES) {
    long n = r.end - c;
    vec sum = SPLAT(0);
    for (long i = 0; i < rows; i++) {
      vec u = MUL(SUB(load(x + i * dim + c, n), LD_SPLAT(stats + 2 * i)), LD_SPLAT(stats + 2 * i + 1));
      sum = FMA(load(dOut + i * dim + c, n), u, sum);
    }
    store(dWeight + c, ADD(load(dWeight + c, n), sum), n);
  }
}
