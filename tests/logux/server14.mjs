// A real @logux/server: accepts the given users, passes every action on to everybody who subscribed to `all`.
import { createServer } from 'node:http'
import { Server } from '@logux/server'

import { shownId } from './dialects.mjs'
import { Frames } from './frames.mjs'
import { errorFacts, serve, tell, Waiting } from './lines.mjs'

const SEEN_LIMIT = 100_000

let waiting = new Waiting()
let frames = new Frames(() => waiting.check())
let seen = []
let server, http

function report(level) {
  return (details, message) => {
    if (level !== 'info') process.stderr.write(`${level}: ${message} ${JSON.stringify(details)}\n`)
    tell('report', { level, message, details })
  }
}

function count(type) {
  return seen.filter(([action]) => (type ? action.type === type : !action.type.startsWith('logux/'))).length
}

serve({
  async start({ options }) {
    http = createServer()
    server = new Server({
      id: options.nodeId,
      env: options.env ?? 'development',
      subprotocol: options.subprotocol ?? 1,
      minSubprotocol: options.minSubprotocol ?? 1,
      ping: options.ping,
      timeout: options.timeout,
      server: http,
      logger: { debug: report('info'), info: report('info'), warn: report('warn'), error: report('error'), fatal: report('fatal') }
    })
    let users = options.users ?? {}
    server.auth(({ userId, token }) => userId in users && users[userId] === token)
    server.channel('all', { access: () => true })
    let callbacks = () => ({ access: () => true, process: () => {}, resend: () => options.resend ?? { channels: ['all'] } })
    for (let type of options.types ?? []) server.type(type, callbacks())
    if (!options.types) server.otherType(callbacks())
    if (options.keep) {
      server.log.on('preadd', (action, meta) => {
        if (!action.type.startsWith('logux/') && meta.reasons.length === 0) meta.reasons.push('t')
      })
    }
    server.on('add', (action, meta) => {
      if (seen.length < SEEN_LIMIT) seen.push([action, meta])
      tell('add', { created: shownId(meta.id), type: action.type })
      waiting.check()
    })
    server.on('processed', (action, meta) => tell('processed', { created: shownId(meta.id), type: action.type }))
    server.on('clientError', error => tell('clientError', errorFacts(error)))
    server.on('error', error => tell('error', errorFacts(error)))
  },

  async listen({ port = 0 }) {
    await server.listen()
    server.ws.on('connection', ws => frames.watch(ws))
    await new Promise((resolve, reject) => {
      http.on('error', reject)
      http.listen(port, '127.0.0.1', resolve)
    })
    return http.address().port
  },

  log: () => seen.map(([action, meta]) => [shownId(meta.id), meta.time, action, meta]),
  frames: () => frames.list,
  connections: () => server.connected.size,

  async add({ event, meta }) {
    let given = meta ?? { channels: ['all'] }
    await server.log.add(event, given)
    return shownId(given.id)
  },

  waitFor({ wanted, milliseconds }) {
    let now = () => ({ length: count(wanted.type), connections: server.connected.size })
    let holds = () => now().length >= (wanted.length ?? 0) && now().connections === (wanted.connections ?? now().connections)
    return waiting.until(holds, () => `wanted ${JSON.stringify(wanted)}, have ${JSON.stringify(now())}`, milliseconds)
  },

  disconnect() {
    for (let client of [...server.connected.values()]) client.destroy()
  },

  destroy: () => server.destroy(),
  quit() {}
})
