// One end of `mesh bench logux`: `node peer.mjs client|server JSON`. It prints one line of JSON for each thing that happened.
import { ClientNode, Log, MemoryStore, ServerConnection, ServerNode, WsConnection } from '@logux/core'
import { WebSocket, WebSocketServer } from 'ws'

let [role, text] = process.argv.slice(2)
let { count, events, token, url } = JSON.parse(text)

let store = new MemoryStore()
let log = new Log({ nodeId: role === 'client' ? 'bench:js' : 'server', store })
let cpuAtStart

function tell(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`)
}

function begin() {
  cpuAtStart = process.cpuUsage()
  return performance.now()
}

function ended(began) {
  let cpu = process.cpuUsage(cpuAtStart)
  tell({ seconds: (performance.now() - began) / 1000, cpu: (cpu.user + cpu.system) / 1e6 })
}

// Without a reason it would be passed on but not kept.
log.on('preadd', (action, meta) => {
  if (meta.reasons.length === 0) meta.reasons.push('bench')
})

async function fill(howMany) {
  for (let number = 0; number < howMany; number++) {
    await log.add({ type: 'reading', number, text: 'x'.repeat(100) })
  }
}

function whenHere(howMany) {
  return new Promise(resolve => {
    let here = 0
    log.on('add', () => {
      here += 1
      if (here === howMany) resolve()
    })
  })
}

function whenConfirmed(node, howMany) {
  return new Promise(resolve => {
    let check = () => {
      if (node.lastSent >= howMany && node.state === 'synchronized') resolve()
    }
    node.on('state', check)
    check()
  })
}

if (role === 'client') {
  // `events` are sent, or `count` are waited for. Both are timed from the first word to the last.
  let connection = new WsConnection(url, WebSocket)
  let node = new ClientNode('bench:js', log, connection, { fixTime: false, token })
  let all = events ? null : whenHere(count)
  await node.initializing
  let began = begin()
  connection.connect()
  await node.waitFor('synchronized')
  if (events) {
    began = begin()
    await fill(events)
    await whenConfirmed(node, events)
  } else {
    await all
  }
  ended(began)
  process.exit(0)
} else {
  await fill(events)
  let server = new WebSocketServer({ host: '127.0.0.1', port: 0 }, () => tell({ port: server.address().port }))
  server.on('connection', socket => {
    cpuAtStart = process.cpuUsage()
    let connection = new ServerConnection(socket)
    let node = new ServerNode('server', log, connection, { auth: async () => true })
    node.catch(error => process.stderr.write(`${error.message}\n`))
    connection.on('disconnect', () => {
      ended(performance.now())
      process.exit(0)
    })
  })
}
