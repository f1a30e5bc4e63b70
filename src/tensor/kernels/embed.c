// Rows of a table by their number.
#include "tail.h"

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

// dTable[ids[i], :] += dOut[i, :]; ids repeat, so threads divide the columns and, when there are few of them, the ids.
KERNEL(embed_backward)(int t, int nt, float *scratch, float *dTable, const float *dOut, const int *ids, long rows, long dim) {
  int across = min_of(nt, (dim + LANES - 1) / LANES);
  while (nt % across != 0) across--;
  range r = share(dim, LANES, t % across, across);
  int down = nt / across, own = t / across;
  for (long i = 0; i < rows; i++) {
    if (down > 1 && ids[i] % down != own) continue;
    float *to = dTable + ids[i] * dim;
    const float *from = dOut + i * dim;
    long c = r.begin;
    for (; c + LANES <= r.end; c += LANES) ST(to + c, ADD(LD(to + c), LD(from + c)));
    if (c < r.end) ST_PART(to + c, ADD(LD_PART(to + c, r.end - c), LD_PART(from + c, r.end - c)), r.end - c);
  }
}
