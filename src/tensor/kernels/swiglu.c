// SwiGLU (Shazeer 2020, eq. 6 without bias): silu(gate) · up, silu(x) = x σ(x), σ(x) = 1 / (1 + e⁻ˣ).
#include "exp.h"
#include "tail.h"

// out = gate · σ(gate) · up
INLINE vec swiglu_of(vec gate, vec up) { return MUL(MUL(gate, sigmoid(gate)), up); }

KERNEL(swiglu)(int t, int nt, float *scratch, float *out, const float *gate_up, long rows, long dim) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    const float *gate = gate_up + i * 2 * dim, *up = gate + dim;
    float *to = out + i * dim;
    long c = 0;
    for (; c + LANES <= dim; c += LANES) ST(to + c, swiglu_of(LD(gate + c), LD(up + c)));
    if (c < dim) ST_PART(to + c, swiglu_of(LD_PART(gate + c, dim - c), LD_PART(up + c, dim - c)), dim - c);
  }
}

// dUp = dOut · silu(gate); dGate = dOut · up · silu'(gate), silu'(x) = σ(x) (1 + x (1 - σ(x)))
typedef struct { vec gate, up; } gate_up_gradient;
INLINE gate_up_gradient swiglu_gradient(vec d, vec gate, vec up) {
  vec s = sigmoid(gate), slope = MUL(s, ADD(constant(1), MUL(gate, SUB(constant(1), s))));
  gate_up_gradient g = {MUL(MUL(d, up), slope), MUL(d, MUL(gate, s))};
  return g;
}

KERNEL(swiglu_backward)(int t, int nt, float *scratch, float *d_gate_up, const float *d_out, const float *gate_up, long rows,
                        long dim) {
  range r = share(rows, 1, t, nt);
  for (long i = r.begin; i < r.end; i++) {
    const float *d = d_out + i * dim, *gate = gate_up + i * 2 * dim, *up = gate + dim;
    float *d_gate = d_gate_up + i * 2 * dim, *d_up = d_gate + dim;
    long c = 0;
    for (; c + LANES <= dim; c += LANES) {
      gate_up_gradient g = swiglu_gradient(LD(d + c), LD(gate + c), LD(up + c));
      ST(d_gate + c, g.gate);
      ST(d_up + c, g.up);
    }
    if (c < dim) {
      long n = dim - c;
      gate_up_gradient g = swiglu_gradient(LD_PART(d + c, n), LD_PART(gate + c, n), LD_PART(up + c, n));
      ST_PART(d_gate + c, g.gate, n);
      ST_PART(d_up + c, g.up, n);
    }
  }
}
