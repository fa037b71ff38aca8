// Node's Socket.IO as its documentation shows it: plain handlers, the options it comes with.
//   node relay.js PORT [REDIS_URL]     with Redis: its own adapter, for two processes in one room
const { createServer } = require('http')
const { Server } = require('socket.io')

async function redisAdapter(url) {
  const { createClient } = require('redis')
  const { createAdapter } = require('@socket.io/redis-adapter')
  const publisher = createClient({ url })
  const subscriber = publisher.duplicate()
  await Promise.all([publisher.connect(), subscriber.connect()])
  return createAdapter(publisher, subscriber)
}

async function main(port, redisUrl) {
  const http = createServer()
  const io = new Server(http)
  if (redisUrl) io.adapter(await redisAdapter(redisUrl))
  io.on('connection', (socket) => {
    const others = () => socket.to(socket.data.room)
    socket.on('join-space', ({ spaceType, spaceId }, ack) => {
      socket.data.room = `${spaceType}:${spaceId}`
      socket.join(socket.data.room)
      ack({ ok: true })
    })
    socket.on('entity-event', ({ name, data }) => others().emit('entity-event', { socketId: socket.id, name, data }))
    socket.on('aframe-update', (entityData) => {
      others().emit('aframe-update', { socketId: socket.id, entityData, timestamp: new Date().toISOString() })
    })
  })
  http.listen(port, '127.0.0.1', 4096)
}

main(Number(process.argv[2]), process.argv[3])
