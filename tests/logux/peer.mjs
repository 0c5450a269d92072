// One Logux node, client or server, of one of three generations; told what to do by JSON lines.
import { dialects } from './dialects.mjs'
import { Frames } from './frames.mjs'
import { errorFacts, serve, tell, Waiting } from './lines.mjs'

const NODE_OPTIONS = ['fixTime', 'credentials', 'accepts', 'authDelay', 'subprotocol', 'ping', 'timeout', 'saved', 'syncBatch']

let waiting = new Waiting()
let frames = new Frames(() => waiting.check())
let dialect, role, options, log, socketServer, link
let nodes = [] // a client has one, a server one for each connection, newest last

// Logux 0.1 confirms in a promise, which fails if the link was cut meanwhile. In a page that stays unseen; here it would end
// the process.
process.on('unhandledRejection', error => {
  if (!/^Could not send .* to disconnected connection$/.test(error?.message)) throw error
})

function watch(node) {
  node.catch(error => tell('error', errorFacts(error)))
  node.on('clientError', error => tell('clientError', errorFacts(error)))
  node.on('state', () => {
    tell('state', { state: node.state })
    waiting.check()
  })
  node.on('connect', () => {
    let other = dialect.other(node)
    tell('connect', other)
    let wanted = options.acceptsSubprotocol
    if (wanted !== undefined && other.subprotocol !== wanted) {
      throw dialect.makeError(node, 'wrong-subprotocol', { supported: wanted, used: other.subprotocol })
    }
  })
  for (let event of ['headers', 'debug', 'ready']) node.on(event, (...facts) => tell(event, { facts }))
  node.connection.on('disconnect', () => {
    if (role === 'server') nodes = nodes.filter(other => other !== node)
    tell('disconnect')
    waiting.check()
  })
  if (options.headers) node.setLocalHeaders(options.headers)
  nodes.push(node)
}

function makeNode(Node, connection) {
  let given = Object.fromEntries(NODE_OPTIONS.filter(key => key in options).map(key => [key, options[key]]))
  watch(new Node(options.nodeId, log, connection, dialect.nodeOptions(given, role)))
}

function current() {
  return nodes[nodes.length - 1]
}

function state() {
  return current()?.state ?? 'disconnected'
}

function cursors() {
  return current() ? dialect.cursors(current()) : { sent: 0, received: 0 }
}

async function rows(order) {
  let list = []
  await log.each({ order }, (event, meta) => {
    list.push(dialect.row(event, meta))
  })
  return list.reverse() // each() begins with the newest
}

serve({
  async start(args) {
    options = args.options
    role = args.role
    if (options.clockShift) {
      let now = Date.now
      Date.now = () => now() + options.clockShift
    }
    dialect = await dialects[args.kind]()
    log = dialect.makeLog(options.nodeId, options.saved)
    log.on(dialect.addedEvent, (event, meta) => {
      tell('add', { created: dialect.row(event, meta)[0], type: event.type, length: dialect.length(log) })
      waiting.check()
    })
    if (role === 'client') {
      link = dialect.dial(frames)
      let { minDelay = 100, maxDelay = 500, attempts = Infinity } = options
      makeNode(dialect.SyncClient, new dialect.Reconnect(link, { minDelay, maxDelay, attempts }))
    }
  },

  listen({ port = 0 }) {
    return new Promise((resolve, reject) => {
      socketServer = new dialect.SocketServer({ host: '127.0.0.1', port }, function () {
        resolve((socketServer._server ?? socketServer).address().port)
      })
      socketServer.on('error', reject)
      socketServer.on('connection', ws => {
        frames.watch(ws)
        ws.on('error', error => tell('error', errorFacts(error)))
        makeNode(dialect.SyncServer, dialect.accept(ws))
      })
    })
  },

  connect({ url }) {
    if (url) link.url = url
    current().connection.connect()
  },

  add: ({ event, meta }) => dialect.addOne(log, event, meta ?? {}),

  async addMany({ count, prefix, together, characters }) {
    let more = characters ? { text: 'x'.repeat(characters) } : {}
    let events = Array.from({ length: count }, (_, n) => ({ type: prefix, n: n + 1, ...more }))
    if (together) {
      await dialect.addTogether(log, events)
    } else {
      for (let event of events) await log.add(event)
    }
  },

  log: ({ order }) => rows(order),
  state,
  cursors,
  other: () => (current() ? dialect.other(current()) : null),
  connections: () => nodes.filter(node => node.connected).length,
  frames: () => frames.list,
  timeFix: () => current().timeFix,

  async save() {
    return { entries: await rows('added'), lastAdded: dialect.lastAdded(log), ...cursors() }
  },

  headers({ headers }) {
    for (let node of nodes) node.setLocalHeaders(headers)
  },

  send({ message }) {
    current().connection.send(message)
  },

  waitFor({ wanted, milliseconds }) {
    let now = () => ({
      state: state(),
      length: dialect.length(log),
      connections: nodes.filter(node => node.connected).length,
      ...cursors()
    })
    let holds = () => {
      let facts = now()
      return Object.entries(wanted).every(([key, value]) =>
        key === 'state' ? facts.state === value : key === 'connections' ? facts[key] === value : facts[key] >= value
      )
    }
    let describe = () => `wanted ${JSON.stringify(wanted)}, have ${JSON.stringify(now())}`
    return waiting.until(holds, describe, milliseconds)
  },

  disconnect() {
    for (let node of [...nodes]) node.connection.disconnect()
  },

  destroy() {
    for (let node of [...nodes]) node.destroy()
    socketServer?.close()
  },

  quit() {}
})
