// Drives real Socket.IO clients for the tests: commands come in on stdin and reports go out on
// stdout, one JSON object a line.
//
//   {"id":1,"op":"open","client":"sio48","url":"http://…","transports":["polling"],"opts":{}}
//       answers {"id":1,"ok":{"socket":1}} at once; connecting is reported. With "burst", that
//       is emitted in the very moment it is connected; with "early", these lists of an event
//       and its arguments are emitted at once, so that the client keeps them until then
//   {"id":2,"op":"emit","socket":1,"event":"message","args":[…],"ack":true}
//       answers {"id":2,"ok":[…]} when acknowledged; without "ack" at once
//   {"id":3,"op":"burst","socket":1,"event":"n","count":3000,"extra":{}}
//       emits {"n":0,…extra} up to count - 1 in one go
//   {"id":4,"op":"state","socket":1}      answers {"connected":…,"transport":…,"sid":…}
//   {"id":5,"op":"pause","socket":1}      stops reading: the stream, or polling; "resume" undoes it
//   {"id":6,"op":"kill","socket":1}       destroys the stream without a goodbye
//   {"id":7,"op":"close","socket":1}      disconnects in order
//   {"id":9,"op":"bytes","socket":1,"event":"a"}       emits three bytes
//   {"id":8,"op":"raw","socket":1,"text":"2[\"a\"]"}   sends an Engine.IO message as it is
//
// Reports: {"socket":1,"event":"message","args":[…]} for each event the server sends, and
// {"socket":1,"life":"connect"|"disconnect"|"upgrade"|"connect_error","args":[…]}.

import Module, { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

// npm gives all generations the native helpers of the oldest, which newer ones cannot use:
// without any, each falls back on its own code.
const load = Module._load;
Module._load = function (name, ...rest) {
  if (name === 'bufferutil' || name === 'utf-8-validate') throw new Error(`${name} is not used`);
  return load.call(this, name, ...rest);
};

const require = createRequire(import.meta.url);
const sockets = new Map();
let made = 0;

const say = (report) => process.stdout.write(`${JSON.stringify(report)}\n`);
const engineOf = (socket) => socket.io.engine;

function watchEngine(number, socket) {
  const engine = engineOf(socket);
  if (!engine || engine.klatschWatched) return;
  engine.klatschWatched = true;
  engine.on('upgrade', (transport) => say({ socket: number, life: 'upgrade', args: [transport.name] }));
}

function emitBurst(socket, { event, count, extra }) {
  for (let n = 0; n < count; n += 1) socket.emit(event, { n, ...extra });
}

function open({ client, url, transports, opts = {}, burst, early = [] }) {
  const connect = require(client);
  const number = ++made;
  const socket = connect(url, {
    forceNew: true,
    multiplex: false,
    reconnection: false,
    timeout: 10000,
    ...(transports ? { transports } : {}),
    ...opts,
  });
  sockets.set(number, socket);

  // Every generation hands its events to this method, known channel or not.
  const onevent = socket.onevent;
  socket.onevent = function (packet) {
    const [event, ...args] = packet.data;
    say({ socket: number, event, args });
    return onevent.call(this, packet);
  };

  const life = (name) => (...args) => {
    watchEngine(number, socket);
    const plain = args.map((arg) => (arg instanceof Error ? String(arg.message ?? arg) : arg ?? null));
    say({ socket: number, life: name, args: plain.filter((arg) => typeof arg !== 'object') });
  };
  if (burst) socket.on('connect', () => emitBurst(socket, burst));
  socket.on('connect', life('connect'));
  socket.on('disconnect', life('disconnect'));
  socket.on('connect_error', life('connect_error'));
  watchEngine(number, socket);
  for (const [event, ...args] of early) socket.emit(event, ...args);
  return { socket: number };
}

// The TCP stream of a client's WebSocket.
function streamOf(socket) {
  const ws = engineOf(socket).transport.ws ?? engineOf(socket).transport.socket;
  return ws?._socket ?? ws?._sender?._socket;
}

const pollOf = (transport) => (transport._poll ? '_poll' : 'poll');

function pause(socket) {
  const { transport } = engineOf(socket);
  if (transport.name === 'websocket') {
    streamOf(socket).pause();
    return;
  }
  transport.klatschPoll = transport[pollOf(transport)];
  transport[pollOf(transport)] = () => {};
}

function resume(socket) {
  const { transport } = engineOf(socket);
  if (transport.name === 'websocket') {
    streamOf(socket).resume();
    return;
  }
  transport[pollOf(transport)] = transport.klatschPoll;
  transport.klatschPoll();
}

function state(socket) {
  const engine = engineOf(socket);
  return { connected: socket.connected, transport: engine?.transport?.name, sid: engine?.id };
}

async function perform(command) {
  if (command.op === 'open') return open(command);
  const socket = sockets.get(command.socket);
  if (!socket) throw new Error(`no socket ${command.socket}`);
  const { event, args = [] } = command;
  switch (command.op) {
    case 'emit':
      if (command.ack) return new Promise((done) => socket.emit(event, ...args, (...answer) => done(answer)));
      socket.emit(event, ...args);
      return null;
    case 'burst':
      emitBurst(socket, command);
      return null;
    case 'bytes':
      socket.emit(event, Buffer.alloc(3));
      return null;
    case 'raw':
      engineOf(socket).send(command.text);
      return null;
    case 'state':
      return state(socket);
    case 'pause':
      return pause(socket) ?? null;
    case 'resume':
      return resume(socket) ?? null;
    case 'kill':
      streamOf(socket).destroy();
      return null;
    case 'close':
      socket.disconnect();
      return null;
    default:
      throw new Error(`unknown op ${command.op}`);
  }
}

createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const command = JSON.parse(line);
    try {
      say({ id: command.id, ok: (await perform(command)) ?? null });
    } catch (error) {
      say({ id: command.id, failed: String(error.stack ?? error) });
    }
  })
  .on('close', () => process.exit(0));
