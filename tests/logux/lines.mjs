// JSON lines: a command on stdin is answered on stdout under its id; what happens by itself is a line with `event`.
import { createInterface } from 'node:readline'

function write(line) {
  process.stdout.write(JSON.stringify(line) + '\n')
}

export function tell(event, facts = {}) {
  write({ event, ...facts })
}

export function errorFacts(error) {
  return {
    type: error.type ?? error.name,
    options: error.options ?? null,
    message: error.message,
    received: error.received ?? false
  }
}

// Commands run side by side, so that one that waits holds up no other. The end of stdin is the end of the process.
export function serve(commands) {
  let lines = createInterface({ input: process.stdin })
  lines.on('line', async line => {
    let { id, command, ...args } = JSON.parse(line)
    try {
      if (!commands[command]) throw new Error(`no command ${command}`)
      write({ id, ok: (await commands[command](args)) ?? null })
    } catch (error) {
      write({ id, error: error.stack ?? String(error) })
    }
    if (command === 'quit') process.exit(0)
  })
  lines.on('close', () => process.exit(0))
}

// Promises of conditions, looked at again whenever check() is called.
export class Waiting {
  #waiters = new Set()

  until(holds, describe, milliseconds) {
    return new Promise((resolve, reject) => {
      let timer
      let look = () => {
        if (!holds()) return false
        clearTimeout(timer)
        this.#waiters.delete(look)
        resolve()
        return true
      }
      if (look()) return
      this.#waiters.add(look)
      timer = setTimeout(() => {
        this.#waiters.delete(look)
        reject(new Error(`not so after ${milliseconds} ms: ${describe()}`))
      }, milliseconds)
    })
  }

  check() {
    for (let look of [...this.#waiters]) look()
  }
}
