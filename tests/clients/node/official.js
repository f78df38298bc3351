// The official Socket.IO server, for what is played against it and against ours: answers each
// event on the channel it came on. Says its port on stdout and ends with stdin.

import { createServer } from 'node:http';
import { Server } from 'socket.io';

const server = createServer();
const io = new Server(server, {
  allowEIO3: true,
  serveClient: false,
  pingInterval: 25000,
  pingTimeout: 60000,
  cors: { origin: (origin, answer) => answer(null, true), credentials: true },
});

io.on('connection', (socket) => {
  socket.onAny((event, argument, answer) => {
    if (typeof answer === 'function') answer(argument);
    else socket.emit(event, argument);
  });
});

server.listen(0, '127.0.0.1', () => process.stdout.write(`${server.address().port}\n`));
process.stdin.resume().on('end', () => process.exit(0));
