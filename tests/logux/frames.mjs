// What went through a WebSocket as it was: the last frames of both directions.
const FRAMES_LIMIT = 1000
const FRAME_BYTES_LIMIT = 64 * 1024

export class Frames {
  #onFrame

  constructor(onFrame) {
    this.list = []
    this.#onFrame = onFrame
  }

  // Works for ws 1 and ws 8, whose listeners get text as a string and as bytes.
  watch(ws) {
    let send = ws.send
    ws.send = (data, ...rest) => {
      // logux-sync 0.1, whose connection was cut, may answer an old socket's opening on the next one. A browser reports that and
      // goes on, and the next opening is answered again; Node would end the process.
      if (ws.readyState === 0) return
      this.#keep('out', data, typeof data !== 'string')
      return send.call(ws, data, ...rest)
    }
    ws.on('message', (data, flags) => {
      this.#keep('in', data, typeof flags === 'object' ? !!flags.binary : flags)
    })
  }

  #keep(direction, data, isBinary) {
    let frame
    if (data.length > FRAME_BYTES_LIMIT) {
      frame = { bytes: data.length }
    } else if (isBinary) {
      frame = { hex: Buffer.from(data).toString('hex') }
    } else {
      frame = { text: data.toString() }
    }
    this.list.push({ direction, ...frame })
    if (this.list.length > FRAMES_LIMIT) this.list.shift()
    setImmediate(this.#onFrame) // by then the node has looked at it
  }
}
