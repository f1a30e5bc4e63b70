/**
 * float32 has a unit roundoff u = 2⁻²⁴ ≈ 6e-8. A sum of K rounded products errs by at most K u Σ|terms|, and for rounding
 * errors of random sign by about √K u times the size √K of a typical sum: with K ≤ 5,000 here, 70 u = 4e-6 of the result's
 * scale. exp in the softmax turns an absolute error of a logit (|z| ≤ 30: 30 u = 2e-6) into a relative one of the
 * probability. 2e-5 is five times that: it leaves room for several of these in a row (attentionBackward) and for a vector
 * exp good to a few units in the last place, and is 200 times below what bfloat16 (2⁻⁹) would need.
 */
export const float32 = 2e-5
