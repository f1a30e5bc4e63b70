/** A peer that answers as it is told; for peer.test.ts. */
import { createInterface } from "node:readline"

console.error("loading")
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line)
  if (request.do === "echo") console.log(JSON.stringify({ pid: process.pid, ...request }))
  else if (request.do === "noise") console.log("Downloading: 100 %")
  else if (request.do === "end") {
    console.error("Traceback (most recent call last):\n  somewhere\nRuntimeError: out of memory")
    process.exit(3)
  } else if (request.do === "deaf") {
    process.on("SIGINT", () => {})
    process.on("SIGTERM", () => {})
    console.log(JSON.stringify({ pid: process.pid }))
  }
  // Anything else is never answered.
}
