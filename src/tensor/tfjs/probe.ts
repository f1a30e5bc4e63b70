/** Loads a package in a process of its own and prints the outcome as a line of JSON: an unfit library may end the process. */
import { loadTensorFlow } from "./tensorFlow.ts"
import type { PackageName } from "./packages.ts"

const [name, from] = process.argv.slice(2) as [PackageName, string]
const { gpu, tf, version } = loadTensorFlow({ name, from }, 1)
const product = tf.matMul(tf.ones([2, 3]), tf.ones([3, 2])).dataSync()
console.log(JSON.stringify({ version, gpu, product: [...product] }))
