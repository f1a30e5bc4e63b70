import type { Backend } from "../backend.ts"
import type { Aten } from "./aten.ts"
import type { Int, Memory, Real } from "./memory.ts"

/** Rotary embedding (Su et al. 2021) in Hugging Face's half-split layout. */
export const rope = (aten: Aten, memory: Memory): Pick<Backend, "rope"> => {
  const { add, as, mul, room, run, select } = aten
  const { empty, index, int, output, real, view } = memory
  const numbers = new WeakMap<object, number>()
  let tables = 0
  const numberOf = (allocation: object): number => {
    const known = numbers.get(allocation) ?? tables++
    numbers.set(allocation, known)
    return known
  }

  /** [cos, sin] of the positions, [rows, 1, 1, half] and, with its sign in either half, [rows, 1, 2, half]. */
  const turns = (positions: Int, cos: Real, sin: Real, half: number, inverse: boolean) => {
    const rows = positions.length
    const key = [cos, sin].map(({ allocation, start }) => `${numberOf(allocation)}.${allocation.version}.${start}`)
      .join()
    return memory.derived(positions, `rope ${half} ${inverse} ${key}`, () => {
      const known = cos.length / half
      const [cosines, sines] = [empty([rows, 1, 1, half]), empty([rows, 1, 2, half])]
      const which = index(positions)
      const picked = room([rows, half])
      select(as(cosines, [rows, half]), view(cos, [known, half]), which)
      select(picked, view(sin, [known, half]), which)
      const halves = [0, half].map((at) => as(sines, [rows, half], [2 * half, 1], at)) as [number, number]
      // The first half becomes a · sin and is added to b, the second −b · sin and is added to a.
      mul(halves[0], picked, aten.constant(inverse ? -1 : 1))
      mul(halves[1], picked, aten.constant(inverse ? 1 : -1))
      return [cosines, sines]
    })
  }

  return {
    rope: (x, cos, sin, positions, shape) => {
      const known = memory.check.rope(cos, shape)
      const { headDim, heads, inverse, stride, turned: dim } = shape
      const half = dim / 2
      const rows = positions.length
      const of = output("rope", "x", x, rows * stride)
      const [cosTable, sinTable] = [real("rope", "cos", cos), real("rope", "sin", sin, cos.length)]
      const where = int("rope", "positions", positions, known)
      run("rope", [rows, heads, headDim], () => {
        const [cosines, sines] = turns(where, cosTable, sinTable, half, inverse)
        const whole = view(of, [rows, heads, 2, half], [stride, headDim, half, 1])
        const turned = room([rows, heads, 2, half])
        mul(turned, whole, sines!)
        mul(whole, whole, cosines!)
        for (const [to, from] of [[half, 0], [0, half]] as const) {
          add(
            view(of, [rows, heads, half], [stride, headDim, 1], to),
            as(turned, [rows, heads, half], [heads * dim, dim, 1], from)
          )
        }
      })
    }
  }
}
