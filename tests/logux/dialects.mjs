// The three generations of Logux behind one set of functions.
import { WebSocket, WebSocketServer } from 'ws'
import WebSocket1 from 'ws-1'

// A page is told of a failed connection, it does not die of it; ws would, where no listener is set.
export function quietSocket(frames) {
  return class extends WebSocket {
    constructor(url, protocols, options) {
      super(url, protocols, options)
      this.on('error', () => {})
      frames?.watch(this)
    }
  }
}

async function logux01() {
  let core = (await import('logux-core')).default
  let compareTime = (await import('logux-core/compare-time.js')).default
  let sync = (await import('logux-sync')).default
  return {
    SyncServer: sync.ServerSync,
    SyncClient: sync.ClientSync,
    SocketServer: WebSocket1.Server,
    Reconnect: sync.Reconnect,
    accept: ws => new sync.ServerConnection(ws),
    dial(frames) {
      globalThis.window = { WebSocket: quietSocket(frames) }
      return new sync.BrowserConnection('')
    },
    makeError: (node, type, options) => new sync.SyncError(node, type, options),
    makeLog(nodeId, saved) {
      let log = new core.Log({ store: new core.MemoryStore(), timer: core.createTimer(nodeId) })
      if (saved) {
        let entries = saved.entries.map(([, , event, meta]) => [event, meta])
        log.store.added = entries.toReversed()
        log.store.created = log.store.added.toSorted((a, b) => compareTime(b[1].created, a[1].created))
        log.lastAdded = saved.lastAdded
      }
      return log
    },
    nodeOptions({ credentials, accepts, authDelay, saved, ...rest }, role) {
      let options = { ...rest }
      if (credentials !== undefined) options.credentials = credentials
      if (accepts !== undefined) options.auth = shown => judge(shown, accepts, authDelay)
      if (saved && role === 'client') Object.assign(options, { synced: saved.sent, otherSynced: saved.received })
      return options
    },
    addedEvent: 'event',
    addOne: async (log, event, meta) => {
      await log.add(event, meta)
      return meta.created
    },
    addTogether: (log, events) => Promise.all(events.map(event => log.add(event))),
    length: log => log.store.created.length,
    lastAdded: log => log.lastAdded,
    cursors: node => ({ sent: node.synced, received: node.otherSynced }),
    other: node => ({
      node: node.otherNodeId,
      protocol: node.otherProtocol,
      subprotocol: node.otherSubprotocol
    }),
    row: (event, meta) => [meta.created, meta.created[0], event, meta]
  }
}

async function coreNode(imported, isTen) {
  let core = await imported
  return {
    SyncServer: core.ServerNode,
    SyncClient: core.ClientNode,
    SocketServer: WebSocketServer,
    Reconnect: core.Reconnect,
    accept: ws => new core.ServerConnection(ws),
    dial: frames => new core.WsConnection('', quietSocket(frames)),
    makeError: (node, type, options) => new core.LoguxError(type, options),
    makeLog(nodeId, saved) {
      let store = new core.MemoryStore()
      if (saved) {
        store.added = saved.entries.map(([, , event, meta]) => [event, meta])
        store.entries = store.added.toSorted((a, b) => (core.isFirstOlder(a[1], b[1]) ? -1 : 1))
        store.lastAdded = saved.lastAdded
        store.lastSent = saved.sent
        store.lastReceived = saved.received
      }
      let log = new core.Log({ nodeId, store })
      // Without a reason it would be passed on but not kept.
      log.on('preadd', (action, meta) => {
        if (meta.reasons.length === 0) meta.reasons.push('t')
      })
      return log
    },
    nodeOptions({ credentials, accepts, authDelay, saved, ...rest }) {
      let options = { ...rest }
      if (credentials !== undefined) options.token = credentials
      if (accepts !== undefined) options.auth = (nodeId, shown) => judge(shown, accepts, authDelay)
      return options
    },
    addedEvent: 'add',
    addOne: async (log, event, meta) => {
      await log.add(event, meta)
      return shownId(meta.id, isTen)
    },
    addTogether: (log, events) =>
      isTen ? Promise.all(events.map(event => log.add(event))) : log.add(events.map(event => [event])),
    length: log => log.store.entries.length,
    lastAdded: log => log.store.lastAdded,
    cursors: node => ({ sent: node.lastSent, received: node.lastReceived }),
    other: node => ({
      node: node.remoteNodeId,
      protocol: node.remoteProtocol,
      subprotocol: node.remoteSubprotocol
    }),
    row: (action, meta) => [shownId(meta.id, isTen), meta.time, action, meta]
  }
}

// "ms node n" as a triple; anything else, and the ids of protocol 7, as they are.
export function shownId(id, isTen = true) {
  let parts = id.split(' ')
  if (!isTen || parts.length !== 3) return id
  return [Number(parts[0]), parts[1], Number(parts[2])]
}

async function judge(shown, accepts, delay = 0) {
  if (delay) await new Promise(resolve => setTimeout(resolve, delay))
  return JSON.stringify(shown) === JSON.stringify(accepts)
}

export const dialects = {
  logux01,
  core10: () => coreNode(import('core-10'), true),
  core12: () => coreNode(import('core-12'), false)
}
