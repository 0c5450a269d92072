// A real @logux/client, with its log in memory.
import { Client, CrossTabClient } from '@logux/client'

import { quietSocket, shownId } from './dialects.mjs'
import { Frames } from './frames.mjs'
import { errorFacts, serve, tell, Waiting } from './lines.mjs'

let waiting = new Waiting()
let frames = new Frames(() => waiting.check())
let client

async function rows(order) {
  let list = []
  await client.log.each({ order }, (action, meta) => {
    list.push([shownId(meta.id), meta.time, action, meta])
  })
  return list.reverse()
}

function now() {
  let { lastSent: sent, lastReceived: received } = client.node
  return { state: client.node.state, length: client.log.store.entries.length, sent, received }
}

serve({
  start({ options }) {
    globalThis.WebSocket = quietSocket(frames)
    let Role = options.crossTab ? CrossTabClient : Client
    client = new Role({
      server: 'ws://127.0.0.1:1', // the real one comes with `connect`
      userId: options.userId,
      token: options.credentials,
      subprotocol: options.subprotocol ?? 1,
      allowDangerousProtocol: true,
      ping: options.ping,
      timeout: options.timeout,
      minDelay: options.minDelay ?? 100,
      maxDelay: options.maxDelay ?? 500
    })
    client.log.on('preadd', (action, meta) => {
      if (meta.reasons.length === 0 && !action.type.startsWith('logux/')) meta.reasons.push('t')
    })
    client.node.catch(error => tell('error', errorFacts(error)))
    client.node.on('clientError', error => tell('clientError', errorFacts(error)))
    client.node.on('headers', headers => tell('headers', { facts: [headers] }))
    client.node.on('state', () => {
      tell('state', { state: client.node.state })
      waiting.check()
    })
    client.log.on('add', (action, meta) => {
      tell('add', { created: shownId(meta.id), type: action.type, action })
      waiting.check()
    })
  },

  connect({ url }) {
    if (url) client.node.connection.connection.url = url
    client.start()
  },

  // `sync`: resolves when the server said that it is processed, fails on `logux/undo`. `crossTab`, `local`: kept here only.
  async add({ event, meta, how }) {
    let given = { ...meta, id: client.log.generateId() }
    if (how === 'sync') {
      await client.sync(event, given)
    } else {
      await client.log.add(event, how === 'local' ? { ...given, tab: client.tabId } : given)
    }
    return shownId(given.id)
  },

  // Sent like the others, but the answer is not waited for.
  async addMany({ count, prefix, characters }) {
    let more = characters ? { text: 'x'.repeat(characters) } : {}
    for (let n = 1; n <= count; n++) client.sync({ type: prefix, n, ...more }).catch(error => tell('undo', errorFacts(error)))
  },

  async subscribe({ channel }) {
    await client.sync({ type: 'logux/subscribe', channel })
  },

  log: ({ order }) => rows(order),
  state: () => client.node.state,
  cursors: () => ({ sent: now().sent, received: now().received }),
  nodeId: () => client.nodeId,
  frames: () => frames.list,

  waitFor({ wanted, milliseconds }) {
    let holds = () =>
      Object.entries(wanted).every(([key, value]) => (key === 'state' ? now().state === value : now()[key] >= value))
    return waiting.until(holds, () => `wanted ${JSON.stringify(wanted)}, have ${JSON.stringify(now())}`, milliseconds)
  },

  disconnect() {
    client.node.connection.disconnect()
  },

  destroy: () => client.destroy(),
  quit() {}
})
