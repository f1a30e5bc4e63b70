// Rows of a table by their number.
#include "kernel.h"

// out[i, :] = table[ids[i], :]
KERNEL(gather_rows)(int t, int nt, float *scratch, float *out, const float *table, const int *ids, long rows, long dim) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) copy_floats(out + i * dim, table + ids[i] * dim, dim);
}

// out[ids[i], :] = x[i, :]; ids are distinct
KERNEL(scatter_rows)(int t, int nt, float *scratch, float *out, const float *x, const int *ids, long rows, long dim) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) copy_floats(out + ids[i] * dim, x + i * dim, dim);
}

// dTable[ids[i], :] += dOut[i, :]; ids repeat, so threads divide the columns.
KERNEL(embed_backward)(int t, int nt, float *scratch, float *dTable, const float *dOut, const int *ids, long rows, long dim) {
  range r = share(dim, LANES, t, nt);
  for (long i = 0; i < rows; i++) {
    float *to = dTable + ids[i] * dim;
    const float *from = dOut + i * dim;
    long c = r.begin;
    for (; c + LANES <= r.end; c += LANES) ST(to + c, ADD(LD(to + c), LD(from + c)));
    for (; c < r.end; c++) to[c] += from[c];
  }
}
