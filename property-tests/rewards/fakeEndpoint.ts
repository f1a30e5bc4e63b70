/** An OpenAI-compatible endpoint on this machine, as slow, wrong and mortal as a test wants it. */
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

export interface Call {
  readonly body: {
    readonly model: string
    readonly messages: ReadonlyArray<{ readonly content: string }>
    readonly seed?: number
  }
  readonly headers: Readonly<Record<string, unknown>>
  /** All calls before this one. */
  readonly nth: number
  /** Earlier calls with the same body. */
  readonly again: number
}

/** An answer in words, or whatever else an endpoint may do. */
export type Answering = (call: Call) => string | ((response: ServerResponse) => void)

export const completion = (
  content: string | null,
  usage: object | null = { prompt_tokens: 100, completion_tokens: 10 }
) =>
  JSON.stringify({
    id: "x",
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    usage
  })

export const status = (code: number, text = "", headers: Record<string, string> = {}) => (response: ServerResponse) => {
  response.writeHead(code, headers)
  response.end(text)
}

/** Says that its answer is whole and ends in the middle of it. */
export const cutOff = (response: ServerResponse): void => {
  const whole = completion("[[1]]")
  response.writeHead(200, { "content-type": "application/json", "content-length": String(whole.length) })
  response.write(whole.slice(0, 40))
  setTimeout(() => response.destroy(), 5)
}

export const endpointOf = async (answering: Answering, port = 0) => {
  const calls: Array<Call> = []
  /** The bodies that were answered in words, which are those to pay for. */
  const answered: Array<string> = []
  const seen = new Map<string, number>()
  const server = createServer((request, response) => {
    let text = ""
    request.on("data", (chunk) => (text += chunk))
    request.on("end", () => {
      const again = seen.get(text) ?? 0
      seen.set(text, again + 1)
      const call = { body: JSON.parse(text), headers: request.headers, nth: calls.length, again } as Call
      calls.push(call)
      const answer = answering(call)
      if (typeof answer !== "string") return answer(response)
      response.on("finish", () => answered.push(text))
      response.setHeader("content-type", "application/json")
      response.end(completion(answer))
    })
  })
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
  const at = (server.address() as AddressInfo).port
  return {
    url: `http://127.0.0.1:${at}/v1`,
    port: at,
    calls,
    answered,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}
