// Node's `ws` without Socket.IO, a frame prepared once for all: the most that its users could do by hand.
//   node prepared.js PORT
const { Sender, WebSocketServer } = require('ws')

const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 })
server.on('connection', (sender) => {
  sender.on('message', (data) => {
    const frame = Buffer.concat(Sender.frame(data, { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: false }))
    for (const client of server.clients) if (client !== sender && client.readyState === 1) client._socket.write(frame)
  })
})
